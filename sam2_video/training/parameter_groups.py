"""Which parameters learn at which rate, and with which weight decay."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from sam2_video.config import TrainerConfig
from sam2_video.model.trainable import find_names, trunk_layer

OTHERS = "all others"
"""What learns at the rate of `trainer.lr`, where names have rates of their own."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn at one rate and with one decay.

    `name` is the name or glob that their rate is of. `is_decayable` says that they are neither
    biases, nor norms, nor other vectors, which no weight decay applies to.
    """

    name: str
    rate: float
    decay: float
    is_decayable: bool
    parameters: Mapping[str, nn.Parameter]

    @property
    def num_parameters(self) -> int:
        """Return how many numbers learn."""
        return sum(parameter.numel() for parameter in self.parameters.values())


def group_parameters(
    parameters: Iterable[tuple[str, nn.Parameter]], settings: TrainerConfig
) -> list[ParameterGroup]:
    """Return what learns, in groups of one rate and one decay; those with decay come first.

    Of several names or globs that match a parameter the last counts. Vectors (biases, norms,
    scales) are not decayed, whatever matches them. Meta's recipe leaves out biases and
    `nn.LayerNorm`, and decays the few other vectors; embeddings are decayed here as there.

    Args:
        parameters: of the network, by name, learning or not.
        settings: `lr`, `weight_decay`, what differs by name, and `layer_decay`.

    Raises:
        ValueError: a name or glob that matches nothing, or nothing that no later one matches too;
            a layer decay without anything that it applies to.
    """
    every = dict(parameters)
    learning = {name: p for name, p in every.items() if p.requires_grad}
    matrices = [name for name, p in learning.items() if p.ndim > 1]
    owners = _owners(settings.lr_by_name, list(learning), "trainer.lr_by_name")
    decay_owners = _owners(settings.weight_decay_by_name, matrices, "trainer.weight_decay_by_name")
    factors = _layer_factors(every, learning, settings.layer_decay)
    grouped: dict[tuple[bool, str, float, float], dict[str, nn.Parameter]] = {}
    for name, parameter in learning.items():
        owner, decay_owner = owners.get(name), decay_owners.get(name)
        rate = settings.lr if owner is None else settings.lr_by_name[owner]
        decay = (
            settings.weight_decay
            if decay_owner is None
            else settings.weight_decay_by_name[decay_owner]
        )
        is_matrix = parameter.ndim > 1
        key = (
            is_matrix,
            OTHERS if owner is None else owner,
            rate * factors.get(name, 1.0),
            decay if is_matrix else 0.0,
        )
        grouped.setdefault(key, {})[name] = parameter
    groups = [
        ParameterGroup(owner, rate, decay, is_matrix, members)
        for (is_matrix, owner, rate, decay), members in grouped.items()
    ]
    return sorted(groups, key=lambda group: not group.is_decayable)


def _owners(values: Mapping[str, float], names: Sequence[str], key: str) -> dict[str, str]:
    """Return the last pattern that matches, by the name of the parameter that it matches."""
    owners: dict[str, str] = {}
    for pattern in values:
        owners |= dict.fromkeys(find_names(names, pattern, key), pattern)
    for pattern in values:
        if pattern not in owners.values():
            raise ValueError(
                f"{key}: all that {pattern!r} matches is matched by a later name too, and the "
                "last counts; put the wider one first"
            )
    return owners


def _layer_factors(every: Iterable[str], learning: Iterable[str], decay: float) -> dict[str, float]:
    """Return the share of their rate at which the layers of the image encoder's trunk learn."""
    if decay == 1:
        return {}
    depth = max(layer for name in every if (layer := trunk_layer(name)) is not None)
    factors = {
        name: decay ** (depth + 1 - layer)
        for name in learning
        if (layer := trunk_layer(name)) is not None
    }
    if not factors:
        raise ValueError(
            f"trainer.layer_decay: got {decay}, and nothing of the image encoder's trunk learns; "
            "expected 1.0, or image_encoder in model.trainable_modules"
        )
    return factors

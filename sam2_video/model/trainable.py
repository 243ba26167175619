"""Which parameters learn: names, globs and groups, matched strictly, and the table of them."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from sam2_video.model.adapters import is_adapted, is_adapter, plain_name
from sam2_video.model.keymap import meta_name

GROUPS: dict[str, tuple[str, ...]] = {
    "all": ("*",),
    "memory": (
        "memory_attention",
        "memory_encoder",
        "memory_temporal_positional_encoding",
        "no_memory_embedding",
        "no_memory_positional_encoding",
        "no_object_pointer",
        "occlusion_spatial_embedding_parameter",
        "object_pointer_proj",
        "temporal_positional_encoding_projection_layer",
        "mask_downsample",
    ),
}
"""Named groups; `memory` is everything around memory, also what lies outside the two modules."""


@dataclass(frozen=True)
class ModuleSummary:
    """One line of the table: a top-level module and its parameters."""

    name: str
    num_parameters: int
    num_trainable: int


def _matches(spellings: Sequence[str], pattern: str) -> bool:
    return any(
        fnmatchcase(spelling, pattern) or fnmatchcase(spelling, f"{pattern}.*")
        for spelling in spellings
    )


def find_names(names: Sequence[str], pattern: str, key: str) -> set[str]:
    """Return the parameters whose name, or module's name, a name, a glob or a group matches.

    Names are transformers' (`mask_decoder`) or Meta's (`sam_mask_decoder`), shell globs are
    allowed, and the groups `memory` and `all`.

    Args:
        names: of parameters, among which to look; those of adapted layers as if they were not.
        pattern: what to look for.
        key: the setting that the pattern is of, for the error.

    Raises:
        ValueError: a pattern that matches nothing; names the nearest.
    """
    members = GROUPS.get(pattern, (pattern,))
    found = set()
    for name in names:
        plain = plain_name(name)
        spellings = plain, meta_name(plain)
        if any(_matches(spellings, member) for member in members):
            found.add(name)
    if not found:
        raise ValueError(_nothing_matches(pattern, names, key))
    return found


def set_trainable(network: nn.Module, patterns: Sequence[str]) -> None:
    """Let exactly the parameters learn that a pattern matches, and all adapters.

    The weights beside which adapters stand do not learn: their adapters do.

    Raises:
        ValueError: a pattern that matches nothing; names the nearest.
    """
    names = [name for name, _ in network.named_parameters()]
    own = [name for name in names if not is_adapter(name) and not is_adapted(name)]
    chosen = {name for name in names if is_adapter(name)}
    for pattern in patterns:
        chosen |= find_names(own, pattern, "model.trainable_modules")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def _nothing_matches(pattern: str, names: Sequence[str], key: str) -> str:
    plain = [plain_name(name) for name in names]
    modules = {name.split(".")[0] for name in plain} | set(GROUPS)
    modules |= {meta_name(name).split(".")[0] for name in plain}
    near = difflib.get_close_matches(pattern, sorted(modules), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"{key}: {pattern!r} matches no {_KINDS[key]}; expected names or globs of "
        f"{', '.join(sorted(modules))}{hint}"
    )


_KINDS = {
    "model.trainable_modules": "parameter",
    "lora.modules": "linear layer",
    "trainer.lr_by_name": "parameter that learns",
    "trainer.weight_decay_by_name": "parameter that learns and is decayed (no bias, no norm)",
}


def trunk_layer(name: str) -> int | None:
    """Return how deep in the image encoder's trunk a parameter stands; None = not in its layers.

    The layers of Meta's layer decay: the patch embedding is 0, block N is N + 1. Position
    embeddings are none: Meta's fine-tuning lets them learn at the full rate.

    >>> trunk_layer("vision_encoder.backbone.blocks.2.attn.qkv.weight"), trunk_layer("mask_decoder")
    (3, None)
    """
    if name.startswith("vision_encoder.backbone.patch_embed."):
        return 0
    prefix, _, rest = name.partition("vision_encoder.backbone.blocks.")
    return None if prefix or not rest else int(rest.split(".")[0]) + 1


def freeze_modes(network: nn.Module) -> None:
    """Put every module without a learning parameter in eval mode: no dropout, no drop path."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def summarise(network: nn.Module) -> list[ModuleSummary]:
    """Return one line for each top-level module or parameter, in the network's order."""
    totals: dict[str, list[int]] = {}
    for name, parameter in network.named_parameters():
        counts = totals.setdefault(name.split(".")[0], [0, 0])
        counts[0] += parameter.numel()
        counts[1] += parameter.numel() if parameter.requires_grad else 0
    return [ModuleSummary(name, *counts) for name, counts in totals.items()]

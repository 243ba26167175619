"""Which parameters learn: names, globs and groups, matched strictly, and the table of them."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

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
        fnmatchcase(spelling, pattern) or spelling.startswith(f"{pattern}.")
        for spelling in spellings
    )


def set_trainable(network: nn.Module, patterns: Sequence[str]) -> None:
    """Let exactly the parameters learn whose name, or module's name, a pattern matches.

    Names are transformers' (`mask_decoder`) or Meta's (`sam_mask_decoder`), shell globs are
    allowed, and the groups `memory` and `all`.

    Raises:
        ValueError: a pattern that matches nothing; names the nearest.
    """
    spellings = {name: (name, meta_name(name)) for name, _ in network.named_parameters()}
    chosen: set[str] = set()
    for pattern in patterns:
        members = GROUPS.get(pattern, (pattern,))
        found = {
            name
            for name, both in spellings.items()
            if any(_matches(both, member) for member in members)
        }
        if not found:
            raise ValueError(_nothing_matches(pattern, list(spellings)))
        chosen |= found
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def _nothing_matches(pattern: str, names: Sequence[str]) -> str:
    modules = {name.split(".")[0] for name in names} | set(GROUPS)
    modules |= {meta_name(name).split(".")[0] for name in names}
    near = difflib.get_close_matches(pattern, sorted(modules), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"model.trainable_modules: {pattern!r} matches no parameter; expected names or globs of "
        f"{', '.join(sorted(modules))}{hint}"
    )


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

"""The runs of `benchmarks.ablation`: the demo's settings, and one change of them each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.run import SETTINGS

SEEDS = (0, 1)
BASE = {
    **SETTINGS,
    "max_epochs": 2,
    "max_time_minutes": None,
    # nothing is chosen by looking: every run is scored as it ends
    "val_fraction": 0.0,
    "pictures_every": 0,
}


@dataclass(frozen=True)
class Variant:
    """One change of the base; `None` learns nothing.

    `start` names the variant whose end, with the same seed, it begins with in place of the demo's
    checkpoint.
    """

    name: str
    changes: Mapping[str, Any] | None = field(default_factory=dict)
    start: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the keywords of `train`; a section is changed key by key."""
        merged: dict[str, Any] = dict(BASE)
        for key, value in (self.changes or {}).items():
            old = merged.get(key)
            merged[key] = {**old, **value} if isinstance(old, dict) else value
        return merged


MEMORY_AND_DECODER = {"trainable_modules": ["memory", "mask_decoder"]}
OFFICIAL_MIX = {"mask": 0.5, "box": 0.25, "point": 0.25}
VARIANTS = (
    Variant("zero-shot", None),
    Variant("memory-only"),
    Variant("decoder-only", {"trainable_modules": ["mask_decoder"]}),
    Variant("memory+decoder", MEMORY_AND_DECODER),
    Variant(
        "lora",
        {
            "trainable_modules": [],
            "lora": {"modules": ["memory_attention", "memory_encoder"], "rank": 8},
            "lr": 2.0e-3,
        },
    ),
    Variant("full", {"trainable_modules": ["all"], "lr": 3.0e-4}),
    Variant("prompt mix", {**MEMORY_AND_DECODER, "prompts": OFFICIAL_MIX}),
    Variant(
        "prompt mix, corrections",
        {
            **MEMORY_AND_DECODER,
            "prompts": {**OFFICIAL_MIX, "corrected_frames": 2, "correction_clicks": 7},
        },
    ),
    Variant("temporal loss 1", {"losses": {"temporal": 1.0}}),
    Variant("temporal loss 10", {"losses": {"temporal": 10.0}}),
    Variant("truncation 1", {"truncate_memory_gradient": 1}),
    Variant("truncation 2", {"truncate_memory_gradient": 2}),
    Variant("memory-only again", start="memory-only"),
    Variant("then decoder-only", {"trainable_modules": ["mask_decoder"]}, start="memory-only"),
)
BY_NAME = {variant.name: variant for variant in VARIANTS}


def plan() -> list[tuple[Variant, int]]:
    """Return the runs in their order: the first seed of all variants before the second of any."""
    return [
        (variant, seed)
        for seed in SEEDS
        for variant in VARIANTS
        if variant.changes is not None or seed == SEEDS[0]
    ]


def name_of(variant: Variant, seed: int) -> str:
    """Return the name by which the result's file and the run's folder know a run."""
    return f"{variant.name}, seed {seed}"


def describe(variant: Variant) -> dict[str, Any]:
    """Return the settings that a row depends on, as JSON holds them."""
    settings = {"changes": variant.changes, "start": variant.start}
    return json.loads(json.dumps(settings))

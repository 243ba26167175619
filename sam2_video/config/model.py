"""The sections `model` and `lora`: which network, from which weights, and what of it learns."""

# ruff: noqa: RUF009 (`setting` stands for `field` and copies lists itself)

from dataclasses import dataclass

from sam2_video.config.setting import setting


@dataclass(frozen=True)
class ModelConfig:
    """Which network, from which weights, and which part of it learns."""

    checkpoint_path: str | None = setting(
        None, "Meta .pt, a folder or hub id that transformers loads, or null = random weights"
    )
    config_path: str | None = setting(
        None,
        "Meta's YAML, or a name: sam2.1-tiny, sam2-large, ..., micro; null = off the checkpoint",
    )
    trainable_modules: list[str] = setting(
        ["memory_attention", "memory_encoder"],
        "names or globs of what learns; `memory` = everything around memory, `all` = everything",
    )
    memory_attention_dropout: float = setting(
        0.0,
        "dropout in memory attention (Meta trains with 0.1; 0 is faster and smaller)",
        ge=0,
        lt=1,
    )
    truncate_memory_gradient: int | None = setting(
        None, "cut the gradient through memory after this many frames; null = never", ge=1
    )


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters, which learn in place of the weights beside which they stand."""

    modules: list[str] = setting(
        [], "names or globs of modules whose linear layers get an adapter; [] = no adapters"
    )
    rank: int = setting(8, "rank of the adapters", ge=1)
    alpha: float = setting(16.0, "their output is scaled by alpha / rank", gt=0)
    dropout: float = setting(0.0, "dropout of their input", ge=0, lt=1)

"""The section `trainer`: how the weights are optimised, on what, and what is kept."""

# ruff: noqa: RUF009 (`setting` stands for `field`, and copies what can be changed)

from dataclasses import dataclass
from typing import Literal

from sam2_video.config.setting import setting


@dataclass(frozen=True)
class TrainerConfig:
    """How the weights are optimised, on what, and what is kept."""

    max_epochs: int = setting(50, "epochs", ge=1)
    max_steps: int = setting(
        -1, "optimisation steps at most; -1 = as many as the epochs have", ge=-1
    )
    max_time_minutes: float | None = setting(
        None, "stop after this time, as if done; null = never", gt=0
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = setting(
        "auto", "auto, cpu, gpu, cuda, mps"
    )
    devices: int | Literal["auto"] = setting(
        "auto", "number of devices, or auto; more than one = DDP", ge=1
    )
    num_nodes: int = setting(1, "machines", ge=1)
    precision: Literal["auto", "16-mixed", "bf16-mixed", "32-true"] = setting(
        "16-mixed", "auto, 16-mixed, bf16-mixed, 32-true; the nearest that the device can"
    )
    compile: Literal["off", "auto", "max"] = setting(
        "off",
        "torch.compile: off; auto = on a GPU with a compiler; max = everywhere, kernels by trial",
    )
    lr: float = setting(1.0e-4, "learning rate", gt=0)
    weight_decay: float = setting(0.01, "weight decay of AdamW; none on biases and norms", ge=0)
    lr_by_name: dict[str, float] = setting(
        {}, "learning rates of what these names or globs match, {name: rate}; the last match counts"
    )
    weight_decay_by_name: dict[str, float] = setting({}, "weight decays, likewise")
    layer_decay: float = setting(
        1.0, "each block of the image encoder learns this much slower than the next", gt=0, le=1
    )
    ema_decay: float | None = setting(
        None,
        "average the weights with this decay a step, and score them too; null = no",
        gt=0,
        lt=1,
    )
    lr_scheduler: Literal["cosine", "constant"] = setting("cosine", "after the warm-up, per step")
    warmup_fraction: float = setting(
        0.05, "share of the steps with a linearly rising rate", ge=0, le=1
    )
    min_lr_fraction: float = setting(0.01, "the cosine ends at this share of lr", ge=0, le=1)
    gradient_clip: float = setting(1.0, "largest norm of the gradient; 0 = no clipping", ge=0)
    accumulate: int = setting(1, "batches whose gradients are added before a step", ge=1)
    activation_checkpointing: Literal["none", "clicks", "light", "cheap", "frames"] = setting(
        "none",
        "computed a second time in place of being kept: clicks; also memory attention but for what "
        "is attended to (light); also the decoder (cheap); all of a frame: each slower and smaller",
    )
    objects_at_once: int | None = setting(
        None, "objects computed together, the others after them: same gradient, smaller", ge=1
    )
    clips_at_once: int | None = setting(
        None, "clips of a batch computed together, the others after them, likewise", ge=1
    )
    adapt_batch_size: bool = setting(
        True,
        "out of memory in the first epoch: halve clips_at_once, then objects_at_once, and start "
        "again: same numbers",
    )
    validate_every: int = setting(1, "epochs between validations", ge=1)
    validation_videos: int | None = setting(None, "validate on this many videos; null = all", ge=1)
    validation_counts_first_and_last: bool = setting(
        False, "score the first and last annotated frame too; benchmarks leave them out"
    )
    early_stopping: int | None = setting(
        None, "stop after this many validations without a better J&F; null = never", ge=1
    )
    save_every: int = setting(1, "epochs between epoch_*.ckpt", ge=1)
    save_every_minutes: float | None = setting(
        10.0,
        "write last.ckpt within an epoch too, this long after the one before; null = never",
        gt=0,
    )
    keep_checkpoints: int = setting(
        3, "how many of the newest epoch_*.ckpt are kept; -1 = all", ge=-1
    )
    pictures_every: int = setting(
        5, "epochs between pictures of clips and of validation; 0 = no pictures at all", ge=0
    )

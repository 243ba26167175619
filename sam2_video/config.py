"""Every setting of a training run, with its default and its one-line explanation."""

# ruff: noqa: ANN401, RUF009 (`setting` stands for `field`: any type, and it copies lists itself)

from dataclasses import dataclass, field
from typing import Any, Literal


def setting(
    default: Any,
    comment: str,
    *,
    ge: int | float | None = None,
    gt: int | float | None = None,
    le: int | float | None = None,
    lt: int | float | None = None,
) -> Any:
    """Declare a configuration key: its only default, its comment in YAML and its numeric limits."""
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    metadata = {"comment": comment, "limits": limits}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


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
class DatasetConfig:
    """Where the videos are and how clips are cut from them."""

    data_path: str | None = setting(None, "a folder of videos, or a COCO JSON file")
    masks_path: str | None = setting(
        None, "masks in a parallel tree (video directory), or the images' folder of a COCO file"
    )
    val_path: str | None = setting(
        None, "validation videos, same layouts; null = split off `val_fraction` of the videos"
    )
    val_masks_path: str | None = setting(None, "like masks_path, for val_path")
    val_fraction: float = setting(
        0.2, "share of the videos held out when val_path is null; 0 = no validation", ge=0, lt=1
    )
    format: Literal["auto", "video_directory", "davis", "coco"] = setting(
        "auto", "layout of the data; auto = recognised, and said"
    )
    image_size: list[int] = setting(
        [512, 512],
        "height, width of the model's input, multiples of 32 (Meta's weights were trained at 1024)",
    )
    video_clip_length: int = setting(5, "frames a clip", ge=1)
    frame_stride: list[int] = setting(
        [1, 1], "smallest and largest step between the frames of a clip, drawn for each clip"
    )
    reverse_probability: float = setting(0.5, "share of the clips played backwards", ge=0, le=1)
    clips_per_video: int = setting(1, "clips drawn from each video in an epoch", ge=1)
    max_objects: int = setting(
        3, "objects of a clip, chosen evenly; the rest is not computed", ge=1
    )
    batch_size: int = setting(1, "clips a step and device", ge=1)
    num_workers: int | None = setting(
        None, "loading processes; null = by the number of cores", ge=0
    )
    colour_palette: list[list[int]] | None = setting(
        None, "[[r, g, b], ...]: RGB masks are read as objects 1, 2, ... by these colours"
    )


@dataclass(frozen=True)
class PromptConfig:
    """How objects are shown to the model on the frame on which they appear (training)."""

    mask: float = setting(0.5, "share of clips prompted with the true mask", ge=0)
    box: float = setting(0.25, "share of clips prompted with a box", ge=0)
    point: float = setting(0.25, "share of clips prompted with points", ge=0)
    num_points: int = setting(1, "points an object, drawn from its mask", ge=1)
    box_noise: float = setting(
        0.1, "shift of the box corners, as a share of its width and height", ge=0, le=1
    )
    validation: Literal["mask", "box", "point"] = setting("mask", "prompt used in validation")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms (0 = off) and their settings."""

    bce: float = setting(0.0, "binary cross entropy of the mask", ge=0)
    focal: float = setting(20.0, "focal loss of the mask", ge=0)
    dice: float = setting(1.0, "Dice loss of the mask", ge=0)
    soft_iou: float = setting(0.0, "soft IoU (Jaccard) loss of the mask", ge=0)
    temporal: float = setting(0.0, "predicted change against true change between frames", ge=0)
    iou_prediction: float = setting(
        1.0, "regression of the predicted IoU of every hypothesis", ge=0
    )
    iou_regression: Literal["l1", "l2"] = setting(
        "l1",
        "|error| as in Meta's fine-tuning, or its square, which learns from far off",
    )
    object_score: float = setting(1.0, "object present or absent", ge=0)
    focal_alpha: float = setting(
        0.25, "weight of the object's pixels in the focal loss; -1 = none", ge=-1, le=1
    )
    focal_gamma: float = setting(2.0, "focusing exponent of the focal loss", ge=0)
    reduction: Literal["mean", "sum"] = setting(
        "mean",
        "mean over valid objects, frames and clicks; sum = Meta's sum over frames and clicks",
    )


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
    lr: float = setting(1.0e-4, "learning rate", gt=0)
    weight_decay: float = setting(0.01, "weight decay of AdamW; none on biases and norms", ge=0)
    lr_scheduler: Literal["cosine", "constant"] = setting("cosine", "after the warm-up, per step")
    warmup_fraction: float = setting(
        0.05, "share of the steps with a linearly rising rate", ge=0, le=1
    )
    min_lr_fraction: float = setting(0.01, "the cosine ends at this share of lr", ge=0, le=1)
    gradient_clip: float = setting(1.0, "largest norm of the gradient; 0 = no clipping", ge=0)
    accumulate: int = setting(1, "batches whose gradients are added before a step", ge=1)
    validate_every: int = setting(1, "epochs between validations", ge=1)
    validation_videos: int | None = setting(None, "validate on this many videos; null = all", ge=1)
    validation_counts_first_and_last: bool = setting(
        False, "score the first and last annotated frame too; benchmarks leave them out"
    )
    early_stopping: int | None = setting(
        None, "stop after this many validations without a better J&F; null = never", ge=1
    )
    save_every: int = setting(1, "epochs between epoch_*.ckpt", ge=1)
    keep_checkpoints: int = setting(
        3, "how many of the newest epoch_*.ckpt are kept; -1 = all", ge=-1
    )
    pictures_every: int = setting(
        5, "epochs between pictures of clips and of validation; 0 = no pictures at all", ge=0
    )


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    output_dir: str = setting("runs/sam2", "folder of the run; one that holds a run is refused")
    resume: str | None = setting(None, "a .ckpt, or a run's folder, to go on from; null = new run")
    seed: int = setting(42, "everything random follows from it", ge=0, lt=2**32)
    debug: bool = setting(
        False, "debug-level log, anomaly detection, loading in the main process; same numbers"
    )
    use_wandb: bool = setting(True, "log to Weights & Biases when it is installed and logged in")
    wandb_project: str = setting("sam2-training", "project there")

"""One training run: all sections, and the keys that stand outside of them."""

from dataclasses import dataclass, field

from sam2_video.config.augmentation import AugmentationConfig
from sam2_video.config.dataset import DatasetConfig
from sam2_video.config.losses import LossConfig
from sam2_video.config.model import LoraConfig, ModelConfig
from sam2_video.config.prompts import PromptConfig
from sam2_video.config.setting import setting
from sam2_video.config.trainer import TrainerConfig


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
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

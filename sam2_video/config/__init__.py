"""Every setting of a training run, with its default and its one-line explanation."""

from sam2_video.config.augmentation import AugmentationConfig
from sam2_video.config.dataset import DatasetConfig, MoreData, every_set
from sam2_video.config.losses import LossConfig
from sam2_video.config.model import LoraConfig, ModelConfig
from sam2_video.config.prompts import PromptConfig
from sam2_video.config.run import TrainConfig
from sam2_video.config.trainer import TrainerConfig

__all__ = [
    "AugmentationConfig",
    "DatasetConfig",
    "LoraConfig",
    "LossConfig",
    "ModelConfig",
    "MoreData",
    "PromptConfig",
    "TrainConfig",
    "TrainerConfig",
    "every_set",
]

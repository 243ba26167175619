"""Make from a configuration what trains: the model, its data, and the module around them."""

from pathlib import Path

from loguru import logger

from sam2_video.config import TrainConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.trainable import GROUPS
from sam2_video.training import messages
from sam2_video.training.trainer import MemoryTuner


def load_tuner(config: TrainConfig, state: Path | None = None) -> MemoryTuner:
    """Load the model, set what learns, and say both.

    A new run starts from the weights of `model.checkpoint_path`. One that is resumed from `state`
    has its own, and the file that it once started from may be gone.

    Raises:
        ValueError: weights, names or clips do not fit.
        FileNotFoundError: there are no such weights.
    """
    height, width = config.dataset.image_size
    checkpoint = config.model.checkpoint_path if state is None else str(state)
    if state is None and checkpoint is not None and checkpoint.endswith(".ckpt"):
        logger.info(
            f"a new run, starting from the weights of {checkpoint}; to continue the run that wrote "
            f"it, give --resume {checkpoint} in place of model.checkpoint_path"
        )
    model = SAM2Model.load(
        checkpoint,
        config.model.config_path,
        (height, width),
        config.model.memory_attention_dropout,
        config.seed,
    )
    model.set_trainable(config.model.trainable_modules)
    messages.describe_model(model)
    _check_clips_teach(config, model)
    model.train()
    return MemoryTuner(
        model,
        config.losses,
        config.prompts,
        config.trainer,
        config.model.truncate_memory_gradient,
    )


def _check_clips_teach(config: TrainConfig, model: SAM2Model) -> None:
    """Refuse clips of one frame where they would teach nothing."""
    if config.dataset.video_clip_length > 1:
        return
    where = "dataset.video_clip_length: got 1"
    learning = {
        name.split(".")[0] for name, p in model.network.named_parameters() if p.requires_grad
    }
    if learning <= set(GROUPS["memory"]):
        raise ValueError(
            f"{where}, and model.trainable_modules names only what lies around memory, which a "
            "single frame does not use; expected 2 or more frames, or other modules"
        )
    if config.prompts.box + config.prompts.point == 0:
        raise ValueError(
            f"{where} with mask prompts alone: on a frame whose mask is given nothing is left to "
            "predict; expected 2 or more frames, or prompts.box or prompts.point above 0"
        )


def open_data(config: TrainConfig) -> ClipDataModule:
    """Open and split the videos, and say how many there are.

    Raises:
        ValueError: there is nothing to train on; says why.
        FileNotFoundError: there is no such folder or file.
    """
    datamodule = ClipDataModule(
        config.dataset, config.seed, config.trainer.validation_videos, debug=config.debug
    )
    datamodule.setup()
    messages.describe_data(datamodule)
    return datamodule

"""Make from a configuration what trains: the model, its data, and the module around them."""

from pathlib import Path

from loguru import logger

from sam2_video.config import LoraConfig, TrainConfig
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.trainable import GROUPS
from sam2_video.training import messages
from sam2_video.training.parameter_groups import group_parameters
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
    lora = config.lora
    if lora.modules:
        model.add_adapters(lora.modules, lora.rank, lora.alpha, lora.dropout, config.seed)
    elif lora != LoraConfig():
        logger.warning("lora: there are no adapters: lora.modules names nothing")
    model.set_trainable(config.model.trainable_modules)
    messages.describe_model(model)
    messages.describe_groups(
        group_parameters(model.network.named_parameters(), config.trainer), config.trainer
    )
    _check_clips_teach(config, model)
    return make_tuner(config, model)


def make_tuner(config: TrainConfig, model: SAM2Model) -> MemoryTuner:
    """Return the module around a loaded model."""
    return MemoryTuner(
        model.train(),
        config.losses,
        config.prompts,
        config.trainer,
        config.model.truncate_memory_gradient,
        config.augmentation,
    )


def _check_clips_teach(config: TrainConfig, model: SAM2Model) -> None:
    """Refuse clips of one frame where they would teach nothing."""
    reason = _why_frames_teach_nothing(config, model)
    if config.dataset.video_clip_length == 1 and reason is not None:
        raise ValueError(
            f"dataset.video_clip_length: got 1, {reason[0]}; expected 2 or more frames, or "
            f"{reason[1]}"
        )


def check_single_frames_teach(
    config: TrainConfig, model: SAM2Model, datamodule: ClipDataModule
) -> None:
    """Refuse data of single frames alone where they would teach nothing; warn of some."""
    count = sum(one.num_single_frames for one in datamodule.sets)
    reason = _why_frames_teach_nothing(config, model)
    if not count or reason is None:
        return
    total = len(datamodule.train_videos)
    told = (
        f"{count} of {total} videos give clips of one frame (dataset.still_images: single, or "
        f"dataset.video_clip_length: 1), {reason[0]}; expected still_images: motion, or {reason[1]}"
    )
    if count == total:
        raise ValueError(told)
    logger.warning(told)


def warn_of_decay(config: TrainConfig, model: SAM2Model) -> None:
    """Warn of weights that no loss reaches, but that weight decay reaches once compiled.

    A compiled part gives them a gradient of zero, where they would have none.
    """
    if config.trainer.weight_decay == 0:
        return
    decoder, losses = model.network.mask_decoder, config.losses
    for key, weight, head in (
        ("iou_prediction", losses.iou_prediction, decoder.iou_prediction_head),
        ("object_score", losses.object_score, decoder.pred_obj_score_head),
    ):
        if weight == 0 and any(p.requires_grad for p in head.parameters()):
            logger.warning(
                f"trainer.compile: losses.{key} is 0, and the head that it teaches is among what "
                "learns: compiled, weight decay makes its weights smaller; give losses."
                f"{key} above 0, trainer.weight_decay 0, or trainer.compile: off"
            )


def _why_frames_teach_nothing(config: TrainConfig, model: SAM2Model) -> tuple[str, str] | None:
    """Return why nothing is learned from a clip of one frame, and what else would help, if so."""
    learning = {
        name.split(".")[0] for name, p in model.network.named_parameters() if p.requires_grad
    }
    if learning <= set(GROUPS["memory"]):
        return (
            "and model.trainable_modules names only what lies around memory, which a single frame "
            "does not use",
            "other modules",
        )
    if config.prompts.box + config.prompts.point == 0:
        return (
            "with mask prompts alone: on a frame whose mask is given nothing is left to predict",
            "prompts.box or prompts.point above 0",
        )
    return None


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

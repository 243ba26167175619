"""Fine-tune the memory of SAM 2 on your own videos."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2_video.evaluation import Evaluation, evaluate
    from sam2_video.model.export import Exported, export
    from sam2_video.model.sam2 import SAM2Model
    from sam2_video.model.stream import ObjectPrompt, TrackedFrame
    from sam2_video.prediction import Prediction, PromptRequest, predict
    from sam2_video.scoring import score
    from sam2_video.training.run import TrainResult

__all__ = [
    "Evaluation",
    "Exported",
    "ObjectPrompt",
    "Prediction",
    "PromptRequest",
    "SAM2Model",
    "TrackedFrame",
    "TrainResult",
    "evaluate",
    "export",
    "predict",
    "score",
    "train",
]

_HOMES = {
    "Evaluation": "sam2_video.evaluation",
    "Exported": "sam2_video.model.export",
    "ObjectPrompt": "sam2_video.model.stream",
    "Prediction": "sam2_video.prediction",
    "PromptRequest": "sam2_video.prediction",
    "SAM2Model": "sam2_video.model.sam2",
    "TrackedFrame": "sam2_video.model.stream",
    "TrainResult": "sam2_video.training.run",
    "evaluate": "sam2_video.evaluation",
    "export": "sam2_video.model.export",
    "predict": "sam2_video.prediction",
    "score": "sam2_video.scoring",
}


def train(**keywords: Any) -> "TrainResult":  # noqa: ANN401 (any setting)
    """Train as the command line does; keywords are the configuration's keys.

    `data`, `checkpoint` and `out` stand for `data_path`, `checkpoint_path` and `output_dir`;
    `config` is a YAML file below the keywords.

    Raises:
        ValueError: unknown or wrong settings, all at once; data or weights that cannot be used.
    """
    from sam2_video.configuration import config_from_keywords
    from sam2_video.training.run import train as run

    return run(config_from_keywords(**keywords))


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    # torch takes seconds to import, and the command line's help does without
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sam2_video' has no attribute {name!r}")

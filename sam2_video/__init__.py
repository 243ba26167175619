"""Fine-tune the memory of SAM 2 on your own videos."""

from os import PathLike
from typing import TYPE_CHECKING, Any

import sam2_video.limits  # noqa: F401 (it tells OpenCV its limit, which is not imported yet)

if TYPE_CHECKING:
    from sam2_video.data.check import CheckReport
    from sam2_video.diagnosis import Diagnosis
    from sam2_video.evaluation import Evaluation, evaluate
    from sam2_video.model.export import Exported, export
    from sam2_video.model.sam2 import SAM2Model
    from sam2_video.model.stream import ObjectPrompt, TrackedFrame
    from sam2_video.prediction import Prediction, PromptRequest, predict
    from sam2_video.scoring import score
    from sam2_video.training.cache import CacheResult
    from sam2_video.training.run import TrainResult

__all__ = [
    "CheckReport",
    "Diagnosis",
    "Evaluation",
    "Exported",
    "ObjectPrompt",
    "Prediction",
    "PromptRequest",
    "SAM2Model",
    "TrackedFrame",
    "TrainResult",
    "cache",
    "check",
    "doctor",
    "evaluate",
    "export",
    "predict",
    "score",
    "train",
]

_HOMES = {
    "CheckReport": "sam2_video.data.check",
    "Diagnosis": "sam2_video.diagnosis",
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


def check(
    data: str | PathLike[str] | None = None,
    *,
    full: bool = False,
    keep_index: bool = True,
    num_processes: int | None = None,
    **keywords: Any,  # noqa: ANN401 (any setting)
) -> "CheckReport":
    """Look at data before it is trained on; what is wrong there is found, not raised.

    Args:
        data: What holds the videos; or give `config`, a YAML file.
        full: Decode every frame, instead of the header and the end of its file.
        keep_index: Take what is known from the index in the user's cache, and write it there.
        num_processes: That read; above 1 a script needs the usual `if __name__ == "__main__":`.
        keywords: The configuration's keys, as `train` takes them.

    Raises:
        ValueError: unknown or wrong settings, all at once; no data are named.
    """
    from sam2_video.configuration import config_from_keywords
    from sam2_video.data.check import inspect_data, summarise

    if data is not None:
        keywords["data_path"] = data
    config = config_from_keywords(**keywords, ready_to_train=False)
    inspection = inspect_data(
        config.dataset,
        config.seed,
        full=full,
        keep_index=keep_index,
        num_processes=num_processes,
    )
    return summarise(inspection)


def cache(*, deletes_stale: bool = False, **keywords: Any) -> "CacheResult":  # noqa: ANN401 (any setting)
    """Fill the feature cache as the command line does; keywords are those of `train`.

    Raises:
        ValueError: unknown or wrong settings, all at once; an encoder that learns; no room.
    """
    from sam2_video.configuration import config_from_keywords
    from sam2_video.training.cache import cache as run

    return run(config_from_keywords(**keywords), deletes_stale=deletes_stale)


def doctor(**keywords: Any) -> "Diagnosis":  # noqa: ANN401 (any setting)
    """Look for faults of this machine, and whether a training fits; keywords are those of `train`.

    What is wrong with the machine is found, not raised.

    Raises:
        ValueError: unknown or wrong settings, all at once.
    """
    from sam2_video.configuration import config_from_keywords
    from sam2_video.diagnosis import diagnose

    return diagnose(config_from_keywords(**keywords, ready_to_train=False))


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    # torch takes seconds to import, and the command line's help does without
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sam2_video' has no attribute {name!r}")

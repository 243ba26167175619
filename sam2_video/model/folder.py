"""The folder that transformers' `from_pretrained` reads: weights, configuration, processor."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import Sam2VideoConfig

from sam2_video.model.architecture import network_config
from sam2_video.model.facts import FACTS, ModelFacts, dump_facts
from sam2_video.model.writing import compare
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD

CONFIG, WEIGHTS, PROCESSOR = "config.json", "model.safetensors", "processor_config.json"


def save_folder(state: Mapping[str, Tensor], facts: ModelFacts, path: Path) -> None:
    """Write weights, configuration and processor of a square model into a new folder.

    Raises:
        ValueError: what was read back differs from what was written.
    """
    path.mkdir()
    config = network_config(facts.architecture, facts.image_size, dropout=0.0)
    config.architectures = ["Sam2VideoModel"]
    kinds = {tensor.dtype for tensor in state.values()}
    if len(kinds) == 1:
        config.dtype = kinds.pop()
    config.save_pretrained(path)
    text = json.dumps(_processor(facts.image_size[0]), indent=2) + "\n"
    (path / PROCESSOR).write_text(text, encoding="utf-8")
    save_safetensors(state, facts, path / WEIGHTS)
    if Sam2VideoConfig.from_pretrained(path).to_dict() != config.to_dict():
        raise ValueError(f"{path / CONFIG}: what was read back differs from what was written")


def save_safetensors(state: Mapping[str, Tensor], facts: ModelFacts, path: Path) -> None:
    """Write one file under transformers' names that says of itself what model it is.

    Raises:
        ValueError: what was read back differs from what was written.
        OSError: the file cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    try:
        save_file(tensors, path, {"format": "pt", FACTS: dump_facts(facts)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    compare(state, path)


def is_folder(path: Path) -> bool:
    """Say whether a path is a folder with a SAM 2 video model of transformers'."""
    config = path / CONFIG
    return config.is_file() and '"model_type": "sam2_video"' in config.read_text(encoding="utf-8")


def read_folder_size(path: Path) -> tuple[int, int] | None:
    """Return the image size that a folder's `config.json` tells, or None where there is none.

    Raises:
        ValueError: the file is no configuration of a SAM 2.
    """
    config = path / CONFIG
    if not config.is_file():
        return None
    try:
        size = json.loads(config.read_text(encoding="utf-8"))["image_size"]
        height, width = size if isinstance(size, list) else (size, size)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{config}: expected transformers' configuration with image_size"
        ) from error
    return height, width


def _processor(side: int) -> dict[str, Any]:
    """Return what `Sam2VideoProcessor` writes; building one would need torchvision."""
    frames = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(PIXEL_MEAN),
        "image_std": list(PIXEL_STD),
        # bilinear
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }
    masks = {"height": side // 4, "width": side // 4}
    return {
        "image_processor": {
            **frames,
            "image_processor_type": "Sam2ImageProcessor",
            "mask_size": masks,
        },
        "point_pad_value": -10,
        "processor_class": "Sam2VideoProcessor",
        "target_size": side,
        "video_processor": {**frames, "video_processor_type": "Sam2VideoVideoProcessor"},
    }

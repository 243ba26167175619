"""A batch on which training failed, saved so that it can be looked at and run again."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2_video.files import whole
from sam2_video.model.writing import save_tensors
from sam2_video.structures import ClipBatch, ClipSource, FrameLevels


def save_batch(path: Path, batch: ClipBatch, weights: dict[str, Tensor]) -> None:
    """Write a batch, whole, with the weights that failed on it."""
    content = {
        "frames": list(batch.frames),
        "masks": list(batch.masks),
        "labelled": batch.labelled,
        "object_clip": batch.object_clip,
        "prompt_frames": list(batch.prompt_frames),
        "sources": [asdict(source) for source in batch.sources],
        "levels": None if batch.levels is None else list(batch.levels.levels),
        "is_projected": batch.levels is not None and batch.levels.is_projected,
        "weights": weights,
    }
    with whole(path) as part:
        save_tensors(content, part)


def load_batch(path: Path) -> tuple[ClipBatch, dict[str, Tensor]]:
    """Read a failed batch and the weights (`MemoryTuner.load_state_dict` takes them)."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    levels = content["levels"]
    batch = ClipBatch(
        frames=tuple(content["frames"]),
        masks=tuple(content["masks"]),
        labelled=content["labelled"],
        object_clip=content["object_clip"],
        prompt_frames=tuple(content["prompt_frames"]),
        sources=tuple(
            ClipSource(
                source["video_id"],
                tuple(source["frame_names"]),
                tuple(source["object_ids"]),
                source["seed"],
                source["variant"],
            )
            for source in content["sources"]
        ),
        levels=levels and FrameLevels(*levels, is_projected=content["is_projected"]),
    )
    return batch, content["weights"]

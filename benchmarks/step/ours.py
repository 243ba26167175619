"""Our side: what a training run computes of a batch, by the code that computes it there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.step.contestant import (
    LEARNING_RATE,
    Contestant,
    MadeClip,
    find_dtype,
    load_model,
    make_clip,
)
from benchmarks.step.settings import Problem, Way
from sam2_video.config import TrainerConfig
from sam2_video.feature_cache import SUFFIX, EncodedRows, RowLayout
from sam2_video.feature_cache.rows import write_rows
from sam2_video.model import tracker
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import Corrections, ModelClips, Prompt
from sam2_video.training import objective
from sam2_video.training.objective import Lesson, learn_from
from sam2_video.training.optimiser import build_optimiser
from tests.model.parity import OFFICIAL_LOSS

PLACES = [
    (SAM2Model, "encode", "encoder"),
    (SAM2Model, "features_from", "encoder"),
    (tracker, "condition_on_memory", "memory attention"),
    (tracker, "decode", "decoder"),
    (tracker, "correct", "decoder"),
    (tracker, "adopt_mask", "decoder"),
    (tracker, "encode_memory", "memory encoder"),
    (objective, "sum_terms", "losses"),
    (objective, "weigh_sums", "losses"),
    (objective, "predicted_similarity", "losses"),
]


def prepare(problem: Problem, way: Way, folder: Path) -> Contestant:
    """Return our side; a feature cache lies in `folder`."""
    device, dtype = torch.device(problem.device), find_dtype(way.precision)
    model = load_model(problem, way.dropout).to(device)
    model.set_trainable(problem.trainable)
    model.train()
    lesson = make_lesson(make_clip(problem).to(device))
    optimiser, _ = build_optimiser(
        model.network.named_parameters(), TrainerConfig(lr=LEARNING_RATE), num_steps=1
    )

    def compute_loss(read: Lesson) -> Tensor:
        learned = learn_from(
            model,
            read,
            OFFICIAL_LOSS,
            objects_at_once=way.objects_at_once,
            activation_checkpointing=way.activation_checkpointing,
        )
        return learned.loss.total

    read = _read_cached(model, lesson, way, folder) if way.cache else lambda: lesson
    return Contestant(model.network, read, compute_loss, optimiser, PLACES, dtype)


def make_lesson(clip: MadeClip) -> Lesson:
    """Return the clip as the network is shown it."""
    device, count = clip.masks.device, len(clip.masks)
    targets = clip.masks.byte()
    rows = tuple(range(count))
    clips = ModelClips(
        pixels=clip.pixels,
        targets=targets,
        labelled=torch.ones(targets.shape[:2], dtype=torch.bool, device=device),
        object_clip=torch.zeros(count, dtype=torch.long, device=device),
        prompt_frames=(0,) * count,
        seeds=(0,),
    )
    num_clicks = clip.places.shape[1]
    if not num_clicks:
        return Lesson(clips, (Prompt(0, rows, masks=targets[:, 0].float()),))
    labels = torch.ones(count, 1, dtype=torch.int32, device=device)
    is_from_truth = torch.zeros(count, num_clicks, dtype=torch.bool, device=device)
    corrections = Corrections(0, rows, targets[:, 0], clip.places, is_from_truth)
    return Lesson(clips, (Prompt(0, rows, points=clip.points, labels=labels),), (corrections,))


def _read_cached(model: SAM2Model, lesson: Lesson, way: Way, folder: Path) -> Callable[[], Lesson]:
    """Write the frames' features as a run does, and return what reads them, as one does."""
    pixels = lesson.clips.pixels
    assert pixels is not None
    dtype = find_dtype(way.precision)
    with torch.autocast(pixels.device.type, dtype, enabled=dtype != torch.float32):
        levels = model.encode_fixed(pixels.flatten(0, 1))
    layout = RowLayout.of(levels, way.precision)
    frames = range(pixels.shape[1])
    rows: EncodedRows = write_rows(folder / f"clip{SUFFIX}", len(frames), layout, [levels])
    without_pixels = replace(lesson, clips=replace(lesson.clips, pixels=None))

    device = pixels.device

    def read() -> Lesson:
        found = rows.read(frames).change(lambda level: level.to(device))
        return replace(without_pixels, clips=replace(without_pixels.clips, levels=found))

    return read

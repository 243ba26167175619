"""The process of one tracker: tracks the same video whenever it is told to."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.peaks import forget, held_gb, peak_gb
from benchmarks.turns import Answer, serve
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.sam2 import SAM2Model
from tests.model.meta_oracle import jitter
from tests.model.video_oracle import build_predictor, meta_tracks, transformers_tracks


def prepare(task: Answer) -> tuple[Answer, Callable[[Answer], Answer]]:
    """Load a tracker and let it track the first frames of the video, which does not count."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side, count = task["side"], task["objects"]
    model = SAM2Model.load(None, task["architecture"], (side, side))
    jitter(model, seed=1)
    model.to(device)
    generator = torch.Generator().manual_seed(0)
    shape = (task["frames"], 3, side, side)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).unbind()
    track = _TRACKERS[task["who"]](model, _make_prompts(count, side))
    del model
    forget(device)
    loaded = held_gb(device)
    track(frames[:2])
    forget(device)

    def work(_: Answer) -> Answer:
        start = time.perf_counter()
        area = track(frames)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "area": area, "peak_gb": peak_gb(device) - loaded}

    return {"loaded_gb": loaded}, work


Track = Callable[[Sequence[Tensor]], float]
"""Tracks a video and returns the mean share of the pixels that are an object's.

Reading it back waits for the device, and keeps whoever is compared honest: masks are at the
video's size for all.
"""


def _ours(model: SAM2Model, prompts: Sequence[ObjectPrompt]) -> Track:
    def track(frames: Sequence[Tensor]) -> float:
        with torch.no_grad():
            shares = [
                (logits > 0).float().mean()
                for frame in model.track(list(frames), prompts)
                for logits in frame.mask_logits
            ]
        return torch.stack(shares).mean().item()

    return track


def _meta(model: SAM2Model, prompts: Sequence[ObjectPrompt]) -> Track:
    # holes are filled by none of the others, and by Meta's only with its CUDA extension
    predictor = build_predictor(model, fill_hole_area=0).to(model.device)

    def track(frames: Sequence[Tensor]) -> float:
        found = meta_tracks(predictor, frames, prompts, start=0)
        return torch.stack([(x.logits > 0).float().mean() for x in found.values()]).mean().item()

    return track


def _transformers(model: SAM2Model, prompts: Sequence[ObjectPrompt]) -> Track:
    def track(frames: Sequence[Tensor]) -> float:
        found = transformers_tracks(model, frames, prompts, start=0)
        return torch.stack([(x.logits > 0).float().mean() for x in found.values()]).mean().item()

    return track


_TRACKERS = {"ours": _ours, "meta": _meta, "transformers": _transformers}


def _make_prompts(count: int, side: int) -> list[ObjectPrompt]:
    """Return a square for each object."""
    prompts = []
    for number in range(count):
        top = number * side // (count + 1)
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[top : top + side // 3, side // 4 : side // 2] = True
        prompts.append(ObjectPrompt(number + 1, 0, mask=mask))
    return prompts


if __name__ == "__main__":
    serve(prepare)

"""Memory of a training step: what each setting saves, by what its graph keeps and by its peak.

Each row is a process of its own, so that peaks do not mix. Prompts are masks, on the CPU, fp32.
"""

import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.apart import measure_apart
from sam2_video.config import LossConfig, PromptConfig
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import ClipBatch, ClipSource
from sam2_video.training.objective import draw_lesson, learn_from

RESULTS = Path(__file__).with_name("results") / "objects.md"
MASKS = PromptConfig(mask=1.0, box=0.0, point=0.0, conditioning_frames=1)
MB = 1e6


@dataclass(frozen=True)
class Setting:
    """What a step works on, and how much of it at once."""

    what: str
    architecture: str = "micro"
    side: int = 256
    clips: int = 1
    frames: int = 5
    objects: int = 24
    objects_at_once: int | None = None
    clips_at_once: int | None = None
    recomputed: str = "none"
    truncate: int | None = None
    modules: str = "memory"


BASE = Setting("as it is")
TINY = Setting("as it is", "sam2.1-tiny", 128, objects=24)
SETTINGS = [
    BASE,
    replace(BASE, what="objects_at_once 12", objects_at_once=12),
    replace(BASE, what="objects_at_once 4", objects_at_once=4),
    replace(BASE, what="objects_at_once 1", objects_at_once=1),
    replace(BASE, what="activation_checkpointing frames", recomputed="frames"),
    replace(BASE, what="both: 4, frames", objects_at_once=4, recomputed="frames"),
    replace(BASE, what="truncate_memory_gradient 1", truncate=1),
    replace(BASE, what="video_clip_length 3", frames=3),
    replace(BASE, what="image_size 128", side=128),
    replace(BASE, what="max_objects 12", objects=12),
    replace(BASE, what="60 objects", objects=60),
    replace(BASE, what="60 objects, objects_at_once 4", objects=60, objects_at_once=4),
    replace(BASE, what="batch_size 4, 6 objects each", clips=4, objects=6),
    replace(
        BASE,
        what="batch_size 4, 6 objects each, clips_at_once 1",
        clips=4,
        objects=6,
        clips_at_once=1,
    ),
    replace(BASE, what="all learns", modules="all"),
    replace(BASE, what="all learns, objects_at_once 4", modules="all", objects_at_once=4),
    TINY,
    replace(TINY, what="objects_at_once 4", objects_at_once=4),
    replace(TINY, what="60 objects", objects=60),
    replace(TINY, what="60 objects, objects_at_once 4", objects=60, objects_at_once=4),
]


def make_batch(setting: Setting) -> ClipBatch:
    """Return clips of grey frames with squares that lie on a grid, all of them on all frames."""
    side, count, frames = setting.side, setting.objects, setting.frames
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(count, frames, side, side, dtype=torch.uint8)
    for row in range(count):
        top, left = (row // 8) * side // 8, (row % 8) * side // 8
        masks[row, :, top : top + side // 6, left : left + side // 6] = 1
    images = torch.randint(0, 256, (frames, 3, side, side), generator=generator, dtype=torch.uint8)
    source = ClipSource("made up", ("",) * frames, tuple(range(count)), 0)
    return ClipBatch(
        frames=(images,) * setting.clips,
        masks=(masks,) * setting.clips,
        labelled=torch.ones(setting.clips * count, frames, dtype=torch.bool),
        object_clip=torch.arange(setting.clips).repeat_interleave(count),
        prompt_frames=(0,) * (setting.clips * count),
        sources=(source,) * setting.clips,
    )


class _Saved:
    """Counts the bytes that autograd keeps, each storage once: not inside what runs twice."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[int, int]] = {}
        self.now = self.peak = 0

    def keep(self, tensor: Tensor) -> "_Kept":
        return _Kept(self, tensor)


class _Kept:
    """A tensor that autograd keeps; it is counted as long as this object lives."""

    def __init__(self, saved: _Saved, tensor: Tensor) -> None:
        self.saved, self.tensor = saved, tensor
        storage = tensor.untyped_storage()
        self.place = storage.data_ptr()
        size, count = saved.held.get(self.place, (storage.nbytes(), 0))
        saved.held[self.place] = size, count + 1
        if not count:
            saved.now += size
            saved.peak = max(saved.peak, saved.now)

    def __del__(self) -> None:
        size, count = self.saved.held[self.place]
        if count == 1:
            del self.saved.held[self.place]
            self.saved.now -= size
        else:
            self.saved.held[self.place] = size, count - 1


def measure(setting: Setting) -> dict[str, float]:
    """Take one step, and return what it kept, its peak above what was loaded, and its time."""
    torch.set_num_threads(1)
    model = SAM2Model.load(None, setting.architecture, (setting.side, setting.side))
    model.set_trainable([setting.modules])
    model.train()
    lesson = draw_lesson(make_batch(setting), model.image_size, MASKS)
    loaded = _peak()
    saved, start = _Saved(), time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda kept: kept.tensor):
        learned = learn_from(
            model,
            lesson,
            LossConfig(),
            setting.truncate,
            setting.clips_at_once,
            setting.objects_at_once,
            setting.recomputed,  # pyright: ignore[reportArgumentType]
        )
        learned.loss.total.backward()
    gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return {
        "saved": saved.peak / MB,
        "peak": (_peak() - loaded) / MB,
        "seconds": time.perf_counter() - start,
        "norm": torch.stack(gradients).norm().item(),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_table(rows: list[tuple[Setting, dict[str, float]]]) -> None:
    """Write the table, each row beside the one that it is a change of."""
    lines = [
        "# Memory of one training step",
        "",
        f"`python -m benchmarks.objects`: one CPU thread, fp32, torch {torch.__version__}. *Kept* "
        "is what autograd holds for the backward pass, without what is computed a second time; "
        "*peak* is how far the process grew in the whole step, and so the number that counts. "
        "Where only what runs at once differs, the gradient's norm stays.",
        "",
        "| network | px | clips x frames x objects | setting | kept (MB) | peak (MB) | s | "
        "gradient norm |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting, found in rows:
        size = f"{setting.clips} x {setting.frames} x {setting.objects}"
        lines.append(
            f"| {setting.architecture} | {setting.side} | {size} | {setting.what} | "
            f"{found['saved']:.0f} | {found['peak']:.0f} | {found['seconds']:.1f} | "
            f"{found['norm']:.6f} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure every setting in a process of its own."""
    rows = []
    # memory that is freed goes back at once, so that the peak is the step's own
    freed = {"MALLOC_MMAP_THRESHOLD_": "65536"}
    for row in measure_apart("benchmarks.objects", SETTINGS, measure, __doc__, **freed):
        rows.append(row)
        print(row[0].what, row[1], flush=True)
        write_table(rows)


if __name__ == "__main__":
    main()

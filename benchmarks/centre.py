"""Time of finding the centre of the largest error: our batch, OpenCV object by object, Meta's code.

    python -m benchmarks.centre

Everything in one process with one thread, in turns (A B C A B C ...), medians of the thread's
processor time, which a busy machine disturbs less than the clock. Meta's `sam2` is optional.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from sam2_video.prompts.centre import innermost_pixels

RESULTS = Path(__file__).with_name("results") / "centre.json"
Regions = dict[str, tuple[Tensor, Tensor]]
"""Truth and what is said, [objects, height, width], by the name of the case."""


def make_cases(count: int, side: int) -> Regions:
    """Return discs of 10 to 70 pixels' radius as truth, and what may be said of them."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.rand(count, 2, generator=generator) * (side - 112) + 50
    radii = torch.rand(count, generator=generator) * 60 + 10
    shifts = torch.randn(count, 2, generator=generator) * 8
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")

    def discs(middles: Tensor, radius: Tensor) -> Tensor:
        across, down = (x - middles[:, 0, None, None]), (y - middles[:, 1, None, None])
        return across**2 + down**2 < radius[:, None, None] ** 2

    truth = discs(centres, radii)
    return {
        "shifted and larger": (truth, discs(centres + shifts, radii * 1.1)),
        "nothing found": (truth, torch.zeros_like(truth)),
        "everything found": (truth, torch.ones_like(truth)),
        "all wrong": (truth, ~truth),
        "nothing wrong": (truth, truth),
        "noise": (truth, torch.rand(truth.shape, generator=generator) < 0.5),
    }


def ours(truth: Tensor, said: Tensor) -> list[int]:
    """Return the pixel of each object's click, by one batch."""
    is_wrong = truth != said
    return innermost_pixels(is_wrong.byte() + (is_wrong & truth).byte()).tolist()


def opencv(truth: Tensor, said: Tensor) -> list[int]:
    """Return the same by two calls of OpenCV an object."""
    pixels = []
    for region, found in zip(truth.numpy(), said.numpy(), strict=True):
        missed, taken = (
            cv2.distanceTransform(np.pad(wrong.astype(np.uint8), 1), cv2.DIST_L2, 0)[1:-1, 1:-1]
            for wrong in (region & ~found, found & ~region)
        )
        pixels.append(int((missed if missed.max() > taken.max() else taken).argmax()))
    return pixels


def meta(truth: Tensor, said: Tensor) -> list[int]:
    """Return the same by Meta's function."""
    from sam2.modeling.sam2_utils import (  # pyright: ignore[reportMissingImports]
        sample_one_point_from_error_center,
    )

    points, _ = sample_one_point_from_error_center(truth[:, None], said[:, None])
    return (points[:, 0, 1] * truth.shape[-1] + points[:, 0, 0]).long().tolist()


def depths(truth: Tensor, said: Tensor, pixels: list[int]) -> list[int]:
    """Return how deep inside of an error each pixel lies, as squared distances."""
    found = []
    for region, mask, pixel in zip(truth.numpy(), said.numpy(), pixels, strict=True):
        deepest = 0
        for wrong in (region & ~mask, mask & ~region):
            padded = np.pad(wrong.astype(np.uint8), 1)
            distances = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]
            deepest = max(deepest, round(float(distances.flatten()[pixel]) ** 2))
        found.append(deepest)
    return found


def main() -> None:
    """Measure every case, print a table, and write benchmarks/results/centre.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ways: dict[str, Callable[[Tensor, Tensor], list[int]]] = {"ours": ours, "opencv": opencv}
    if find_spec("sam2") is not None:
        ways["meta"] = meta
    rows = []
    for name, case in make_cases(flags.objects, flags.side).items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        # the first round warms up
        for number in range(flags.repeats + 1):
            for way, find in ways.items():
                start = time.thread_time()
                find(*case)
                if number:
                    times[way].append((time.thread_time() - start) * 1e3)
        deep = {way: depths(*case, find(*case)) for way, find in ways.items()}
        row = {
            "case": name,
            "ms": {way: round(statistics.median(values), 1) for way, values in times.items()},
            "spread_ms": {way: [min(values), max(values)] for way, values in times.items()},
            "equally_deep": all(depth == deep["ours"] for depth in deep.values()),
        }
        rows.append(row)
        print(f"{name}: {row['ms']} ms, equally deep: {row['equally_deep']}", flush=True)
    content = {
        "machine": platform.processor() or platform.machine(),
        "objects": flags.objects,
        "side": flags.side,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

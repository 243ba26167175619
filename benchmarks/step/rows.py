"""The named rows of the benchmark: what is hoped for first, then a part of the grid."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from benchmarks.step.settings import (
    EVERYTHING,
    MEMORY_ONLY,
    Device,
    Problem,
    Reach,
    Row,
    Shown,
    Way,
)

META, OURS, CACHED = "Meta", "ours", "ours, cache"
LIGHT, AGAIN, FRAMES_AGAIN = "ours, light", "ours, cheap", "ours, frames"
NOISY = "ours, dropout 0.1"
COMPILED, TRIED = "ours, compiled", "ours, compiled, kernels by trial"
META_DROPOUT = 0.1
CLICKS = 7
FAMILIES = ("quick", "reach", "grid", "objects", "compiled", "full")
FP32 = {META: Way("meta"), OURS: Way("ours")}
BF16 = {label: replace(way, precision="bf16") for label, way in FP32.items()}
COMPILED_BF16 = {
    OURS: Way("ours", "bf16"),
    COMPILED: Way("ours", "bf16", compile="auto"),
    TRIED: Way("ours", "bf16", compile="max"),
}
_TINY, _BASE = "sam2.1-tiny", "sam2.1-base-plus"


def all_rows() -> list[Row]:
    """Return every row, each of another name."""
    return [
        *_quick(),
        *_reach_on_cpu(),
        *_reach_on_gpu(),
        *_grid(),
        *_objects(),
        *_compiled(),
        *_full(),
    ]


def choose_rows(asked: Sequence[str]) -> list[Row]:
    """Return the rows of some names, globs or families, in the order of the list.

    Raises:
        ValueError: one of them matches nothing; names the families.
    """
    rows = all_rows()
    for pattern in asked:
        if not any(_matches(row, pattern) for row in rows):
            raise ValueError(
                f"--rows: got {pattern!r}, which matches nothing; expected names or globs of "
                f"--list, or {', '.join(FAMILIES)}"
            )
    return [row for row in rows if any(_matches(row, pattern) for pattern in asked)]


def _matches(row: Row, pattern: str) -> bool:
    return pattern in row.families or fnmatchcase(row.name, pattern)


def _quick() -> Iterator[Row]:
    ways = FP32 | {"ours, bf16, cache": Way("ours", "bf16", cache=True)}
    problem = Problem(side=256)
    yield Row("quick", "256 px, tiny", problem, ways, rounds=3, families=("quick",))


def _reach_on_cpu() -> Iterator[Row]:
    def row(
        name: str,
        title: str,
        ways: dict[str, Way],
        *reaches: Reach,
        problem: Problem = Problem(),  # noqa: B008 (it cannot be changed)
        rounds: int = 4,
    ) -> Row:
        return Row(
            name, f"CPU, {title}", problem, ways, reaches, rounds=rounds, families=("reach",)
        )

    meta = {META: Way("meta")}
    cached = {CACHED: Way("ours", cache=True)}
    fast = {"ours, bf16, cache": Way("ours", "bf16", cache=True)}
    yield row("cpu-512", "512 px, fp32, dropout 0", FP32, Reach(OURS, "time", 0.88))
    yield row(
        "cpu-512-dropout",
        "512 px, fp32, Meta's dropout of 0.1",
        {META: Way("meta", dropout=META_DROPOUT), NOISY: Way("ours", dropout=META_DROPOUT)}
        | {OURS: Way("ours")},
        Reach(NOISY, "time", 0.80),
        rounds=3,
    )
    yield row("cpu-512-cache", "512 px, fp32", meta | cached, Reach(CACHED, "time", 0.58))
    for side, most in ((512, 0.38), (256, 0.33)):
        yield row(
            f"cpu-{side}-bf16-cache",
            f"{side} px, bf16 against Meta's fp32",
            meta | fast,
            *(Reach(label, "time", most) for label in fast),
            problem=Problem(side=side),
        )
    # four processes, which lie in memory beside each other, are the most that fit into 24 GB
    yield row(
        "cpu-512-memory",
        "512 px, 8 frames, fp32",
        FP32 | {LIGHT: Way("ours", activation_checkpointing="light")},
        Reach(LIGHT, "peak", 0.35),
        problem=Problem(frames=8),
        rounds=3,
    )
    yield row(
        "cpu-512-memory-least",
        "512 px, 8 frames, fp32, least memory",
        FP32
        | {
            AGAIN: Way("ours", activation_checkpointing="cheap"),
            FRAMES_AGAIN: Way("ours", activation_checkpointing="frames"),
        },
        problem=Problem(frames=8),
        rounds=2,
    )


def _reach_on_gpu() -> Iterator[Row]:
    ways = BF16 | {CACHED: Way("ours", "bf16", cache=True)}
    for side, times, more in (
        (512, (0.33, 0.25), ()),
        (1024, (0.45, 0.45), (Reach(OURS, "peak", 0.33),)),
    ):
        yield Row(
            f"gpu-{side}",
            f"GPU, {side} px, 8 frames, bf16",
            Problem(side=side, frames=8, device="cuda"),
            ways,
            (*(Reach(way, "time", x) for way, x in zip((OURS, CACHED), times, strict=True)), *more),
            rounds=12,
            families=("reach",),
        )


def _grid() -> Iterator[Row]:
    """Return rows that differ in one thing, or two, from the first of their size."""
    changes: list[tuple[int, dict[str, Any], int]] = [
        (256, {}, 3),
        (256, {"frames": 8}, 3),
        (256, {"objects": 1}, 3),
        (256, {"objects": 16}, 2),
        (256, {"architecture": _BASE}, 3),
        (256, {"trainable": EVERYTHING}, 3),
        (256, {"prompt": "point", "clicks": CLICKS}, 3),
        (256, {"architecture": _BASE, "trainable": EVERYTHING}, 3),
        (256, {"prompt": "point", "clicks": CLICKS, "trainable": EVERYTHING}, 3),
        (512, {"objects": 1}, 3),
        (512, {"architecture": _BASE}, 2),
        (512, {"trainable": EVERYTHING}, 2),
        (512, {"prompt": "point", "clicks": CLICKS}, 2),
        (1024, {"objects": 1}, 1),
    ]
    for side, change, rounds in changes:
        problem = Problem(side=side, **change)
        yield Row(
            f"grid-{describe_problem(problem)}",
            "",
            problem,
            FP32,
            rounds=rounds,
            families=("grid",),
        )


def _objects() -> Iterator[Row]:
    devices: list[tuple[Device, int, dict[str, Way]]] = [("cpu", 256, FP32), ("cuda", 512, BF16)]
    for device, side, ways in devices:
        for count in (1, 2, 4, 8, 16, 32):
            problem = Problem(side=side, objects=count, device=device)
            name = f"objects-{count}" if device == "cpu" else f"gpu-objects-{count}"
            yield Row(name, "", problem, ways, rounds=2, families=("objects",))


def _compiled() -> Iterator[Row]:
    """Return rows of processes that last: one that is made for each turn would compile anew."""
    heavy: dict[str, Any] = {"prompt": "point", "clicks": CLICKS, "trainable": EVERYTHING}
    for side, change in product((256, 512, 1024), (dict[str, Any](), heavy)):
        problem = Problem(side=side, frames=8, device="cuda", **change)
        name = f"gpu-compiled-{describe_problem(problem)}"
        yield Row(name, "", problem, COMPILED_BF16, rounds=12, families=("compiled",))


def _full() -> Iterator[Row]:
    """Return the whole grid, for a GPU: on a CPU it would take days."""
    shown: list[tuple[Shown, int]] = [("mask", 0), ("point", CLICKS)]
    for side, frames, objects, architecture, (prompt, clicks), trainable in product(
        (256, 512, 1024), (5, 8), (1, 3, 16), (_TINY, _BASE), shown, (MEMORY_ONLY, EVERYTHING)
    ):
        problem = Problem(
            architecture, side, frames, objects, prompt, clicks, trainable, device="cuda"
        )
        name = f"full-{describe_problem(problem)}"
        yield Row(name, "", problem, BF16, rounds=6, is_apart=True, families=("full",))


def describe_problem(problem: Problem) -> str:
    """Return a name for files: what differs from problem to problem."""
    architecture = problem.architecture.removeprefix("sam2.1-")
    what = "all" if problem.trainable == EVERYTHING else "memory"
    prompt = problem.prompt + (f"{problem.clicks}" if problem.clicks else "")
    return f"{problem.side}px-{problem.frames}f-{problem.objects}o-{architecture}-{prompt}-{what}"

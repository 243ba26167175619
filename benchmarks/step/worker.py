"""The process of one contestant: prepares it, then takes a step whenever it is told to."""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.levers import switched_off
from benchmarks.peaks import available_gb, forget, held_gb, peak_gb
from benchmarks.step import meta, ours
from benchmarks.step.contestant import Contestant
from benchmarks.step.floor import Census
from benchmarks.step.flops import counted, measure_matmul
from benchmarks.step.settings import Problem, Way
from benchmarks.step.timeline import Timeline, timeline_on, watch
from benchmarks.turns import Answer, say, serve
from sam2_video.model.compilation import compile_parts
from sam2_video.training.out_of_memory import is_out_of_memory

LEFT_FREE = 0.95
"""Share of the free memory that a contestant may take: one that wants more says so, and is not
killed, nor is anybody else."""


def prepare(task: Answer) -> tuple[Answer, Callable[[Answer], Answer]]:
    """Load a contestant and let it take a step that does not count, and one more if compiled.

    What is loaded is measured before it, peaks after both. The work is a step. Operations are
    counted when they are asked for, after all steps, because that leaves its mark on the heap; of
    what is compiled at once, because nothing within a graph is counted.
    """
    problem, way = Problem.read(task["problem"]), Way(**task["way"])
    device = torch.device(problem.device)
    folder = Path(_keep.enter_context(tempfile.TemporaryDirectory()))
    _keep.enter_context(switched_off(way.without))
    _limit_memory(device)
    dtype = torch.bfloat16 if way.precision == "bf16" else torch.float32
    matmul = measure_matmul(device, dtype)
    contestant = (
        ours.prepare(problem, way, folder) if way.who == "ours" else meta.prepare(problem, way)
    )
    forget(device)
    found: Answer = {"loaded_gb": held_gb(device), "matmul_tflops": matmul}
    found["glibc_tunables"] = os.environ.get("GLIBC_TUNABLES", "")
    loss, norm = contestant.step(Timeline())
    found |= {"loss": loss.item(), "gradient_norm": norm.item()}
    # ours puts what the first step has left of a CPU's memory into large pages, once
    contestant.step(Timeline())
    if way.compile != "off":
        counted_before = _count(contestant, is_floor_asked=False)
        found["compiled"] = _compile(contestant, way, device)
    else:
        counted_before = None
    forget(device)
    timeline = timeline_on(device)
    watched = ExitStack()
    _keep.enter_context(watched)
    watched.enter_context(watch(timeline, contestant.places))

    def work(asked: Answer) -> Answer:
        if "count" not in asked:
            return _take_step(contestant, timeline, device, found["loaded_gb"])
        watched.close()
        return counted_before or _count(contestant, is_floor_asked=asked["floor"])

    return found, work


_keep = ExitStack()
"""What lasts as long as the process."""


def _take_step(
    contestant: Contestant, timeline: Timeline, device: torch.device, loaded: float
) -> Answer:
    timeline.start()
    _wait(device)
    used, start = time.process_time(), time.perf_counter()
    contestant.step(timeline)
    _wait(device)
    found: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - used,
        "parts": timeline.totals(),
        "peak_gb": peak_gb(device) - loaded,
    }
    if device.type == "cuda":
        found["reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    return found


def _count(contestant: Contestant, *, is_floor_asked: bool) -> Answer:
    """Count the operations of a step, part by part; and say what they take at least."""
    census = Census() if is_floor_asked else None
    with census or nullcontext(), counted() as count:
        work_done = Timeline(count)
        with watch(work_done, contestant.places):
            contestant.step(work_done)
        flop = work_done.totals()
    found: Answer = {"tflop": {part: number / 1e12 for part, number in flop.items()}}
    return found if census is None else found | {"floor": census.measure()}


def _compile(contestant: Contestant, way: Way, device: torch.device) -> dict[str, Any]:
    """Take a step that compiles; not the first one, because nothing within a graph is counted."""
    compiler = compile_parts(contestant.network, way.compile, device)
    if compiler is None:
        raise ValueError(f"compile: {way.compile} compiles nothing on {device}")
    contestant.step(Timeline())
    return compiler.summary()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _limit_memory(device: torch.device) -> None:
    """Let an allocation fail that the machine could not serve."""
    if device.type == "cpu":
        most = int(available_gb() * LEFT_FREE * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def main() -> None:
    """Serve; say so where memory does not suffice."""
    try:
        serve(prepare)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        first = str(error).partition("\n")[0]
        say({"failed": f"out of memory ({available_gb():.1f} GB were free): {first}"})


if __name__ == "__main__":
    main()

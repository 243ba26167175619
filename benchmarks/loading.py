"""`python -m benchmarks.loading`: how fast data are checked and loaded, and what an index weighs.

Each measurement is a process of its own, so that peaks do not mix. Data are made up: rendered
videos, and for the check one set of files that is linked under many names. Results of a machine
that others use too are the slower for it: `cpu_seconds` tells more than `seconds` there.
"""

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.loading_page import RESULT, write_page
from benchmarks.machine import describe_machine
from sam2_video.config import DatasetConfig
from sam2_video.data.check import inspect_data
from sam2_video.data.cores import num_cores
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.folder import FolderVideo
from sam2_video.data.layout import open_dataset
from sam2_video.data.loader import ClipLoader, EpochSampler
from sam2_video.data.sampling import ClipSettings, draw_clip
from sam2_video.data.shelf import Shelf
from sam2_video.data.source import ImageFiles
from sam2_video.data.synthetic import write_dataset
from sam2_video.data.video import Video
from sam2_video.files import write_json
from sam2_video.masks import encode_rle
from sam2_video.visualise import encode_mp4

NUM_VIDEOS, NUM_FRAMES = 1000, 100
MANY_VIDEOS, WORKERS = 10_000, 4
FRAME_SIZES = {512: (480, 854), 1024: (1080, 1920)}
"""Height and width of the stored frames at each size of the model's input."""
CLIPS = 40
SETTINGS = ClipSettings(length=5, frame_stride=(1, 3), reverse_probability=0.5, max_objects=3)
PRESET = replace(SETTINGS, length=8, max_objects=7)
"""The clips of the presets for GPUs: as many frames, and as many objects as the largest of them."""
MIB = 2**20


def measure_check(folder: Path) -> dict[str, Any]:
    """Check 1,000 videos of 100 frames, twice: read, then from the index."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    source = folder / "source"
    write_dataset(source, 0, 1, NUM_FRAMES, (480, 854), (5, 5))
    files = [sorted((source / name / "video_000").iterdir()) for name in ("videos", "masks")]
    for number in range(NUM_VIDEOS):
        for level, paths in zip(("JPEGImages", "Annotations"), files, strict=True):
            place = folder / "davis" / level / f"video_{number:04d}"
            place.mkdir(parents=True)
            for path in paths:
                (place / path.name).hardlink_to(path)
    config = DatasetConfig(data_path=str(folder / "davis"))
    found: dict[str, Any] = {"videos": NUM_VIDEOS, "frames": NUM_VIDEOS * NUM_FRAMES}
    found["files"] = sum(map(len, files)) * NUM_VIDEOS
    open_dataset(folder / "davis")  # the system looks its folders up for the first time
    for name, follow_links in (("open_and_check_links", False), ("open", True)):
        used = _cpu_seconds()
        open_dataset(folder / "davis", follow_links=follow_links)
        found[name] = {"cpu_seconds": _cpu_seconds() - used}
    for name in ("read", "from_index"):
        start, used = time.perf_counter(), _cpu_seconds()
        inspect_data(config, 0)
        found[name] = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": _cpu_seconds() - used,
        }
    return found


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those it has started and seen end."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(one) for one in whom]
    return sum(one.ru_utime + one.ru_stime for one in usages)


def measure_memory(folder: Path) -> dict[str, Any]:
    """Hold a million frames, and look all of them up in forked processes, as loading clips does."""
    before = _memory("Rss")
    videos = [_make_video(folder, number) for number in range(MANY_VIDEOS)]
    shelf = Shelf(videos)
    held = _memory("Rss")
    context = get_context("fork")
    gc.freeze()  # as the loader does
    ends, processes = [], []
    for worker in range(WORKERS):
        ours, theirs = context.Pipe()
        process = context.Process(target=_look_up, args=(theirs, shelf, worker))
        process.start()
        ends.append(ours)
        processes.append(process)
    usages = [end.recv() for end in ends]
    for process in processes:
        process.join()
    return {
        "frames": MANY_VIDEOS * NUM_FRAMES,
        "rss_before_mib": before / MIB,
        "rss_mib": held / MIB,
        "bytes_a_frame": (held - before) / (MANY_VIDEOS * NUM_FRAMES),
        "workers": WORKERS,
        "private_mib_at_start": [first / MIB for first, _ in usages],
        "private_mib_after_an_epoch": [last / MIB for _, last in usages],
    }


def _make_video(folder: Path, number: int) -> FolderVideo:
    frames, masks = (
        folder / level / f"video_{number:05d}" for level in ("JPEGImages", "Annotations")
    )
    names = [f"frame_{index:05d}" for index in range(NUM_FRAMES)]
    video = FolderVideo(
        f"video_{number:05d}",
        ImageFiles([frames / f"{name}.jpg" for name in names], (480, 854)),
        names,
        [masks / f"{name}.png" for name in names],
    )
    shown = np.arange(NUM_FRAMES, dtype=np.int32) // 50
    video.recall(shown, [(1, 2, 3), (1, 3)])
    return video


def _look_up(end: Connection, videos: Sequence[Video], worker: int) -> None:
    """Look up all that a clip needs of every frame of this process' share of the videos."""
    start = _memory("Private_Dirty")
    for number in range(worker, len(videos), WORKERS):
        video = videos[number]
        plan = draw_clip(video, SETTINGS, np.random.SeedSequence([number]))
        assert plan.object_ids
        assert isinstance(video.frames, ImageFiles)
        assert all(video.frames.paths[index].name for index in plan.frames)
        for index in range(video.num_frames):
            assert video.visible_objects(index)
            assert video.frame_names[index]
    end.send((start, _memory("Private_Dirty")))


def _memory(name: str) -> float:
    """Return the bytes of this process, as the kernel counts them."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith(f"{name}:"))
    return float(line.split()[1]) * 1024


def measure_loader(folder: Path) -> dict[str, Any]:
    """Load clips of each layout, at two sizes, in this process, in another one, and in two."""
    rows = []
    for side, size in FRAME_SIZES.items():
        source = folder / str(side)
        write_dataset(source, 0, 4, 24, size, (3, 5))
        _write_sav(source, folder / f"sav_{side}")
        layouts = {
            "DAVIS (JPEG, PNG)": (source / "videos", source / "masks"),
            "COCO (JPEG, RLE)": (source / "coco.json", None),
            "SA-V (mp4, RLE)": (folder / f"sav_{side}", None),
        }
        for layout, places in layouts.items():
            rows.append(_measure_layout(layout, places, side, SETTINGS))
    source = folder / "preset"
    side, size = list(FRAME_SIZES.items())[-1]
    write_dataset(source, 0, 4, 24, size, (PRESET.max_objects, PRESET.max_objects))
    layout = f"DAVIS, {PRESET.length} frames, {PRESET.max_objects} objects"
    preset = _measure_layout(layout, (source / "videos", source / "masks"), side, PRESET)
    shape = {"length": SETTINGS.length, "max_objects": SETTINGS.max_objects}
    return shape | {"rows": rows, "preset": preset}


def _measure_layout(
    layout: str, places: tuple[Path, Path | None], side: int, settings: ClipSettings
) -> dict[str, Any]:
    videos = tuple(open_dataset(*places))
    size = (side, side)
    found = {count: _time_loader(videos, size, count, settings) for count in (0, 1, 2)}
    row: dict[str, Any] = {"layout": layout, "input": side, "frames": list(videos[0].size)}
    row["cpu_seconds_a_clip"] = found[0][1]
    row["clips_per_second"] = {str(count): found[count][0] for count in (1, 2)}
    print(row, flush=True)
    return row


def _time_loader(
    videos: tuple[Video, ...], size: tuple[int, int], workers: int, settings: ClipSettings
) -> tuple[float, float]:
    """Return clips a second, and the seconds of this process' processor that a clip took."""
    clips_per_video = CLIPS / len(videos)
    shelf = Shelf(videos) if workers else videos
    dataset = ClipDataset([ClipSet(shelf, settings, clips_per_video)], 0, size)
    loader = ClipLoader(dataset, EpochSampler(len(dataset), 0), 1, workers)
    for _ in loader:  # processes start, and visible objects are found out
        pass
    start, used = time.perf_counter(), time.process_time()
    count = sum(batch.num_clips for batch in loader)
    return count / (time.perf_counter() - start), (time.process_time() - used) / count


def _write_sav(source: Path, folder: Path) -> None:
    """Write rendered videos once more as SA-V has them."""
    folder.mkdir()
    for video in open_dataset(source / "videos", source / "masks"):
        frames = (video.read_frame(i).permute(1, 2, 0).numpy() for i in range(video.num_frames))
        (folder / f"{video.video_id}.mp4").write_bytes(encode_mp4(frames, 24))
        rows = [
            [encode_rle(mask == 1) for mask in video.read_masks(index, video.object_ids)]
            for index in range(0, video.num_frames, 4)
        ]
        height, width = video.size
        content = {
            "video_frame_count": video.num_frames,
            "video_height": height,
            "video_width": width,
            "masklet_id": list(range(len(video.object_ids))),
            "masklet": rows,
        }
        write_json(folder / f"{video.video_id}_manual.json", content)


PARTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "check": measure_check,
    "memory": measure_memory,
    "loader": measure_loader,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what was asked for, each part in a process, and keep the rest of the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--page", action="store_true", help="only write docs/check.md anew")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.page:
        write_page()
        return
    if arguments.inside:
        with TemporaryDirectory() as folder:
            print(json.dumps(PARTS[arguments.parts[0]](Path(folder))))
        return
    results = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    for part in arguments.parts or PARTS:
        command = [sys.executable, "-m", "benchmarks.loading", part, "--inside"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        results[part] = measured | {"machine": _describe_machine()}
    write_json(RESULT, results)
    write_page()
    print(json.dumps(results, indent=2))


def _describe_machine() -> dict[str, Any]:
    versions = {name: version(name) for name in ("torch", "pillow", "opencv-python-headless")}
    return {"cpu": describe_machine()["cpu"], "cores": num_cores(), "versions": versions}


if __name__ == "__main__":
    main()

"""Keep what was found out about videos in the user's cache, for as long as their files stay.

One file a data set, written whole; what belongs to it is told by the size and time of every file.
"""

import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from loguru import logger

from sam2_video.data.facts import FAULT_KINDS, THUMBNAIL, Fault, VideoFacts
from sam2_video.data.video import UNKNOWN, Video

VERSION = 1
_PRINT_BYTES = 16
# what numpy and zipfile raise on members that are damaged, or lie about their size
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    SyntaxError,
    RuntimeError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True)
class Known:
    """What is kept of a video, and the fingerprints of the files that it was read from."""

    facts: VideoFacts
    annotations: bytes
    frames: bytes


def index_path(data_path: Path, masks_path: Path | None, layout: str) -> Path | None:
    """Return where the index of a data set lies, in the user's cache folder; None without one.

    The data's own folder may be read-only, or be shared with others who may write to it.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home, as in containers
        return None
    opened = [str(data_path.resolve()), str(masks_path and masks_path.resolve()), layout]
    name = blake2b(json.dumps(opened).encode(), digest_size=12).hexdigest()
    return Path(base, "sam2_video", "index", f"{name}.npz")


def fingerprint(sources: Iterable[str]) -> bytes:
    """Return a digest of the names, sizes and times of files; empty if there are none."""
    digest = blake2b(digest_size=_PRINT_BYTES)
    is_any = False
    for source in sources:
        is_any = True
        try:
            found = os.stat(source)  # noqa: PTH116 (100,000 times)
            digest.update(
                f"{source}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "replace")
            )
        except OSError:  # a setting, or a file that reading will miss
            digest.update(f"{source}\0\0".encode("utf-8", "replace"))
    return digest.digest() if is_any else b""


def recall(videos: Sequence[Video], path: Path | None) -> int:
    """Tell videos which objects their frames show, where that is kept; return of how many it is.

    Nothing is read but sizes and times of files.
    """
    known = load_index(path) if path is not None else {}
    count = 0
    for video in videos:
        one = known.get(video.video_id)
        if one is None or len(one.facts.shown) != video.num_frames:
            continue
        if one.annotations and one.annotations == fingerprint(video.annotation_sources()):
            video.recall(one.facts.shown, one.facts.sets)
            count += 1
    return count


def save_index(path: Path, known: Mapping[str, Known]) -> None:
    """Write an index, whole; where nothing can be written, say so and go on without.

    Several processes may write at once: the last one stays.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **_pack(known))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        logger.warning(f"{path}: the index cannot be kept ({error}); the next run reads all again")


def load_index(path: Path) -> dict[str, Known]:
    """Read an index; one that is damaged or of another version is as good as none."""
    try:
        if not path.is_file():
            return {}
        # opened here: of a damaged file numpy's own handle would stay open
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(value, np.ndarray) for value in arrays.values()):
            raise ValueError("a part that is no array")
        if int(arrays["version"]) != VERSION:
            return {}
        return _unpack(arrays)
    except _DAMAGED as error:
        logger.warning(f"{path}: the index is damaged ({error}), and is made anew")
        return {}


def _pack(known: Mapping[str, Known]) -> dict[str, np.ndarray]:
    ones = list(known.values())
    facts = [one.facts for one in ones]
    sets = [ids for fact in facts for ids in fact.sets]
    rest = {
        "videos": list(known),
        "annotations": [one.annotations.hex() for one in ones],
        "frames": [one.frames.hex() for one in ones],
        "faults": [[[f.kind, f.frame, f.message] for f in fact.faults] for fact in facts],
    }
    return {
        "version": np.array(VERSION),
        "sizes": np.array([fact.size for fact in facts], dtype=np.int64).reshape(-1, 2),
        "counts": np.array(
            [
                (len(f.shown), len(f.sets), len(f.areas), len(f.pictured), len(f.repeats))
                for f in facts
            ],
            dtype=np.int64,
        ).reshape(-1, 5),
        "shown": _join([fact.shown for fact in facts], np.int32),
        "set_lengths": np.array([len(ids) for ids in sets], dtype=np.int64),
        "set_ids": np.array([i for ids in sets for i in ids], dtype=np.int64),
        "areas": _join([fact.areas for fact in facts], np.int64),
        "pictured": _join([fact.pictured for fact in facts], np.int32),
        "thumbnails": _join([fact.thumbnails for fact in facts], np.uint8, (THUMBNAIL, THUMBNAIL)),
        "repeats": _join([fact.repeats for fact in facts], np.int32, (2,)),
        "rest": np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8),
    }


def _join(parts: Sequence[np.ndarray], kind: Any, shape: tuple[int, ...] = ()) -> np.ndarray:  # noqa: ANN401
    return np.concatenate([np.zeros((0, *shape), dtype=kind), *parts]).astype(kind)


def _unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, Known]:
    rest = json.loads(arrays["rest"].tobytes())
    ends = np.cumsum(np.vstack([np.zeros((1, 5), dtype=np.int64), arrays["counts"]]), axis=0)
    names = ("shown", "set_lengths", "areas", "pictured", "repeats")
    if any(len(arrays[name]) != end for name, end in zip(names, ends[-1], strict=True)):
        raise ValueError("lengths that contradict each other")
    set_ends = np.append(0, np.cumsum(arrays["set_lengths"]))
    known = {}
    for row, video_id in enumerate(rest["videos"]):
        pieces = [slice(*ends[row : row + 2, column].tolist()) for column in range(5)]
        frames, own_sets, areas, pictured, repeats = pieces
        sets = tuple(
            tuple(arrays["set_ids"][set_ends[i] : set_ends[i + 1]].tolist())
            for i in range(own_sets.start, own_sets.stop)
        )
        facts = VideoFacts(
            size=(int(arrays["sizes"][row, 0]), int(arrays["sizes"][row, 1])),
            shown=arrays["shown"][frames],
            sets=sets,
            areas=arrays["areas"][areas],
            pictured=arrays["pictured"][pictured],
            thumbnails=arrays["thumbnails"][pictured],
            repeats=arrays["repeats"][repeats],
            faults=tuple(Fault(*fault) for fault in rest["faults"][row]),
        )
        _check(facts)
        prints = (bytes.fromhex(rest[name][row]) for name in ("annotations", "frames"))
        known[str(video_id)] = Known(facts, *prints)
    return known


def _check(facts: VideoFacts) -> None:
    """Refuse facts that contradict each other."""
    lengths: Int64[np.ndarray, " sets"] = np.array([len(s) for s in facts.sets] + [0])
    is_inside = (
        not len(facts.shown) or UNKNOWN <= facts.shown.min() <= facts.shown.max() < len(lengths) - 1
    )
    kinds = {fault.kind for fault in facts.faults}
    if (
        not is_inside
        or lengths[facts.shown].sum() != len(facts.areas)
        or not kinds <= set(FAULT_KINDS)
    ):
        raise ValueError("facts that contradict each other")

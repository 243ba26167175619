"""Open all that a configuration names, whatever is wrong with it, and look at every video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger

from sam2_video.config import DatasetConfig, every_set
from sam2_video.data.check.findings import find_in_path, find_in_video
from sam2_video.data.check.likeness import find_alike
from sam2_video.data.check.looking import look_at_videos
from sam2_video.data.check.messages import (
    find_in_error,
    find_in_fault,
    find_unopened,
    find_unread,
    split_message,
)
from sam2_video.data.check.report import GRADES, Finding, Part
from sam2_video.data.facts import VideoFacts
from sam2_video.data.index import index_path
from sam2_video.data.layout import choose_layout, open_dataset
from sam2_video.data.recognise import Layout
from sam2_video.data.sets import divide
from sam2_video.data.video import Problems, Video


@dataclass(frozen=True)
class OpenedPath:
    """What one path holds: the videos that could be opened, and what is known of each."""

    path: str
    config: DatasetConfig
    layout: Layout | None
    videos: Sequence[Video]
    facts: Mapping[str, VideoFacts]
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Inspection:
    """All paths of a configuration, and what was found there."""

    config: DatasetConfig
    paths: tuple[OpenedPath, ...]
    findings: tuple[Finding, ...]


def inspect_data(
    config: DatasetConfig,
    seed: int,
    *,
    full: bool = False,
    keep_index: bool = True,
    num_processes: int | None = None,
) -> Inspection:
    """Look at the data of a configuration; what is wrong there is found, not raised.

    Args:
        config: The section `dataset`.
        seed: Of the split into training and validation.
        full: Decode every frame, instead of its header and its end.
        keep_index: Take what is known from the index in the user's cache, and write it there.
        num_processes: That read; None = one a core, if there is enough to do.
    """
    if config.data_path is None:
        raise ValueError("dataset.data_path is not set; give a folder of videos or a COCO JSON")
    look = _Look(full, keep_index, num_processes)
    paths: list[OpenedPath] = []
    findings: list[Finding] = []
    for number, (one, _) in enumerate(every_set(config)):
        own, found = _open_side(one, "train", look)
        findings += found
        if one.val_path is not None:
            own_val = replace(one, data_path=one.val_path, masks_path=one.val_masks_path)
            validation, found = _open_side(own_val, "val", look)
            opened = [own, validation]
        else:
            own, found = _hold_out(own, seed, number, has_val_path=config.val_path is not None)
            opened = [own]
        findings += found
        findings += [finding for side in opened for finding in _find(side)]
        paths += opened
    findings += find_alike(_facts_of(paths, "train"), _facts_of(paths, "val"))
    findings.sort(key=lambda finding: GRADES.index(finding.grade))
    return Inspection(config, tuple(paths), tuple(findings))


@dataclass(frozen=True)
class _Look:
    """How videos are looked at; see `inspect_data`."""

    full: bool
    keep_index: bool
    num_processes: int | None


def _open_side(config: DatasetConfig, part: Part, look: _Look) -> tuple[OpenedPath, list[Finding]]:
    """Open the `data_path` of a data set, and look at all videos that can be opened."""
    problems: Problems = {}
    layout, videos, findings = _open(config, problems)
    findings += [find_unopened(name, line) for name, line in problems.items()]
    path = None
    assert config.data_path is not None
    if layout is not None and look.keep_index:
        masks = Path(config.masks_path).expanduser() if config.masks_path is not None else None
        path = index_path(Path(config.data_path).expanduser(), masks, layout.name)
    facts = look_at_videos(videos, path, full=look.full, num_processes=look.num_processes)
    parts: dict[str, Part] = {
        name: part if one.object_ids else "left out" for name, one in facts.items()
    }
    return OpenedPath(config.data_path, config, layout, videos, facts, parts), findings


def _open(
    config: DatasetConfig, problems: Problems
) -> tuple[Layout | None, Sequence[Video], list[Finding]]:
    assert config.data_path is not None
    path = Path(config.data_path).expanduser()
    masks = Path(config.masks_path).expanduser() if config.masks_path is not None else None
    layout = None
    said: list[str] = []
    sink = logger.add(
        lambda message: said.append(message.record["message"]),
        level="WARNING",
        # what is said of the index is not about the data
        filter=lambda record: record["name"] != "sam2_video.data.index",
    )
    try:
        layout = choose_layout(path, masks, config.format)
        videos = open_dataset(
            path,
            masks,
            config.format,
            config.colour_palette,
            problems=problems,
            video_pattern=config.video_pattern,
            intensity_window=config.intensity_window,
            follow_links=config.follow_links,
        )
    except (OSError, ValueError) as error:
        return layout, (), [find_in_error(str(error), str(path))]
    finally:
        logger.remove(sink)
    return layout, videos, [find_unread(text, str(path)) for text in said]


def _hold_out(
    opened: OpenedPath, seed: int, number: int, *, has_val_path: bool
) -> tuple[OpenedPath, list[Finding]]:
    """Say which videos would be validated on."""
    shown = [video for video in opened.videos if opened.parts[video.video_id] != "left out"]
    if not shown:
        return opened, []
    try:
        train, held_out = divide(shown, opened.config, seed, number, has_val_path=has_val_path)
    except ValueError as error:
        message, way_out = split_message(str(error))
        return opened, [Finding("error", "split", message, way_out)]
    parts: dict[str, Part] = {video.video_id: "left out" for video in opened.videos}
    parts |= dict.fromkeys((video.video_id for video in train), "train")
    parts |= dict.fromkeys((video.video_id for video in held_out), "val")
    return replace(opened, parts=parts), []


def _find(opened: OpenedPath) -> list[Finding]:
    findings = list(find_in_path(opened.path, opened.videos, opened.facts))
    for video in opened.videos:
        facts = opened.facts[video.video_id]
        findings += [find_in_fault(video, fault) for fault in facts.faults]
        findings += find_in_video(video, facts, opened.config)
    return findings


def _facts_of(paths: Sequence[OpenedPath], part: Part) -> dict[str, VideoFacts]:
    found: dict[str, VideoFacts] = {}
    for opened in paths:
        for name, facts in opened.facts.items():
            if opened.parts[name] == part:
                found[f"{opened.path}: {name}" if name in found else name] = facts
    return found

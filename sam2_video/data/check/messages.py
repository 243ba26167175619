"""Take an error of a reader apart: the file, what is wrong with it, and the way out."""

import re
from pathlib import Path

from sam2_video.data.check.report import Finding
from sam2_video.data.facts import Fault
from sam2_video.data.video import Video

_OF_SYSTEM = re.compile(r"\[Errno \d+\] (.*): '(.*)'", re.DOTALL)


def take_apart(text: str) -> tuple[str | None, str, str]:
    """Return the file or folder that an error names first, what is wrong, and its way out."""
    if match := _OF_SYSTEM.fullmatch(text):
        return match[2], match[1].lower(), "make it readable, or remove it"
    message, way_out = split_message(text)
    if _exists(message):  # the error has no way out
        return message, way_out, "correct it, or remove it"
    head, mark, rest = message.partition(": ")
    file = head.removeprefix("video ")
    return (file, rest, way_out) if mark and _exists(file) else (None, message, way_out)


def split_message(text: str) -> tuple[str, str]:
    """Return what a reader's error says is wrong, and its way out, which comes last."""
    message, mark, way_out = text.rpartition("; ")
    if not mark:
        message, mark, way_out = text.rpartition(": ")
    return (message, way_out) if mark else (text, "correct it")


def _exists(file: str) -> bool:
    try:
        return Path(file).exists()
    except (OSError, ValueError):  # a sentence that is too long for a path, or none at all
        return False


def find_in_error(text: str, path: str) -> Finding:
    """Return the finding of an error because of which a path cannot be read."""
    file, message, way_out = take_apart(text)
    return Finding("error", "data", message.removeprefix(f"{path}: "), way_out, file or path)


def find_unopened(name: str, text: str) -> Finding:
    """Return the finding of a video that could not be opened."""
    file, message, way_out = take_apart(text)
    return Finding("error", "video that cannot be opened", message, way_out, file, name)


def find_in_fault(video: Video, fault: Fault) -> Finding:
    """Return the finding of a frame or mask that could not be read."""
    file, message, way_out = take_apart(fault.message)
    kind = "frame that cannot be used" if fault.kind == "frame" else "mask that cannot be used"
    name = video.frame_names[fault.frame]
    return Finding("error", kind, message, way_out, file, video.video_id, name)


def find_unread(text: str, path: str) -> Finding:
    """Return the finding of a warning that was given while a path was opened."""
    file, message, way_out = take_apart(text)
    if way_out.startswith("expected"):
        way_out += ": move or rename them, if they are data"
    return Finding("warning", "left unread", message, way_out, file or path)

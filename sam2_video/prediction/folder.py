"""The folder of a prediction: what lies where, and that nothing else is overwritten."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from av.error import FFmpegError

from sam2_video.files import write_json

MASKS, FRAMES = "masks", "frames"
COCO, OVERLAY, SHEET, SUMMARY = "masks.json", "overlay.mp4", "contact_sheet.png", "prediction.json"


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder in which something else is, or an earlier prediction that must stay.

    Raises:
        ValueError: naming the way out.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {out} is a file; give another --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / SUMMARY).is_file():
        raise ValueError(f"out: {out} is not empty and no prediction; give another --out")
    if not overwrite:
        raise ValueError(
            f"out: {out} holds a prediction; give another --out, or replace it: --overwrite"
        )


def claim(out: Path) -> None:
    """Make the folder of a new prediction, without what an earlier one has left there.

    Raises:
        ValueError: it cannot be written.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in (MASKS, FRAMES):
            if (out / name).is_dir():
                shutil.rmtree(out / name)
        for name in (COCO, OVERLAY, SHEET):
            (out / name).unlink(missing_ok=True)
        # from here on the folder is known as a prediction, however it ends
        write_summary(out, {"is_finished": False})


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Tell in a line of what cannot be written to the folder.

    Raises:
        ValueError: in place of an OSError that is about the folder.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        # FFmpeg gives the name of its function
        is_inside = name is None or isinstance(error, FFmpegError) or out in Path(name).parents
        if not is_inside and name != str(out):
            raise
        where = out if name is None or isinstance(error, FFmpegError) else name
        raise ValueError(
            f"out: cannot write {where} ({error.strerror or error}); make room, or give another "
            "--out"
        ) from error


def write_summary(out: Path, content: Mapping[str, Any]) -> None:
    """Write what is told of the prediction, whole or not at all."""
    write_json(out / SUMMARY, content)

"""Frames as JPEG, PNG, WebP, BMP and TIFF."""

from fuzz.data import SIDE, picture
from fuzz.harness import Target, fuzz, read_each
from fuzz.mutators import mutate_png
from sam2_video.data.facts import _look_at_image
from sam2_video.data.frames import read_rgb, read_size


def _seeds():
    kinds = [picture(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")]
    return [
        *kinds,
        picture("JPEG", "L"),
        picture("TIFF", "I;16"),
        picture("TIFF", compression="tiff_lzw"),
        picture("JPEG", progressive=True),
    ]


def _read(path):
    read_each(
        path,
        lambda: read_size(path),
        lambda: read_rgb(path),
        lambda: read_rgb(path, (SIDE, SIDE), (2, 2)),
        lambda: _look_at_image(path, None),
    )


if __name__ == "__main__":
    fuzz("frame_image", Target(_read, _seeds, "frame.png", mutator=mutate_png))

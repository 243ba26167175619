"""Pictures and movies of a run inside the page, as many as its size allows."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MOST_BYTES = 4_500_000
"""Of all pictures and movies as text of the page: it can be sent by mail."""
WIDEST = 1600
QUALITY = 84

CAPTIONS = {
    "validation_worst": "Where training helped least",
    "validation_median": "In the middle",
    "validation_best": "Where training helped most",
    "validation_only": "The validation video",
    "data": "What the data holds: when objects are visible, and how large they are",
    "clips_first": "The first training clips, with their targets and prompts",
    "clips_latest": "Training clips of a later epoch",
}
"""By the name of the file, the most important first."""


@dataclass(frozen=True)
class Shown:
    """A picture of the page, and the movie of the same."""

    name: str
    caption: str
    picture: str
    width: int
    height: int
    movie: str | None = None


def embed(pictures: Mapping[str, Path], movies: Mapping[str, Path]) -> tuple[list[Shown], bool]:
    """Return the pictures of a page, by file name without suffix, and whether some had no room."""
    left = MOST_BYTES
    shown: dict[str, Shown] = {}
    wanted = [name for name in CAPTIONS if name in pictures]
    for name in wanted:
        uri, width, height = _encode(pictures[name])
        if len(uri) <= left:
            left -= len(uri)
            shown[name] = Shown(name, CAPTIONS[name], uri, width, height)
    movie_names = [name for name in shown if name in movies]
    num_left_out = len(wanted) - len(shown)
    for name in movie_names:
        uri = _as_uri("video/mp4", movies[name].read_bytes())
        if len(uri) > left:
            num_left_out += 1
            continue
        left -= len(uri)
        old = shown[name]
        shown[name] = Shown(name, old.caption, old.picture, old.width, old.height, uri)
    return list(shown.values()), num_left_out > 0


def _encode(path: Path) -> tuple[str, int, int]:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > WIDEST:
        height = max(round(picture.height * WIDEST / picture.width), 1)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return _as_uri("image/webp", buffer.getvalue()), picture.width, picture.height


def _as_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

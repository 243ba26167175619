"""Write predicted masks as palette PNG, in the layouts that public tools read."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sam2_video.colours import mask_palette
from sam2_video.inference.layout import FrameMasks, MaskLayout
from sam2_video.limits import shorten
from sam2_video.structures import IGNORE, OBJECT

_NO_NAME = re.compile(r"[\x00-\x1f/\\:]")


def write_mask(path: Path, labels: UInt8[np.ndarray, "height width"], palette: list[int]) -> None:
    """Write labels as an 8-bit palette PNG, value = label; see `colours.mask_palette`."""
    image = Image.fromarray(labels).convert("L")
    image.putpalette(palette)
    # half the time of Pillow's own level, at 1.7 times the space
    image.save(path, compress_level=1)


class MaskWriter:
    """Writes the masks of one video: `VIDEO/FRAME.png`, or `VIDEO/OBJECT/FRAME.png`.

    What an earlier, unfinished writing has left of the video is removed.

    Args:
        folder: of all videos.
        video_id: names the video's folder.
        frame_names: name the files.
        object_ids: in the layout of objects each of them gets a file on every frame.
        layout: of the files.

    Raises:
        ValueError: names that are no file names, or objects that are no labels.
    """

    def __init__(
        self,
        folder: Path,
        video_id: str,
        frame_names: Sequence[str],
        object_ids: Sequence[int],
        layout: MaskLayout,
    ) -> None:
        self.folder = folder / file_name(video_id)
        self._names = [file_name(name) for name in frame_names]
        self._object_ids = tuple(object_ids)
        self._layout = layout
        if len(set(self._names)) < len(self._names):
            raise ValueError(f"video {video_id}: two frames would be written to one file")
        wrong = [name for name in object_ids if not 0 < name < IGNORE]
        if layout == "davis" and wrong:
            raise ValueError(
                f"video {video_id}: object {wrong[0]} cannot be a label of 8 bits, expected 1 to "
                f"{IGNORE - 1}; use --layout objects"
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        parts = [self.folder]
        if layout == "objects":
            parts = [self.folder / str(name) for name in self._object_ids]
        for part in parts:
            part.mkdir(parents=True)

    def write(self, index: int, masks: FrameMasks) -> None:
        """Write the masks of a frame."""
        name = f"{self._names[index]}.png"
        if self._layout == "davis":
            palette = mask_palette({name: row for row, name in enumerate(self._object_ids)})
            write_mask(self.folder / name, masks.labels.numpy().astype(np.uint8), palette)
            return
        for row, object_id in enumerate(self._object_ids):
            labels = masks.of(object_id).numpy().astype(np.uint8) * np.uint8(OBJECT)
            write_mask(self.folder / str(object_id) / name, labels, mask_palette({OBJECT: row}))


def file_name(name: str) -> str:
    """Return a name without what would make folders of it, as long as file systems allow.

    >>> file_name("clip/007"), file_name("..")
    ('clip_007', '_')
    """
    parts = [part for part in PureWindowsPath(name).parts if part not in ("..", "/", "\\")]
    joined = "_".join(part.strip("/\\") for part in parts)
    return shorten(_NO_NAME.sub("_", joined)) or "_"

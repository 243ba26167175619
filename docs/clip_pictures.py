"""Draw the picture of docs/data.md: a clip with pasted objects, and one made of a still image.

`python -m docs.clip_pictures docs/images` writes it anew.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.layout import open_dataset
from sam2_video.data.sampling import ClipSettings
from sam2_video.data.synthetic import write_dataset
from sam2_video.masks import resize_masks
from sam2_video.structures import Clip
from sam2_video.visualise import ShownClip, draw_clips

SIZE = (192, 320)
PASTED, MOVED = 0, 3
WIDTH = 1000
QUALITY = 70
"""Of the JPEG file, which stays below 150 kB."""


def show(name: str, clip: Clip) -> ShownClip:
    """Return a clip as pictures take it, without prompts."""
    rows = tuple(range(len(clip.object_ids)))
    masks = resize_masks(clip.masks, SIZE)
    return ShownClip(
        name, clip.frame_names, clip.frames, masks, clip.labelled, clip.object_ids, rows, ()
    )


def main(folder: Path) -> None:
    """Write the picture into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        write_dataset(data, 3, 6, 12, SIZE, (1, 2), (0.06, 0.12))
        videos = tuple(open_dataset(data / "videos", data / "masks"))
        stills = tuple(
            still
            for video in videos
            for still in open_dataset(
                data / "videos" / video.video_id, data / "masks" / video.video_id, "images"
            )[:1]
        )
        pasting = ClipSettings(5, (2, 2), 0.0, 4, paste_probability=1.0)
        moving = ClipSettings(5, (1, 1), 0.0, 4, still_images="motion")
        pasted = ClipDataset([ClipSet(videos, pasting)], 0)[0, PASTED]
        moved = ClipDataset([ClipSet(stills, moving)], 0)[0, MOVED]
    clips = [show("pasted", pasted), show("still image", moved)]
    picture = Image.fromarray(
        draw_clips(clips, "pasted objects (-1, ...); a still image in motion")
    )
    height = round(picture.height * WIDTH / picture.width)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clips.jpg"
    picture.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, quality=QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Draw the pictures of docs/check.md: made-up videos into which faults were put.

`python -m docs.check_pictures docs/images` writes them anew.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from sam2_video.cli import main as run
from sam2_video.data.synthetic import write_dataset

SIZE = (240, 427)
WIDTH, QUALITY = 1400, 60
"""Of the JPEG files, which stay below 150 kB."""


def spoil(videos: Path, masks: Path) -> None:
    """Take labels away, cut a frame, repeat another, and shrink and colour masks."""
    for index, path in enumerate(sorted((masks / "video_001").iterdir())):
        if index % 6:
            path.unlink()
    frames = sorted((videos / "video_002").iterdir())
    frames[5].write_bytes(frames[5].read_bytes()[:-300])
    for copy in frames[9:12]:
        shutil.copyfile(frames[8], copy)
    drawn = sorted((masks / "video_003").iterdir())
    Image.open(drawn[7]).resize((100, 100)).save(drawn[7])
    Image.open(drawn[9]).convert("RGB").save(drawn[9])


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        data, out = Path(scratch, "data"), Path(scratch, "out")
        write_dataset(data, 5, 5, 24, SIZE, (2, 4))
        videos, masks = data / "videos", data / "masks"
        spoil(videos, masks)
        paths = [str(videos), "--masks-path", str(masks), "--out", str(out), "--no-index"]
        run(["check", *paths, "--image-size", "256", "256"])
        for name in ("mosaic", "timeline"):
            picture = Image.open(out / f"{name}.png").convert("RGB")
            picture.thumbnail((WIDTH, 10 * WIDTH))
            picture.save(folder / f"check-{name}.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

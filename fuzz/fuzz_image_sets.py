"""The lists of videos in ImageSets."""

from fuzz.data import picture
from fuzz.harness import Target, fuzz
from sam2_video.data.davis import read_split_lists


def _prepare(folder):
    (folder / "JPEGImages/480p/a").mkdir(parents=True)
    (folder / "JPEGImages/480p/a/00000.png").write_bytes(picture())
    (folder / "ImageSets/2017").mkdir(parents=True)
    (folder / "ImageSets/2017/train.txt").write_text("a\nb\n")


if __name__ == "__main__":
    fuzz(
        "image_sets",
        Target(
            lambda path: read_split_lists(path.parents[2]),
            lambda: [b"c\nd\n", b"\xff", b"a/b\n"],
            "ImageSets/2017/val.txt",
            _prepare,
        ),
    )

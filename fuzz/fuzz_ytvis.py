"""YTVIS JSON."""

from fuzz.data import COMPRESSED, RLE, SIDE, as_json, read_all, write_frames
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.data.ytvis import open_ytvis


def _seeds():
    video = {
        "id": 1,
        "file_names": [f"a/{n:05d}.png" for n in range(3)],
        "width": SIDE,
        "height": SIDE,
        "length": 3,
    }
    for segmentations in ([RLE, None, COMPRESSED], [None, [[1, 1, 5, 1, 5, 6]], RLE]):
        annotation = {
            "id": 4,
            "video_id": 1,
            "category_id": 2,
            "iscrowd": 0,
            "segmentations": segmentations,
            "bboxes": [None] * 3,
            "areas": [5, None, 1],
        }
        yield as_json(
            {
                "videos": [video],
                "annotations": [annotation],
                "categories": [{"id": 2, "name": "cat"}],
            }
        )


if __name__ == "__main__":
    fuzz(
        "ytvis",
        Target(
            lambda path: read_all(open_ytvis(path)),
            lambda: list(_seeds()),
            "ytvis.json",
            lambda f: write_frames(f / "a"),
            mutate_json,
        ),
    )

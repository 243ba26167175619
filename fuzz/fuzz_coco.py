"""COCO JSON for video."""

from fuzz.data import COMPRESSED, POLYGONS, RLE, SIDE, as_json, read_all, write_frames
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.data.coco import open_coco, open_coco_images

IMAGES = [
    {
        "id": n,
        "file_name": f"frames/{n:05d}.png",
        "width": SIDE,
        "height": SIDE,
        "video_id": 1,
        "order_in_video": n,
    }
    for n in range(3)
]


def seeds():
    """Yield COCO files with each kind of segmentation, with and without tracks."""
    for segmentation in (RLE, POLYGONS, COMPRESSED):
        annotations = [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "track_id": 7 + n,
                "iscrowd": n == 2,
                "segmentation": segmentation,
            }
            for n in range(3)
        ]
        videos = [{"id": 1, "name": "a video"}]
        yield as_json({"images": IMAGES, "annotations": annotations, "videos": videos})
        bare = [{**one, "track_id": None} for one in annotations]
        yield as_json(
            {"images": IMAGES, "annotations": bare, "categories": [{"id": 1, "name": "x"}]}
        )


def _read(path):
    read_all(open_coco(path))
    read_all(open_coco_images(path))


if __name__ == "__main__":
    fuzz(
        "coco",
        Target(
            _read,
            lambda: list(seeds()),
            "coco.json",
            lambda f: write_frames(f / "frames"),
            mutate_json,
        ),
    )

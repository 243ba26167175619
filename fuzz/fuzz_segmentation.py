"""RLE and polygons, as pycocotools is given them."""

import json

from fuzz.data import COMPRESSED, POLYGONS, RLE, SIDE, as_json
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.masks import decode_rle, rle_area, rle_box, segmentation_to_rle


def _read(path):
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    rle = segmentation_to_rle(content, (SIDE, SIDE), str(path))
    assert decode_rle(rle).sum() == rle_area(rle)
    rle_box(rle)


if __name__ == "__main__":
    fuzz(
        "segmentation",
        Target(
            _read,
            lambda: [as_json(one) for one in (RLE, COMPRESSED, POLYGONS)],
            "segmentation.json",
            mutator=mutate_json,
        ),
    )

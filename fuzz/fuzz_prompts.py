"""Files of prompts."""

from fuzz.data import COMPRESSED, RLE, SIDE, as_json, picture
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.prediction.prompt_file import read_prompt_file
from sam2_video.prediction.prompts import collect_prompts


def _seeds():
    return [
        as_json({"prompts": [{"object_id": 1, "frame": 0, "mask": RLE}, {"mask": "mask.png"}]}),
        as_json(
            {
                "prompts": [
                    {"object_id": 1, "mask": COMPRESSED},
                    {"object_id": 2, "box": [0, 1, 4, 5], "points": [[2, 2]], "labels": [1]},
                ]
            }
        ),
    ]


if __name__ == "__main__":
    fuzz(
        "prompts",
        Target(
            lambda path: collect_prompts(read_prompt_file(path), (SIDE, SIDE), 3),
            _seeds,
            "prompts.json",
            lambda f: (f / "mask.png").write_bytes(picture(mode="P")),
            mutate_json,
        ),
    )

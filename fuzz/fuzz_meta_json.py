"""The meta.json of YouTube-VOS, MOSE and LVOS."""

from fuzz.data import as_json
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.data.meta_json import read_meta


def _seeds():
    return [
        as_json(
            {
                "videos": {
                    "a": {
                        "objects": {"1": {"category": "cat", "frames": ["00000", "00005"]}, "2": {}}
                    }
                }
            }
        )
    ]


if __name__ == "__main__":
    fuzz(
        "meta_json",
        Target(lambda path: read_meta(path.parent), _seeds, "meta.json", mutator=mutate_json),
    )

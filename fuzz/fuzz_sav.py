"""SA-V's JSON of masklets."""

from fuzz.data import COMPRESSED, SIDE, as_json, read_all, write_frames
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.data import masklets
from sam2_video.data.sav import open_sav


def _seeds():
    for step, rows in ((4, 1), (1, 3)):
        masklet = [[COMPRESSED, {"size": [SIDE, SIDE], "counts": "PQ2"}]] * rows
        yield as_json(
            {
                "video_frame_count": 3.0,
                "video_height": float(SIDE),
                "video_width": SIDE,
                "masklet_id": [0, 1],
                "masklet": masklet,
                "step": step,
            }
        )


def _read(path):
    masklets._load.cache_clear()
    read_all(open_sav(path))


if __name__ == "__main__":
    fuzz(
        "sav",
        Target(
            _read,
            lambda: list(_seeds()),
            "v_manual.json",
            lambda f: write_frames(f / "v"),
            mutate_json,
        ),
    )

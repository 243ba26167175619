"""The verb `check` on a COCO file, as the command line runs it."""

import contextlib
import io

from fuzz.data import write_frames
from fuzz.fuzz_coco import seeds
from fuzz.harness import Target, fuzz
from fuzz.mutators import mutate_json
from sam2_video.cli.check import run_check


def _read(path):
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = run_check([str(path), "--no-index", "--processes", "1", "--out", str(path.parent)])
    if code not in (0, 1) or "Traceback" in told.getvalue():
        raise AssertionError(f"exit code {code}: {told.getvalue()[-2000:]}")


if __name__ == "__main__":
    fuzz(
        "check",
        Target(
            _read,
            lambda: list(seeds()),
            "coco.json",
            lambda f: write_frames(f / "frames"),
            mutate_json,
        ),
    )

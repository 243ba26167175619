"""A video in memory, the micro network, and a stand-in that says what a test wants."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from torch import Tensor

from sam2_video import evaluate
from sam2_video.data.synthetic import write_dataset
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.stream import ObjectPrompt
from sam2_video.structures import OBJECT
from tests.made_up import NUM_FRAMES, MadeUpVideo, make_video, tracked_frame

NAMES = ["video_000", "video_001", "video_002"]


@pytest.fixture
def video() -> MadeUpVideo:
    return make_video()


@pytest.fixture(scope="session")
def model() -> SAM2Model:
    return SAM2Model.load(None, "micro", (64, 64))


@pytest.fixture
def answers(model, video, monkeypatch) -> dict[tuple[int, int], Tensor]:
    """What the model says of (object, frame), the truth at first: change it in a test."""
    said = {
        (name, frame): (video.truth[name][frame] == OBJECT).float() * 20 - 10
        for name in video.truth
        for frame in range(NUM_FRAMES)
    }

    def track(frames: Iterable[Tensor], prompts: Sequence[ObjectPrompt], *_, **__):
        for index, _ in enumerate(frames):
            names = [p.object_id for p in prompts if p.frame <= index]
            yield tracked_frame(index, {name: said[name, index] for name in names})

    monkeypatch.setattr(model, "track", track)
    return said


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Return a folder of 3 videos with 1 to 3 objects, as label maps and as COCO JSON."""
    folder = tmp_path_factory.mktemp("evaluated") / "data"
    write_dataset(folder, 4, num_videos=3, num_frames=6, size=(48, 64), num_objects=(1, 3))
    return folder


@pytest.fixture(scope="session")
def checkpoint():
    return Path(__file__).parents[2] / "demo/micro.pt"


@pytest.fixture(scope="session")
def evaluated(data, checkpoint):
    """Return a function that evaluates the label maps, or what is given in their place."""

    def act(**settings):
        settings = {"masks_path": data / "masks", "image_size": (64, 64)} | settings
        path = settings.pop("data_path", data / "videos")
        return evaluate(settings.pop("checkpoint", checkpoint), path, **settings)

    return act


@pytest.fixture(scope="session")
def whole(evaluated, tmp_path_factory):
    """Return an evaluation whose masks are written as label maps."""
    return evaluated(out=tmp_path_factory.mktemp("whole") / "out", save_masks=True)


def numbers(report):
    return {name: report.as_dict()[name] for name in ("overall", "videos")}

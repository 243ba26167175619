"""A rendered video on which the demo's network tracks well, as a file and as a folder."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from sam2_video import SAM2Model
from sam2_video.data.synthetic import render_video

CHECKPOINT = Path(__file__).parents[2] / "demo/micro.pt"
SIZE = (128, 128)
NUM_FRAMES = 8


@dataclass(frozen=True)
class Scene:
    """One object that moves; `box` is around it on the first frame."""

    video: Path
    images: Path
    mask: Path
    truth: Tensor
    box: str


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    rendered = render_video(0, NUM_FRAMES, SIZE, 1, (0.1, 0.2))
    (folder / "images").mkdir()
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"crf": "8"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(rendered.frames):
            pixels = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
            Image.fromarray(pixels).save(folder / "images" / f"shot {index + 8}.png")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    truth = rendered.masks[0].bool()
    Image.fromarray(truth[0].numpy().astype(np.uint8) * 255).save(folder / "drawn.png")
    rows, columns = truth[0].nonzero().T
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    box = ",".join(str(int(corner)) for corner in corners)
    return Scene(folder / "clip.mp4", folder / "images", folder / "drawn.png", truth, box)


@pytest.fixture(scope="session")
def model():
    return SAM2Model.load(str(CHECKPOINT), "micro", SIZE)

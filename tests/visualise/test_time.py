"""Tests of what goes on over time: movies, and how memory fades."""

import io

import av
import numpy as np
import pytest

from sam2_video.visualise import Panel, draw_fading, draw_panels, encode_mp4
from sam2_video.visualise.fading import fading_figure


def panels(level: int) -> np.ndarray:
    picture = np.full((45, 81, 3), level, np.uint8)
    return draw_panels([Panel("truth", picture), Panel("tuned", picture)], f"frame {level}")


def test_a_movie_has_its_frames_in_order_and_even_sides() -> None:
    movie = encode_mp4((panels(level) for level in (20, 120, 220)), 5)
    with av.open(io.BytesIO(movie)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    height, width, _ = frames[0].shape
    assert (height % 2, width % 2) == (0, 0)
    assert [round(float(frame[50, 40].mean()), -1) for frame in frames] == [20, 120, 220]


def test_a_movie_is_the_same_each_time() -> None:
    first, second = (encode_mp4([panels(9), panels(99)], 5) for _ in range(2))
    assert first == second


def test_a_movie_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        encode_mp4([], 5)


def test_fading_shows_the_mean_by_distance() -> None:
    figure = fading_figure({"zero-shot": {1: [0.5, 0.7], 4: [0.2]}, "tuned": {}})
    (line,) = figure.axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [1, 4]
    assert np.asarray(line.get_ydata()) == pytest.approx([0.6, 0.2])


def test_fading_of_nothing_is_a_picture_too() -> None:
    assert draw_fading({"zero-shot": {}, "tuned": {}}).ndim == 3

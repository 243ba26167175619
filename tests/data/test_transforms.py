"""Tests of bringing clips to the model's size."""

import pytest
import torch

from sam2_video.data.collate import collate_clips
from sam2_video.data.transforms import prepare_clips
from sam2_video.pixels import PIXEL_MEAN, PIXEL_STD, prepare_frames
from tests.data.test_collate import make_clip


def test_values_are_normalised_as_imagenet():
    frames = torch.tensor([0, 128, 255], dtype=torch.uint8)[None, :, None, None].repeat(2, 1, 4, 4)
    pixels = prepare_frames(frames, (4, 4))
    expected = [
        (v / 255 - m) / s for v, m, s in zip((0, 128, 255), PIXEL_MEAN, PIXEL_STD, strict=True)
    ]
    torch.testing.assert_close(pixels[1, :, 2, 2], torch.tensor(expected))


def test_shrinking_is_antialiased():
    frames = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    frames[..., ::4] = 255
    # Without antialiasing only the two middle columns of each four count, which are black.
    pixels = prepare_frames(frames, (8, 8))[0, 0] * PIXEL_STD[0] + PIXEL_MEAN[0]
    torch.testing.assert_close(pixels.mean(), torch.tensor(0.25), atol=0.03, rtol=0)


def test_a_batch_of_unlike_sizes_becomes_one_tensor():
    batch = collate_clips([make_clip(3, 2, 4, "a"), make_clip(2, 1, 9, "b")])
    clips = prepare_clips(batch, (8, 12))
    assert clips.pixels.shape == (2, 3, 3, 8, 12)
    assert clips.targets.shape == (3, 3, 8, 12)
    assert clips.targets[0, 2].unique().tolist() == [1]
    assert clips.targets[0, :2].unique().tolist() == [0]
    assert torch.equal(clips.labelled, batch.labelled)
    assert clips.prompt_frames == batch.prompt_frames
    assert clips.seeds == (2, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_device_gives_the_same_as_the_processor():
    batch = collate_clips([make_clip(3, 2, 4, "a"), make_clip(2, 1, 9, "b")])
    there, here = prepare_clips(batch.to("cuda"), (8, 12)), prepare_clips(batch, (8, 12))
    torch.testing.assert_close(there.pixels.cpu(), here.pixels)
    assert torch.equal(there.targets.cpu(), here.targets)

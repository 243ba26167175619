"""Whole clips: what follows from a seed, and what becomes of objects that leave the frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_video.augmentation import augment_clips
from sam2_video.augmentation.geometry import Geometry
from sam2_video.config import AugmentationConfig, PromptConfig
from sam2_video.prompts import draw_prompts
from sam2_video.structures import IGNORE
from tests.augmentation.made import disagrees, make_clip, prepare

STRONG = AugmentationConfig(preset="strong")


def shifted(x, y=0.0, zoom=1.0):
    """A geometry that takes the new frame from further right and down, in shares of the frame."""
    return Geometry(False, False, np.array([[zoom, 0.0, 2 * x], [0.0, zoom, 2 * y]]))


@pytest.fixture
def use(monkeypatch):
    """Let all clips have these geometries, one after another."""

    def use_geometries(*geometries):
        answers = iter(geometries)
        name = "sam2_video.augmentation.clips.draw_geometry"
        monkeypatch.setattr(name, lambda *_: next(answers))

    return use_geometries


GEOMETRY_ONLY = AugmentationConfig(preset="off", horizontal_flip=0.5)


def test_a_clip_is_the_same_alone_and_beside_others_of_other_sizes_and_lengths():
    one, other = make_clip(seed=5), make_clip(seed=6, size=(48, 48), num_frames=5)
    alone = augment_clips(*prepare(one), STRONG)
    again = augment_clips(*prepare(one), STRONG)
    beside = augment_clips(*prepare(other, one), STRONG)
    assert torch.equal(alone.pixels, again.pixels)
    assert torch.equal(alone.targets, again.targets)
    assert torch.equal(alone.pixels[0], beside.pixels[1, :3])
    assert torch.equal(alone.targets, beside.targets[1:, :3])
    assert torch.equal(alone.labelled, beside.labelled[1:, :3])


def test_another_seed_is_another_augmentation():
    first, second = (augment_clips(*prepare(make_clip(seed=seed)), STRONG) for seed in (5, 6))
    assert not torch.equal(first.pixels, second.pixels)
    assert not torch.equal(first.targets, second.targets)


def test_the_prompts_of_a_seed_are_drawn_as_without_augmentation():
    colours = AugmentationConfig(preset="strong", horizontal_flip=0.0, crop=1.0)
    colours = replace(colours, degrees=0.0, shear=0.0, scale=0.0, translate=0.0)
    clips, batch = prepare(make_clip(seed=8, centres=((30, 40), (20, 20))))
    changed = augment_clips(clips, batch, colours)
    assert not torch.equal(changed.pixels, clips.pixels)
    assert torch.equal(changed.targets, clips.targets)
    before, after = (
        draw_prompts(one.targets, one.prompt_frames, (0, 0), one.seeds, PromptConfig(mask=0.0))
        for one in (clips, changed)
    )
    for first, second in zip(before, after, strict=True):
        assert torch.equal(first.points, second.points)


def test_off_is_what_was_given():
    clips, batch = prepare(make_clip())
    assert augment_clips(clips, batch, AugmentationConfig(preset="off")) is clips


def test_all_frames_of_a_clip_and_all_its_objects_move_as_one():
    clip = make_clip(seed=3, num_frames=5, centres=((30, 30), (25, 60)))
    for seed in range(30):
        plain = AugmentationConfig(preset="official", brightness=0.0, frame_brightness=0.0)
        one = augment_clips(*prepare(replace(clip, seed=seed)), plain)
        bright = (one.pixels > 0.8).all(2)
        assert not disagrees(one.targets.amax(0)[:, None].bool(), bright[0][:, None])


def test_an_object_that_leaves_the_frame_is_absent_there(use):
    # the view ends at column 48; the second disc starts at 45, 47 and 49
    use(shifted(-0.5))
    clips, batch = prepare(make_clip(centres=((30, 30), (30, 49)), radius=4))
    moved = augment_clips(clips, batch, GEOMETRY_ONLY)
    is_seen = (moved.targets == 1).flatten(2).any(-1)
    assert is_seen.tolist() == [[True] * 3, [True, True, False]]
    assert moved.labelled.all()
    assert moved.prompt_frames == (0, 0)


def test_an_object_that_is_not_in_view_at_first_is_prompted_where_it_comes(use):
    use(shifted(0.5))
    # it enters the right half, which starts at column 48
    clips, batch = prepare(make_clip(centres=((30, 42), (30, 70)), radius=4))
    moved = augment_clips(clips, batch, GEOMETRY_ONLY)
    is_seen = (moved.targets == 1).flatten(2).any(-1)
    assert is_seen.tolist() == [[False, True, True], [True] * 3]
    assert moved.prompt_frames == (1, 0)
    assert moved.labelled.all()


def test_an_object_is_not_prompted_on_a_frame_without_a_label(use):
    use(shifted(0.5))
    clip = make_clip(centres=((30, 42),), radius=4)
    clip.labelled[0, 1] = False
    moved = augment_clips(*prepare(clip), GEOMETRY_ONLY)
    assert moved.prompt_frames == (2,)
    assert moved.labelled.tolist() == [[True, False, True]]


def test_an_object_that_is_nowhere_in_view_teaches_nothing(use):
    use(shifted(0.5))
    clips, batch = prepare(make_clip(centres=((30, 10), (30, 70)), radius=4))
    moved = augment_clips(clips, batch, GEOMETRY_ONLY)
    assert moved.labelled.tolist() == [[False] * 3, [True] * 3]
    assert moved.prompt_frames == (0, 0)
    assert not moved.targets[0].any()


def test_a_clip_that_would_lose_all_objects_is_only_flipped(use):
    lost = replace(shifted(0.5), has_horizontal_flip=True)
    use(lost, shifted(0.1))
    # mirrored, this disc lies on the left
    clips, batch = prepare(make_clip(centres=((30, 70),), radius=4), make_clip(seed=2))
    moved = augment_clips(clips, batch, GEOMETRY_ONLY)
    assert torch.equal(moved.pixels[0], clips.pixels[0].flip(-1))
    assert torch.equal(moved.targets[0], clips.targets[0].flip(-1))
    assert moved.labelled.all()
    assert not torch.equal(moved.targets[1], clips.targets[1])


def test_what_comes_from_outside_is_the_mean_colour_and_background(use):
    use(shifted(0.5))
    clips, batch = prepare(make_clip(centres=((0, 0), (30, 70)), radius=9))
    moved = augment_clips(clips, batch, GEOMETRY_ONLY)
    assert (moved.pixels[..., 49:] == 0).all()
    assert (moved.targets[..., 49:] == 0).all()
    assert (moved.targets[..., :47] == 1).any()


def test_a_frame_that_is_all_ignored_stays_unknown(use):
    clip = make_clip(centres=((30, 40),))
    clip.masks[0, 1] = IGNORE
    use(shifted(0.2))
    moved = augment_clips(*prepare(clip), GEOMETRY_ONLY)
    # with background from outside beside it, it would say that the object is absent
    assert moved.labelled.tolist() == [[True, False, True]]


def test_an_object_of_which_only_an_ignored_part_is_left_is_unknown_not_absent(use):
    clip = make_clip(centres=((30, 30), (30, 70)), radius=4)
    clip.masks[0, :, 20:40, 50:60] = IGNORE
    clip.masks[1, 2] = 0
    clip.masks[1, 2, 20:40, 50:60] = IGNORE
    use(shifted(0.4))
    moved = augment_clips(*prepare(clip), GEOMETRY_ONLY)
    # object 1 comes into view on the last frame; before, it has left but for what is ignored
    # object 2 was absent before, and still is
    assert moved.labelled.tolist() == [[False, False, True], [True] * 3]
    assert moved.prompt_frames == (2, 0)


def test_autocast_does_not_round_frames():
    clips, batch = prepare(make_clip(seed=4))
    expected = augment_clips(clips, batch, STRONG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = augment_clips(clips, batch, STRONG)
    assert torch.equal(found.pixels, expected.pixels)
    assert found.pixels.dtype == torch.float32


def test_a_stretched_input_moves_like_the_video_itself():
    clip = make_clip(seed=11, size=(64, 128), centres=((32, 64),), radius=12, num_frames=1)
    turned = AugmentationConfig(preset="off", degrees=90.0)
    square = augment_clips(*prepare(clip, size=(128, 128)), turned)
    true = augment_clips(*prepare(clip, size=(64, 128)), turned)
    rows = square.targets[0, 0, ::2]
    assert not disagrees(true.targets[:, 0].bool(), rows[None].bool())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_device_gives_the_same_as_the_processor():
    clips, batch = prepare(make_clip(seed=5), make_clip(seed=6, centres=((30, 40), (20, 20))))
    here = augment_clips(clips, batch, STRONG)
    on_device = replace(
        clips,
        pixels=clips.pixels.cuda(),
        targets=clips.targets.cuda(),
        labelled=clips.labelled.cuda(),
        object_clip=clips.object_clip.cuda(),
    )
    there = augment_clips(on_device, batch.to("cuda"), STRONG)
    torch.testing.assert_close(there.pixels.cpu(), here.pixels, atol=1e-3, rtol=0)
    assert torch.equal(there.targets.cpu(), here.targets)
    assert torch.equal(there.labelled.cpu(), here.labelled)
    assert there.prompt_frames == here.prompt_frames

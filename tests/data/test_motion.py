"""Tests of clips made from still images: smooth, consistent, seeded, honest about borders."""

import numpy as np
import torch

from sam2_video.data.dataset import ClipDataset, ClipSet, read_clip
from sam2_video.data.directory import open_video_directory
from sam2_video.data.motion import draw_motion, move_image, move_masks
from sam2_video.data.sampling import ClipPlan, ClipSettings


def displacement(motion):
    """Return how far each corner of a square image moves from one frame to the next."""
    corners = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]]).T
    places = (motion @ corners)[:, :2]
    return np.linalg.norm(np.diff(places, axis=0), axis=1)


def test_motion_is_seeded_smooth_and_shows_the_image_as_it_is_once():
    anchors = set()
    for seed in range(30):
        motion = draw_motion(seed, 8)
        assert np.array_equal(motion, draw_motion(seed, 8))
        steps = displacement(motion)
        assert 0.001 < steps.max() < 0.3
        assert np.abs(np.diff(steps, axis=0)).max() < 0.1
        still = [np.allclose(matrix, np.eye(3)) for matrix in motion]
        assert sum(still) == 1
        anchors.add(still.index(True))
    assert len(anchors) > 4


def test_image_and_masks_move_alike_also_where_the_image_was_decoded_smaller():
    image = torch.zeros(3, 96, 160, dtype=torch.uint8)
    image[:, 30:70, 50:110] = 255
    masks = (image[:1] > 0).to(torch.uint8)
    motion = draw_motion(3, 6)
    moved = move_masks(masks, motion)[0]
    shown = move_image(image, motion, (96, 160))[:, 0] > 127
    agree = (shown == (moved == 1)) | (moved == 255)
    assert agree.float().mean() > 0.99
    smaller = move_image(image[:, ::2, ::2].contiguous(), motion, (96, 160))[:, 0] > 127
    agree = (smaller == (moved[:, ::2, ::2] == 1)) | (moved[:, ::2, ::2] == 255)
    assert agree.float().mean() > 0.98


def test_what_lies_outside_of_the_image_is_ignored_and_values_stay_exact():
    masks = torch.ones(2, 40, 60, dtype=torch.uint8)
    masks[1] = 0
    moved = move_masks(masks, draw_motion(1, 8))
    assert set(moved[0].unique().tolist()) == {1, 255}
    assert set(moved[1].unique().tolist()) == {0, 255}
    assert torch.equal(moved[0] == 255, moved[1] == 255)


def test_a_still_follows_the_setting_and_a_video_does_not(video_directory):
    videos = open_video_directory(video_directory(still=[(1, 2)], sparse=[None, (1,), None] * 2))
    lengths = {}
    for setting in ("repeat", "motion", "single"):
        options = ClipSettings(4, (1, 1), 0.0, 2, still_images=setting)
        clips = {v.video_id: ClipDataset([ClipSet((v,), options)], 0)[0, 0] for v in videos}
        lengths[setting] = [len(clips[name].frame_names) for name in ("still", "sparse")]
        assert clips["still"].labelled.all()
        assert set(clips["still"].frame_names) == {"frame_0"}
        is_moved = bool((clips["still"].masks != clips["still"].masks[:, :1]).any())
        assert is_moved == (setting == "motion")
    assert lengths == {"repeat": [4, 4], "motion": [4, 4], "single": [1, 4]}


def test_a_planned_object_of_a_moved_still_is_visible(video_directory):
    (video,) = open_video_directory(video_directory(a=[(7,)]))
    for seed in range(40):
        clip = read_clip(video, ClipPlan((0,) * 5, (7,), 0, seed))
        assert (clip.masks[0, clip.prompt_frames[0]] == 1).any()


def test_half_a_turn_is_about_the_centre():
    image = torch.arange(3 * 6 * 8, dtype=torch.uint8).reshape(3, 6, 8)
    half_turn = np.diag([-1.0, -1.0, 1.0])[None]
    assert torch.equal(move_image(image, half_turn, (12, 16))[0], image.flip(1, 2))
    assert torch.equal(move_masks(image, half_turn)[:, 0], image.flip(1, 2))


def test_a_shift_is_a_share_of_the_longest_side_and_what_it_uncovers_is_mirrored():
    image = torch.arange(40 * 80).reshape(1, 40, 80).remainder(251).byte().repeat(3, 1, 1)
    to_the_right = np.array([[[1.0, 0.0, 0.25], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    moved = move_image(image, to_the_right, (40, 80))[0]
    assert torch.equal(moved[..., 20:], image[..., :60])
    assert torch.equal(moved[..., :20], image[..., 1:21].flip(-1))
    masks = move_masks((image[:1] > 100).byte(), to_the_right)[0]
    assert torch.equal(masks[..., 20:], (image[:1, :, :60] > 100).byte())
    assert (masks[..., :20] == 255).all()

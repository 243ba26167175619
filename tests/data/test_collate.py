"""Tests of joining clips of unlike shapes."""

import torch

from sam2_video.data.collate import collate_clips
from sam2_video.structures import Clip


def make_clip(frames: int, objects: int, height: int, name: str) -> Clip:
    masks = torch.zeros(objects, frames, height, 6, dtype=torch.uint8)
    masks[:, -1] = 1
    return Clip(
        video_id=name,
        frame_names=tuple(str(i) for i in range(frames)),
        frames=torch.arange(frames, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, height, 6),
        masks=masks,
        labelled=torch.ones(objects, frames, dtype=torch.bool),
        object_ids=tuple(range(1, objects + 1)),
        prompt_frames=(frames - 1,) * objects,
        seed=objects,
    )


def test_objects_of_all_clips_lie_on_one_axis():
    batch = collate_clips([make_clip(3, 2, 4, "a"), make_clip(3, 1, 5, "b")])
    assert batch.object_clip.tolist() == [0, 0, 1]
    assert batch.prompt_frames == (2, 2, 2)
    assert [source.video_id for source in batch.sources] == ["a", "b"]
    assert [source.object_ids for source in batch.sources] == [(1, 2), (1,)]
    assert [tuple(frames.shape) for frames in batch.frames] == [(3, 3, 4, 6), (3, 3, 5, 6)]
    assert batch.labelled.all()


def test_a_shorter_clip_is_padded_by_its_last_frame_unlabelled():
    batch = collate_clips([make_clip(2, 1, 4, "a"), make_clip(4, 2, 4, "b")])
    assert batch.num_frames == 4
    assert batch.frames[0][:, 0, 0, 0].tolist() == [0, 1, 1, 1]
    assert batch.masks[0].shape == (1, 4, 4, 6)
    assert batch.labelled.tolist() == [[True, True, False, False]] + [[True] * 4] * 2

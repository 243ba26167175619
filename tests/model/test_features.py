"""Image features that objects point to: nothing is copied that need not be."""

import torch

from sam2_video.model.heads import FrameFeatures


def make(num_images: int) -> FrameFeatures:
    embedding = torch.arange(num_images * 8.0).reshape(num_images, 2, 2, 2).requires_grad_()
    return FrameFeatures(embedding, embedding * 2, embedding * 3)


def test_the_frames_of_clips_are_views_that_lie_clip_by_clip():
    features = make(6)
    frames = features.by_frame(3)
    assert [len(frame.embedding) for frame in frames] == [2, 2, 2]
    assert torch.equal(frames[1].embedding, features.embedding[[1, 4]])
    assert frames[1].half.data_ptr() == features.half[1].data_ptr()


def test_objects_of_one_image_share_it():
    seated = make(2).seat([1, 1, 1])
    assert (len(seated.embedding), seated.num_objects) == (1, 3)
    spread = seated.spread(seated.embedding)
    assert spread.shape[0] == 3
    assert spread.stride(0) == 0


def test_each_object_sees_its_own_image():
    features = make(3)
    seated = features.seat([2, 0, 2])
    assert torch.equal(seated.spread(seated.quarter), features.quarter[[2, 0, 2]])
    assert len(seated.quarter) == 2


def test_one_object_an_image_needs_no_rows():
    features = make(3)
    assert features.seat([0, 1, 2]) is features
    assert features.seat([0, 1, 2]).num_objects == 3
    assert features.seat([2, 1, 0]).rows is not None


def test_gradients_come_back_to_the_images():
    features = make(4)
    frame = features.by_frame(2)[1].seat([0, 1, 1])
    frame.spread(frame.embedding).sum().backward()
    assert features.embedding.grad is not None
    assert features.embedding.grad[:, 0, 0, 0].tolist() == [0, 1, 0, 2]

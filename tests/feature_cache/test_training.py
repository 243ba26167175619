"""Training from a feature cache: the same numbers to the last bit, and no image is read."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_video.augmentation import choose_strengths, draw_variant, warp_frames
from sam2_video.data.collate import collate_clips
from sam2_video.data.dataset import ClipDataset, ClipSet
from sam2_video.data.video import Video
from sam2_video.model.sam2 import SAM2Model
from sam2_video.pixels import prepare_frames
from sam2_video.structures import FrameLevels
from sam2_video.training import run as training_run
from sam2_video.training.features import Machine, open_features
from sam2_video.training.prepare import load_tuner, open_data
from sam2_video.training.run import train
from tests.training.conftest import measured

CPU = Machine("cpu", 1, "32-true")
BF16 = Machine("cpu", 1, "bf16-mixed")
# frames come strided, reversed and more than once
CLIPS = {"dataset__frame_stride": [1, 3], "dataset__video_clip_length": 4}
MOVED = {
    "augmentation__horizontal_flip": 0.5,
    "augmentation__degrees": 25.0,
    "augmentation__crop": 0.7,
    "dataset__feature_cache_variants": 3,
}


def prepare(config, machine=CPU):
    """Return the tuner and the data of a run whose cache is full, and what filling came to."""
    tuner, datamodule = load_tuner(config), open_data(config)
    filled, stale = open_features(config, tuner.model, datamodule, machine)
    return tuner, datamodule, filled, stale


def draw_clips(datamodule, *, is_cached, count=4):
    (one,) = datamodule.sets
    encoded = datamodule.encoded if is_cached else None
    clips = ClipDataset([ClipSet(one.train, one.settings)], 5, (64, 64), encoded=encoded)
    return [clips[epoch, index] for epoch in range(-(-count // 4)) for index in range(4)][:count]


def learn(tuner, batch, dtype=None):
    """Return the loss of a batch and the gradient of everything that learns."""
    tuner.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        loss = tuner.compute_loss(batch).loss.total
    loss.backward()
    gradients = {n: p.grad for n, p in tuner.named_parameters() if p.grad is not None}
    assert any(gradient.any() for gradient in gradients.values())
    return {"loss": loss.detach()} | gradients


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"model__trainable_modules": ["memory", "mask_decoder"]},
        {"lora__modules": ["mask_decoder.conv_s0"]},
        {"trainer__clips_at_once": 1, "trainer__activation_checkpointing": "frames"},
    ],
    ids=["memory", "projections learn", "projections adapted", "parts"],
)
def test_losses_and_gradients_are_those_of_the_uncached_step(configure, overrides):
    tuner, datamodule, *_ = prepare(configure(**CLIPS, **overrides))
    cached = collate_clips(draw_clips(datamodule, is_cached=True))
    assert cached.levels is not None
    assert cached.levels.is_projected == (len(overrides) != 1)
    uncached = collate_clips(draw_clips(datamodule, is_cached=False))
    assert_same(learn(tuner, cached), learn(tuner, uncached))


def test_mixed_precision_loses_nothing_in_bf16(configure):
    config = configure(**CLIPS, dataset__feature_cache_dtype="bf16")
    tuner, datamodule, *_ = prepare(config, BF16)
    cached = collate_clips(draw_clips(datamodule, is_cached=True))
    uncached = collate_clips(draw_clips(datamodule, is_cached=False))
    assert_same(learn(tuner, cached, torch.bfloat16), learn(tuner, uncached, torch.bfloat16))


def test_bf16_is_the_uncached_step_on_features_rounded_to_bf16(configure, monkeypatch):
    tuner, datamodule, *_ = prepare(configure(**CLIPS, dataset__feature_cache_dtype="bf16"))
    cached = learn(tuner, collate_clips(draw_clips(datamodule, is_cached=True)))
    uncached = collate_clips(draw_clips(datamodule, is_cached=False))
    exact = learn(tuner, uncached)
    encode = SAM2Model.encode

    def rounded(model, pixels):
        features = encode(model, pixels)
        levels = features.embedding, features.half, features.quarter
        return type(features)(*(level.to(torch.bfloat16).float() for level in levels))

    monkeypatch.setattr(SAM2Model, "encode", rounded)
    assert_same(cached, learn(tuner, uncached))
    assert not torch.equal(cached["loss"], exact["loss"])


def test_clips_of_different_lengths_are_padded_alike(configure):
    tuner, datamodule, *_ = prepare(configure(**CLIPS))

    def make(is_cached):
        clips = draw_clips(datamodule, is_cached=is_cached)
        short = replace(
            clips[0],
            frame_names=clips[0].frame_names[:2],
            frames=clips[0].frames[:2],
            masks=clips[0].masks[:, :2],
            labelled=clips[0].labelled[:, :2],
            prompt_frames=(0,) * len(clips[0].prompt_frames),
            levels=clips[0].levels and clips[0].levels.change(lambda level: level[:2]),
        )
        return collate_clips([short, *clips[1:]])

    assert_same(learn(tuner, make(is_cached=True)), learn(tuner, make(is_cached=False)))


def test_a_variant_is_the_step_on_frames_moved_by_its_geometry(configure, monkeypatch):
    tuner, datamodule, *_ = prepare(configure(**CLIPS, **MOVED))
    strengths = choose_strengths(tuner.augmentation)
    cached = draw_clips(datamodule, is_cached=True, count=12)
    assert {clip.variant for clip in cached} == {0, 1, 2}
    videos = {video.video_id: video for video in datamodule.train_videos}
    for clip in cached[:4]:
        video = videos[clip.video_id]
        geometry = draw_variant(video.video_id, clip.variant, strengths, video.size)
        frames = [video.read_frame(video.frame_names.index(name)) for name in clip.frame_names]
        pixels = warp_frames(geometry, prepare_frames(torch.stack(frames), (64, 64)))
        levels = tuner.model.encode_fixed(pixels)
        assert all(map(torch.equal, clip.levels.levels, levels.levels))
        # with its frames, and the same variant: the step moves pixels and masks by itself
        seen = replace(clip, frames=torch.stack(frames), levels=None)
        batches = collate_clips([clip]), collate_clips([seen])
        assert_same(learn(tuner, batches[0]), learn(tuner, batches[1]))


def test_variants_differ_from_each_other_and_not_by_the_seed(configure):
    config = configure(**MOVED)
    tuner, datamodule, filled, _ = prepare(config)
    assert filled.num_encoded == 3 * 24
    first = [rows.read([0]).quarter for rows in datamodule.encoded["video_000"].rows]
    assert not any(torch.equal(first[a], first[b]) for a, b in [(0, 1), (0, 2), (1, 2)])
    other = replace(config, seed=7)
    assert open_features(other, tuner.model, open_data(other), CPU)[0].num_encoded == 0


def test_a_clip_that_would_lose_all_objects_is_shown_as_filmed(configure):
    _, datamodule, *_ = prepare(configure(**MOVED))
    video = datamodule.encoded["video_000"]
    # a shift of many widths: nothing of the video is left in view
    shift = np.array([[0.0, 0.0, 9.0], [0.0, 0.0, 9.0]])
    away = [replace(g, to_source=g.to_source + shift) for g in video.geometries[1:]]
    lost = replace(video, geometries=(video.geometries[0], *away))
    datamodule.encoded = dict(datamodule.encoded) | {"video_000": lost}
    clips = draw_clips(datamodule, is_cached=True, count=20)
    assert {clip.variant for clip in clips if clip.video_id == "video_000"} == {0}
    assert {clip.variant for clip in clips if clip.video_id == "video_001"} - {0}


def test_a_run_from_the_cache_reads_no_image_and_has_the_same_numbers(configure, data, monkeypatch):
    config = configure(dataset__num_workers=1)
    plain = replace(config.dataset, feature_cache=None, feature_cache_dtype="bf16")
    expected = train(replace(config, dataset=plain, output_dir=config.output_dir + "_plain"))
    opened = training_run.open_features

    def fill_and_delete(*arguments, **settings):
        filled = opened(*arguments, **settings)
        for image in (data / "videos").rglob("*.jpg"):
            image.unlink()
        return filled

    monkeypatch.setattr(training_run, "open_features", fill_and_delete)
    result = train(config)
    assert list((data / "videos").rglob("*.jpg")) == []
    assert measured(result.output_dir) == measured(expected.output_dir)


def test_pictures_of_clips_show_what_was_encoded_and_are_left_out_without_images(
    configure, monkeypatch, said
):
    config = configure(trainer__pictures_every=1, trainer__max_steps=1, **MOVED)
    result = train(config)
    assert (result.output_dir / "pictures" / "clips_first.png").is_file()

    def gone(video, index, max_size=None):
        raise FileNotFoundError(f"{video.video_id}, frame {index}")

    monkeypatch.setattr(Video, "read_frame", gone)
    train(replace(config, output_dir=config.output_dir + "_again"))
    assert any("training clips cannot be made" in line for line in said)


def test_validation_reads_images_and_scores_as_without_a_cache(configure):
    config = configure(dataset__val_fraction=0.25, trainer__max_steps=1)
    plain = replace(config.dataset, feature_cache=None, feature_cache_dtype="bf16")
    expected = train(replace(config, dataset=plain, output_dir=config.output_dir + "_plain"))
    result = train(config)
    assert result.before is not None
    assert measured(result.output_dir) == measured(expected.output_dir)


def test_other_weights_are_other_features(configure):
    config = configure()
    prepare(config)
    tuner, datamodule = load_tuner(config), open_data(config)
    with torch.no_grad():
        next(tuner.model.network.vision_encoder.parameters()).view(-1)[0] += 1e-3
    filled, stale = open_features(config, tuner.model, datamodule, CPU)
    assert filled.num_encoded == 24
    assert len(stale.paths) == 4


def test_weights_outside_of_the_encoder_are_the_same_features(configure):
    config = configure()
    prepare(config)
    tuner, datamodule = load_tuner(config), open_data(config)
    with torch.no_grad():
        tuner.model.network.memory_encoder.projection.weight += 1
    assert open_features(config, tuner.model, datamodule, CPU)[0].num_encoded == 0


@pytest.mark.parametrize(
    "overrides",
    [
        {"dataset__image_size": [64, 96]},
        {"dataset__feature_cache_dtype": "bf16"},
        {"model__trainable_modules": ["mask_decoder"]},
    ],
    ids=["size", "dtype", "projections"],
)
def test_other_settings_are_other_features(configure, overrides):
    prepare(configure())
    assert prepare(configure(**overrides))[2].num_encoded == 24


def test_another_precision_is_other_features(configure):
    prepare(configure())
    assert prepare(configure(), BF16)[2].num_encoded == 24


def test_only_the_video_whose_frame_has_changed_is_encoded_again(configure, data):
    _, datamodule, *_ = prepare(configure())
    image = sorted((data / "videos" / "video_001").iterdir())[2]
    os.utime(image, ns=(1, 1))
    _, _, filled, stale = prepare(configure())
    assert filled.num_encoded == 6
    assert stale.paths == (datamodule.encoded["video_001"].rows[0].path,)


@pytest.mark.parametrize(
    ("overrides", "learning"),
    [
        ({"model__trainable_modules": ["memory", "vision_encoder.neck"]}, "vision_encoder.neck"),
        ({"lora__modules": ["image_encoder.trunk.blocks.0.attn.qkv"]}, "lora_A"),
    ],
    ids=["weights", "adapters"],
)
def test_an_encoder_that_learns_is_refused(configure, overrides, learning):
    config = configure(**overrides)
    with pytest.raises(ValueError, match=r"dataset\.feature_cache: the image encoder learns") as e:
        train(config)
    assert learning in str(e.value)
    assert "model.trainable_modules" in str(e.value)


def test_a_failed_batch_is_saved_with_its_features(configure, tmp_path):
    from sam2_video.training.failure import load_batch, save_batch

    _, datamodule, *_ = prepare(configure(**MOVED))
    batch = collate_clips(draw_clips(datamodule, is_cached=True))
    save_batch(tmp_path / "batch.pt", batch, {})
    loaded, _ = load_batch(tmp_path / "batch.pt")
    assert loaded.sources == batch.sources
    assert isinstance(loaded.levels, FrameLevels)
    assert batch.levels is not None
    assert all(map(torch.equal, loaded.levels.levels, batch.levels.levels))

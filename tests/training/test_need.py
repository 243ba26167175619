"""The predicted need of a training step, against what the tensors of a real one hold."""

from dataclasses import replace

import pytest
import torch

from sam2_video.configuration import load_config
from sam2_video.model.architecture import MICRO
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import Prompt
from sam2_video.training.footprint import Footprint
from sam2_video.training.largest import heaviest_seed, make_largest_clip, repeat_clip
from sam2_video.training.need import predict_need
from sam2_video.training.objective import draw_lesson
from sam2_video.training.optimiser import build_optimiser
from sam2_video.training.prepare import make_tuner

NUM_OBJECTS = 2
SMALL = {"dataset.image_size": [128, 160], "dataset.video_clip_length": 3}
SETTINGS = {
    "default": {},
    "clicks, and what is computed twice": {
        "prompts.mask": 0.0,
        "prompts.point": 1.0,
        "prompts.corrected_frames": 1,
        "prompts.correction_clicks": 1,
        "trainer.activation_checkpointing": "frames",
        "trainer.objects_at_once": 1,
    },
    "light": {"trainer.activation_checkpointing": "light"},
    "all learns": {"model.trainable_modules": ["all"], "trainer.ema_decay": 0.9},
    "adapters and cache": {
        "lora.modules": ["memory_attention"],
        "dataset.feature_cache": "features",
        "augmentation.preset": "off",
    },
}
CHEAP = {"trainer.activation_checkpointing": "cheap"}


def need_of(settings, num_clips=1, num_objects=NUM_OBJECTS, precision="32-true"):
    config = load_config(None, SMALL | settings)
    return predict_need(config, MICRO, num_clips, num_objects, precision)


def hold(settings, precision):
    """Take two real steps, as Lightning does; return the peak of what their tensors hold."""
    config = load_config(None, SMALL | settings)
    height, width = config.dataset.image_size
    model = SAM2Model.load(None, "micro", (height, width))
    if config.lora.modules:
        model.add_adapters(config.lora.modules)
    model.set_trainable(config.model.trainable_modules)
    tuner = make_tuner(config, model)
    length = config.dataset.video_clip_length
    clip = make_largest_clip(length, NUM_OBJECTS, (height, width))
    batch = repeat_clip(clip, 1, heaviest_seed(length, config.prompts))
    if config.dataset.feature_cache is not None:
        lesson = draw_lesson(batch, (height, width), config.prompts)
        assert lesson.clips.pixels is not None
        levels = model.encode_fixed(lesson.clips.pixels.flatten(0, 1))
        levels = levels.change(lambda level: level.bfloat16())
        batch = replace(batch, levels=levels)
    named = model.network.named_parameters()
    optimiser, _ = build_optimiser(named, config.trainer, num_steps=1)
    dtype = None if precision == "32-true" else torch.bfloat16
    given = [*batch.masks, *batch.frames, *([] if batch.levels is None else batch.levels.levels)]
    with Footprint([*model.state_dict().values(), *given]) as footprint:
        # the averaged weights
        copies = [torch.empty_like(p) for p in tuner.parameters() if p.requires_grad]
        if config.trainer.ema_decay is None:
            del copies
        for _ in range(2):
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                loss = tuner.compute_loss(batch).loss.total
            optimiser.zero_grad()
            loss.backward()
            del loss
            optimiser.step()
    return footprint.peak


@pytest.mark.parametrize("name", SETTINGS)
def test_real_steps_hold_what_was_predicted(name):
    assert_as_predicted(SETTINGS[name], "32-true")


def test_in_half_precision_too():
    assert_as_predicted(CHEAP, "bf16-mixed")


def assert_as_predicted(settings, precision):
    need, peak = need_of(settings, precision=precision).total, hold(settings, precision)
    assert peak == pytest.approx(need, rel=0.08)


def test_what_is_predicted_leaves_nothing_behind():
    """Tables of positions are kept from call to call: those of a prediction would be empty."""
    torch.manual_seed(0)
    model = SAM2Model.load(None, "micro", (64, 64))
    need_of({"dataset.image_size": [64, 64]})
    state = torch.get_rng_state()
    outputs = model(torch.zeros(1, 2, 3, 64, 64), torch.zeros(1, dtype=torch.long), [prompt()])
    assert bool(outputs[-1].mask_logits.isfinite().all())
    assert torch.equal(torch.get_rng_state(), state)


def prompt():
    return Prompt(0, (0,), masks=torch.ones(1, 64, 64))


def test_more_is_needed_for_more_and_less_where_more_is_computed_twice():
    one = need_of({})
    assert need_of({}, num_objects=4).total > 1.3 * one.total
    assert need_of({"trainer.activation_checkpointing": "frames"}).kept < 0.5 * one.kept
    two = need_of({}, num_clips=2)
    assert two.fixed == one.fixed
    assert two.total - two.fixed == pytest.approx(2 * (one.total - one.fixed), rel=0.1)
    assert one.num_clips_in(one.total) == 1
    assert one.num_clips_in(one.total - 1) == one.num_clips_in(0) == 0


def test_the_kernels_of_the_device_are_counted():
    config = load_config(None, SMALL)
    on_gpu, on_cpu = (
        predict_need(config, MICRO, 1, NUM_OBJECTS, "bf16-mixed", device=device).kept
        for device in ("cuda", "cpu")
    )
    assert on_gpu != on_cpu


@pytest.mark.gpu
def test_a_gpu_holds_what_was_predicted():
    """At a size at which activations, not the libraries' own memory, are most of the need."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    settings = {"dataset.image_size": [512, 512], "dataset.video_clip_length": 4}
    config = load_config(None, settings)
    model = SAM2Model.load(None, "sam2.1-tiny", (512, 512))
    model.set_trainable(config.model.trainable_modules)
    tuner = make_tuner(config, model).cuda()
    clip = make_largest_clip(4, 3, (512, 512))
    batch = repeat_clip(clip, 1, heaviest_seed(4, config.prompts)).to(tuner.device)
    optimiser, _ = build_optimiser(model.network.named_parameters(), config.trainer, num_steps=2)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16):
            loss = tuner.compute_loss(batch).loss.total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    need = predict_need(config, model.architecture, 1, 3, "bf16-mixed", device="cuda")
    assert torch.cuda.max_memory_allocated() == pytest.approx(need.total, rel=0.15)

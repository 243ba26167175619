"""The host waits for the device once a step, at its end: nothing else reads a value back."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sam2_video
from sam2_video.config import PromptConfig, TrainerConfig
from sam2_video.model import tracker
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training import readings, trainer
from sam2_video.training.optimiser import build_optimiser
from sam2_video.training.trainer import MemoryTuner
from tests.loss_inputs import ALL_TERMS
from tests.training.batches import make_batch

MASKS = PromptConfig(mask=1.0, box=0.0, point=0.0, conditioning_frames=1, corrected_frames=0)
CLICKS = PromptConfig(
    mask=0.0, box=0.0, point=1.0, conditioning_frames=2, corrected_frames=2, correction_clicks=7
)
WAITING = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "repeat_interleave.Tensor",
    "bincount",
}
"""Operators that need a value, or a shape that depends on values."""
ROOT = Path(sam2_video.__file__).parent


def our_line():
    """Return the innermost function of the package that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT):
            return f"{path.relative_to(ROOT)}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


class RecordWaiting(TorchDispatchMode):
    """Notes what would make the host wait for a device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        is_waiting = name in WAITING or f"{name}.{func._overloadname}" in WAITING
        if name in {"index", "index_put", "index_put_", "_index_put_impl_"}:
            kinds = (torch.bool, torch.uint8)
            is_waiting |= any(i is not None and i.dtype in kinds for i in args[1])
        if is_waiting:
            self.found.append(f"{name} in {our_line()}")
        return func(*args, **(kwargs or {}))


def noting(recorder, method):
    original = getattr(torch.Tensor, method)

    def spy(tensor, *args, **kwargs):
        recorder.found.append(f"{method} in {our_line()}")
        return original(tensor, *args, **kwargs)

    return spy


@pytest.fixture
def recorded(monkeypatch):
    """Record in `found` what waits: operators, and methods that read a tensor past them."""
    recorder = RecordWaiting()
    for method in ("tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, method, noting(recorder, method))
    return recorder


def make_step(prompts, device="cpu", **settings):
    """Return a function that makes a step with all terms and everything that may learn."""
    model = SAM2Model.load(None, "micro", (64, 64), seed=1)
    model.set_trainable(["memory", "mask_decoder"])
    model.to(device)
    chosen = TrainerConfig(gradient_clip=0.1, **settings)
    tuner = MemoryTuner(model.train(), ALL_TERMS, prompts, chosen)
    optimiser, schedule = build_optimiser(model.network.named_parameters(), chosen, 10)
    batch = make_batch().to(device)

    def step():
        loss = tuner.training_step(batch, 0)
        loss.backward()
        tuner.configure_gradient_clipping(optimiser)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        tuner.step_metrics()

    return step


IN_THE_END = "tolist in training/readings.py:read"
KNOWN_TO_THE_HOST = {"tolist in model/unroll.py:track_clips"}
"""What is read of `object_clip`, which stays on the host."""
BEFORE = {"masks.py:resize_masks", "prompts/user.py:_look", "training/objective.py:learn_from"}
"""Where a step has queued nothing yet: is an object lost by resizing, and what can be shown."""


@pytest.mark.parametrize(
    ("prompts", "settings"),
    [
        (MASKS, {}),
        (MASKS, {"objects_at_once": 2}),
        (MASKS, {"activation_checkpointing": "frames"}),
        (CLICKS, {}),
    ],
    ids=["masks of late objects", "parts", "recomputed", "seven clicks"],
)
def test_a_step_waits_once_and_at_its_end(prompts, settings, recorded, monkeypatch):
    step, original = make_step(prompts, **settings), SAM2Model.encode

    def encode(*args):
        recorded.found.append("encode")
        return original(*args)

    monkeypatch.setattr(SAM2Model, "encode", encode)
    step()
    recorded.found.clear()
    with recorded:
        step()
    start = recorded.found.index("encode")
    assert {name.split(" in ")[1] for name in recorded.found[:start]} <= BEFORE
    later = recorded.found[start + 1 :]
    assert [name for name in later if name not in KNOWN_TO_THE_HOST] == [IN_THE_END]


def test_a_value_that_is_read_in_the_step_is_found(recorded, monkeypatch):
    original = tracker.encode_memory

    def careless(network, features, mask_logits, *args):
        if mask_logits.max().item() > 1e9:
            raise AssertionError
        return original(network, features, mask_logits, *args)

    monkeypatch.setattr(tracker, "encode_memory", careless)
    step = make_step(MASKS)
    with recorded:
        step()
    assert any(name.startswith("_local_scalar_dense") for name in recorded.found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("prompts", [MASKS, CLICKS], ids=["masks", "clicks"])
def test_on_a_gpu_only_what_is_known_waits(prompts, monkeypatch):
    step = make_step(prompts, device="cuda")
    step()
    waits = []

    def allow(owner, name):
        original = getattr(owner, name)

        def allowed(*args, **kwargs):
            waits.append(name)
            torch.cuda.set_sync_debug_mode("default")
            try:
                return original(*args, **kwargs)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        monkeypatch.setattr(owner, name, allowed)

    allow(readings.Readings, "read")
    allow(trainer, "draw_lesson")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert "read" in waits

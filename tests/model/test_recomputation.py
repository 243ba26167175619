"""Activation checkpointing: the same loss and gradient, from less that is kept."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from sam2_video.config import LossConfig
from sam2_video.losses import clip_loss
from sam2_video.model import attention
from tests.model.meta_oracle import jitter
from tests.model.micro import box_prompt, mask_prompt, micro_model, noise, relative
from tests.model.test_correction import corrections_on

NUM_FRAMES = 4
DROPOUT = 0.3
PROMPTS = (box_prompt(0, (0, 1)), mask_prompt(1, (2,)))
PATTERNS = ("memory_attention", "memory_encoder", "mask_decoder")
CORRECTIONS = (corrections_on(0, (0, 1), 4), corrections_on(2, (0, 1), 4))


@pytest.fixture(scope="module")
def model():
    return micro_model(PATTERNS, dropout=DROPOUT).train()


@pytest.fixture(scope="module")
def learn(model) -> Callable:
    return partial(learn_with, model)


def learn_with(model, recomputed, truncate=None, precision=None):
    """Return loss, gradients, and the bytes kept for backward."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    model.zero_grad()
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(3)
    with (
        torch.autocast("cpu", precision, enabled=precision is not None),
        saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        outputs = model(
            # of the first seed's video a unit of the decoder is 0 but for rounding: its ReLU has a
            # gradient or has none
            noise(1, NUM_FRAMES, seed=1),
            torch.zeros(3, dtype=torch.long),
            PROMPTS,
            truncate,
            CORRECTIONS,
            recomputed,
        )
    targets = torch.zeros(3, NUM_FRAMES, 64, 64, dtype=torch.uint8)
    targets[:, :, 10:30, 20:50] = 1
    labelled = torch.ones(3, NUM_FRAMES, dtype=torch.bool)
    loss = clip_loss(outputs, targets, labelled, LossConfig()).total
    state = torch.get_rng_state()
    loss.backward()
    # backward draws nothing that anybody else will miss
    assert torch.equal(torch.get_rng_state(), state)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), {n: g.clone() for n, g in gradients.items()}, sum(kept.values())


@pytest.fixture(scope="module")
def kept_all(learn):
    return learn("none")


def assert_same_learning(found, expected, tolerance=1e-6):
    assert found[0] == pytest.approx(expected[0], rel=tolerance)
    assert found[1].keys() == expected[1].keys()
    total = torch.cat([gradient.flatten() for gradient in expected[1].values()]).norm()
    for name, gradient in expected[1].items():
        assert float((found[1][name] - gradient).norm() / total) < tolerance, name


@pytest.mark.parametrize("recomputed", ["clicks", "light", "cheap", "frames"])
def test_the_gradient_is_that_of_what_is_kept_dropout_and_clicks_included(
    learn, kept_all, recomputed
):
    assert_same_learning(learn(recomputed), kept_all)


# 16-bit gradients of several uses of a tensor are added in another order
@pytest.mark.parametrize(
    ("precision", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_without_dropout_what_pytorchs_own_attention_says_is_kept(precision, tolerance):
    """The micro network's values are as wide as its keys: no kernel of ours takes them."""
    model = micro_model(("memory_attention",)).train()

    def gradient(recomputed):
        model.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            prompt = mask_prompt(0, (0, 1))
            clips = torch.zeros(2, dtype=torch.long)
            said = model(noise(1, 3), clips, [prompt], None, (), recomputed)
        said[-1].mask_logits.square().mean().backward()
        learning = model.network.memory_attention.parameters()
        return torch.cat([p.grad.flatten() for p in learning if p.grad is not None])

    expected = gradient("none")
    assert float((gradient("cheap") - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize(
    ("recomputed", "precision", "adapted"),
    [
        ("light", None, False),
        ("light", torch.bfloat16, True),
        ("cheap", None, False),
        ("cheap", None, True),
        ("cheap", torch.bfloat16, True),
        ("frames", None, False),
    ],
)
def test_without_dropout_too(recomputed, precision, adapted, undisturbed):
    model = undisturbed(adapted)
    expected = learn_with(model, "none", precision=precision)
    found = learn_with(model, recomputed, precision=precision)
    # 16-bit gradients of several uses of a tensor are added in another order
    assert_same_learning(found, expected, 1e-6 if precision is None else 1e-2)


@pytest.fixture(scope="module")
def undisturbed() -> Callable:
    """Return models without dropout, where what attention says may be kept."""
    models = {False: micro_model(PATTERNS).train(), True: micro_model(PATTERNS)}
    models[True].add_adapters(["memory_attention", "mask_decoder"], rank=2)
    jitter(models[True], seed=2)
    models[True].set_trainable(["memory_encoder"])
    models[True].train()
    return models.__getitem__


class Attentions(TorchDispatchMode):
    """Counts what memory attention attends, by whether there are more keys than queries."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[bool] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # the decoder has several heads
        is_fused = str(func).endswith("flash_attention_for_cpu.default") and args[0].shape[1] == 1
        if is_fused or str(func) == "sam2_video.attend_in_blocks.default":
            self.counts[args[1].shape[-2] > args[0].shape[-2]] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("recomputed", "is_repeated"),
    [("none", ""), ("light", ""), ("cheap", "self"), ("frames", "self, memory")],
)
def test_attention_to_memory_is_slow_and_not_done_again(
    recomputed, is_repeated, precision, monkeypatch
):
    # as where matrices are large
    monkeypatch.setattr(attention, "KEPT_BYTES", 0)
    model = micro_model(("memory_attention",)).train()
    clips = torch.zeros(2, dtype=torch.long)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        prompt = mask_prompt(0, (0, 1))
        said = model(noise(1, 3), clips, [prompt], None, (), recomputed)
    loss = said[-1].mask_logits.square().mean()
    with Attentions() as again:
        loss.backward()
    assert (again.counts[True] > 0) == ("memory" in is_repeated)
    assert (again.counts[False] > 0) == ("self" in is_repeated)


class Calls(TorchDispatchMode):
    """Counts operations of ours by their names."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func).removesuffix(".default")] += 1
        return func(*args, **(kwargs or {}))


def test_light_keeps_the_matrices_of_few_keys():
    model = micro_model(("memory_attention",)).train()
    clips = torch.zeros(2, dtype=torch.long)
    with Calls() as first:
        said = model(noise(1, 3), clips, [mask_prompt(0, (0, 1))], None, (), "light")
    # two layers on two frames
    assert first.counts["sam2_video.attend_and_keep"] == 4
    with Calls() as again:
        said[-1].mask_logits.square().mean().backward()
    assert again.counts["sam2_video.attend_and_keep"] == 0
    assert again.counts["sam2_video.attend_and_keep_backward"] == 4


def test_with_a_truncated_memory_too(learn):
    assert_same_learning(learn("frames", truncate=2), learn("none", truncate=2))


def test_dropout_matters_here(learn, kept_all, model):
    model.eval()
    without, *_ = learn("none")
    model.train()
    assert abs(without - kept_all[0]) > 1e-6 * kept_all[0]


def test_less_is_kept_without_clicks_and_least_without_frames(learn, kept_all):
    everything, clicks, frames = kept_all[2], learn("clicks")[2], learn("frames")[2]
    assert clicks < 0.75 * everything
    assert frames < 0.1 * everything
    assert frames < learn("cheap")[2] < learn("light")[2] < clicks


def test_without_corrections_recomputing_clicks_changes_nothing(model):
    pixels, object_clip = noise(1, 2), torch.zeros(1, dtype=torch.long)
    for recomputed in ("none", "clicks"):
        torch.manual_seed(1)
        said = model(pixels, object_clip, [mask_prompt(0, (0,))], None, (), recomputed)
        logits = said[-1].mask_logits
        if recomputed == "none":
            expected = logits
    assert relative(logits, expected) == 0

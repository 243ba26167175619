"""Where gradients go: through memory to everything that learns, and no further than asked."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import FrameOutput, Prompt
from tests.model.micro import (
    box_prompt,
    by_object,
    last_frame_loss,
    mask_prompt,
    micro_model,
    noise,
    point_prompt,
)

NUM_FRAMES = 4
OBJECT_CLIP = torch.tensor([0, 0, 1, 1, 1])
MEMORY = ("memory_attention.", "memory_encoder.")


def every_kind_of_prompt() -> list[Prompt]:
    """Prompts of five objects; the mask of the second is empty: it is absent."""
    masks = mask_prompt(0, (0, 1)).masks
    assert masks is not None
    return [
        Prompt(0, (0, 1), masks=torch.stack([masks[0], torch.zeros_like(masks[1])])),
        box_prompt(0, (2,)),
        point_prompt(0, (3,)),
        Prompt(0, (4,), points=torch.zeros(1, 1, 2), labels=torch.tensor([[-1]])),
    ]


def gradients(model: SAM2Model, loss: Tensor) -> dict[str, Tensor | None]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.network.named_parameters()}


def loss_of_all_frames(outputs: Sequence[FrameOutput]) -> Tensor:
    frames = {output.frame for output in outputs}
    return torch.stack([last_frame_loss(outputs, frame) for frame in frames]).sum()


@pytest.mark.parametrize("prompt", [mask_prompt(0, (0, 1)), box_prompt(0, (0, 1))])
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_the_last_frames_loss_reaches_every_parameter_of_memory_and_no_frozen_one(prompt, size):
    model = micro_model(["memory_attention", "memory_encoder"], image_size=size).train()
    if prompt.masks is not None:
        prompt = mask_prompt(0, (0, 1), size)
    outputs = model(noise(1, NUM_FRAMES, size), torch.tensor([0, 0]), [prompt])
    received = gradients(model, last_frame_loss(outputs))
    for name, gradient in received.items():
        if name.startswith(MEMORY):
            assert gradient is not None, name
            assert gradient.isfinite().all(), name
            assert gradient.norm() > 1e-7, name
        else:
            assert gradient is None, name


def test_the_memory_encoder_learns_from_a_later_frame_than_the_one_it_encodes():
    model = micro_model(["memory_encoder"]).train()
    outputs = model(noise(1, 2), torch.tensor([0]), [mask_prompt(0, (0,))])
    assert not outputs[0].mask_logits.requires_grad
    assert outputs[1].mask_logits.requires_grad


def test_everything_that_can_receive_a_gradient_does():
    model = micro_model(["all"]).train()
    outputs = model(noise(2, NUM_FRAMES), OBJECT_CLIP, every_kind_of_prompt())
    received = gradients(model, loss_of_all_frames(outputs))
    without = {name for name, x in received.items() if x is None or x.norm() < 1e-8}
    blind = {name for name in received if name.startswith("mask_decoder.transformer")}
    blind = {name for name in blind if name.endswith("k_proj.bias")}
    # never read: SAM 2 adds `no_memory_embedding` to the features instead of attending to it
    assert "no_memory_positional_encoding" in without
    # the same number added to all of a query's similarities: softmax does not see it (memory
    # attention's does count, for its keys are rotated)
    assert without - {"no_memory_positional_encoding"} <= blind


def test_every_parameter_around_memory_receives_a_gradient():
    model = micro_model(["memory"]).train()
    outputs = model(noise(2, NUM_FRAMES), OBJECT_CLIP, every_kind_of_prompt())
    received = gradients(model, loss_of_all_frames(outputs))
    learning = {name for name, p in model.network.named_parameters() if p.requires_grad}
    reached = {name for name, x in received.items() if x is not None and x.norm() > 1e-8}
    assert reached == learning - {"no_memory_positional_encoding"}


def test_a_frozen_encoder_runs_without_a_graph_and_in_chunks():
    model = micro_model(["memory"]).train()
    chunks = []
    model.network.vision_encoder.neck.convs[-1].register_forward_hook(
        lambda _, __, output: chunks.append((len(output), output))
    )
    features = model.encode(noise(1, 11)[0].requires_grad_())
    assert [length for length, _ in chunks] == [8, 3]
    assert not any(level.requires_grad for _, level in chunks)
    assert features.embedding.shape == (11, 64, 4, 4)
    assert not features.embedding.requires_grad


def test_features_are_the_same_whether_the_encoder_learns_or_not():
    model, pixels = micro_model(["memory"]), noise(1, 11)[0]
    frozen = model.encode(pixels)
    model.set_trainable(["image_encoder"])
    learning = model.encode(pixels)
    assert learning.embedding.requires_grad
    torch.testing.assert_close(frozen.embedding, learning.embedding, rtol=1e-5, atol=1e-5)


def test_the_decoders_own_projections_of_features_learn_over_a_frozen_encoder():
    model = micro_model(["mask_decoder"]).train()
    outputs = model(noise(1, 2), torch.tensor([0]), [mask_prompt(0, (0,))])
    received = gradients(model, last_frame_loss(outputs))
    for name in ("conv_s0", "conv_s1"):
        gradient = received[f"mask_decoder.{name}.weight"]
        assert gradient is not None
        assert gradient.norm() > 0


def frames_reached(model: SAM2Model, truncate_after: int | None) -> list[int]:
    """Return the frames whose pixels the last frame's loss has a gradient to."""
    pixels = noise(1, 6).requires_grad_()
    outputs = model(pixels, torch.tensor([0]), [mask_prompt(0, (0,))], truncate_after)
    gradient = torch.autograd.grad(last_frame_loss(outputs), pixels)[0]
    return gradient[0].flatten(1).norm(dim=1).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("truncate_after", "expected"),
    [(None, [0, 1, 2, 3, 4, 5]), (1, [5]), (2, [4, 5]), (3, [3, 4, 5]), (6, [0, 1, 2, 3, 4, 5])],
)
def test_the_gradient_through_memory_is_cut_where_asked_and_nowhere_else(truncate_after, expected):
    assert frames_reached(micro_model().train(), truncate_after) == expected


def test_cutting_the_gradient_changes_no_value():
    model = micro_model().train()
    pixels, prompts = noise(1, 6), [mask_prompt(0, (0,))]
    with torch.no_grad():
        whole = by_object(model(pixels, torch.tensor([0]), prompts))
        cut = by_object(model(pixels, torch.tensor([0]), prompts, 2))
    assert all(torch.equal(cut[key], whole[key]) for key in whole)


def spread(model: SAM2Model) -> float:
    """Return by how much two passes over the same clip differ."""
    pixels, prompts = noise(1, 3), [mask_prompt(0, (0,))]
    one, other = (by_object(model(pixels, torch.tensor([0]), prompts))[0, 2] for _ in range(2))
    return float((one - other).detach().norm())


def test_dropout_is_active_where_memory_attention_learns_and_only_in_training():
    model = micro_model(["memory_attention"], dropout=0.5)
    assert spread(model) == 0
    assert spread(model.train()) > 0


def test_dropout_is_off_where_memory_attention_is_frozen():
    model = micro_model(["memory_encoder", "mask_decoder"], dropout=0.5)
    assert spread(model.train()) == 0


def test_without_dropout_training_mode_is_exact():
    assert spread(micro_model(["all"]).train()) == 0

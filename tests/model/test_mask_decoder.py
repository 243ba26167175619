"""The mask decoder says what transformers' own forward pass says, in outputs and gradients."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from sam2_video.model.mask_decoder import (
    attend_both_ways,
    attend_in_heads,
    predict_masks,
    score_objects,
    tokens_of_masks,
)
from tests.model.micro import micro_model

OBJECTS, POINTS, SIZE = 2, 3, (4, 6)


def draw(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.fixture(scope="module")
def decoder():
    return micro_model().network.mask_decoder.double()


@pytest.fixture
def inputs(decoder):
    channels = decoder.hidden_size
    shapes = {
        "image": (OBJECTS, channels, *SIZE),
        "positions": (1, channels, *SIZE),
        "prompts": (OBJECTS, POINTS, channels),
        "half": (OBJECTS, channels // 4, 2 * SIZE[0], 2 * SIZE[1]),
        "quarter": (OBJECTS, channels // 8, 4 * SIZE[0], 4 * SIZE[1]),
    }
    return {name: draw(shape, seed) for seed, (name, shape) in enumerate(shapes.items())}


def ours(decoder, inputs, is_multimask, is_training):
    image = inputs["image"].flatten(2).transpose(1, 2)
    positions = inputs["positions"][0].flatten(1).T
    decoded = attend_both_ways(decoder, image, positions, inputs["prompts"])
    masks, ious = predict_masks(
        decoder,
        decoded,
        SIZE,
        inputs["half"],
        inputs["quarter"],
        is_multimask=is_multimask,
        is_training=is_training,
    )
    tokens = tokens_of_masks(decoder, decoded, is_multimask=is_multimask)
    return masks, ious, tokens, score_objects(decoder, decoded)


def theirs(decoder, inputs, is_multimask, is_training):
    decoder.dynamic_multimask_via_stability = not is_training
    masks, ious, tokens, scores = decoder(
        image_embeddings=inputs["image"],
        image_positional_embeddings=inputs["positions"].expand(OBJECTS, -1, -1, -1),
        sparse_prompt_embeddings=inputs["prompts"].unsqueeze(1),
        dense_prompt_embeddings=torch.zeros(1, 1, 1, 1, dtype=torch.float64),
        multimask_output=is_multimask,
        high_resolution_features=[inputs["quarter"], inputs["half"]],
    )
    return masks.squeeze(1), ious.squeeze(1), tokens.squeeze(1), scores.flatten()


def gradients(decoder, said, inputs):
    loss = sum(value.square().sum() for value in said)
    learning = dict(decoder.named_parameters()) | inputs
    learning = {name: tensor for name, tensor in learning.items() if tensor.requires_grad}
    found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
    return dict(zip(learning, found, strict=True))


@pytest.mark.parametrize(
    ("is_multimask", "is_training", "patience"),
    list(product([False, True], [False, True], [0.0, 2.0])),
)
def test_it_says_what_transformers_says(decoder, inputs, is_multimask, is_training, patience):
    # of stability: with 0 every mask is stable, with 2 none is
    decoder.dynamic_multimask_stability_thresh = patience
    said = ours(decoder, inputs, is_multimask, is_training)
    expected = theirs(decoder, inputs, is_multimask, is_training)
    for one, other in zip(said, expected, strict=True):
        torch.testing.assert_close(one, other)
    others = gradients(decoder, expected, inputs)
    for name, gradient in gradients(decoder, said, inputs).items():
        # a learning weight that no loss reaches has the same gradient as there: zeros, or none
        assert (gradient is None) == (others[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(gradient, others[name], msg=lambda m, n=name: f"{n}: {m}")


def test_frozen_heads_of_masks_that_nobody_asked_for_are_not_run(decoder, inputs, monkeypatch):
    decoder.dynamic_multimask_stability_thresh = 0.0
    runs = []
    for number, head in enumerate(decoder.output_hypernetworks_mlps):
        monkeypatch.setattr(
            head, "forward", lambda x, n=number, run=head.forward: runs.append(n) or run(x)
        )
    expected = theirs(decoder, inputs, True, True)
    decoder.output_hypernetworks_mlps.requires_grad_(False)
    try:
        runs.clear()
        said = ours(decoder, inputs, True, True)
        assert runs == [1, 2, 3]
        runs.clear()
        ours(decoder, inputs, False, True)
        assert runs == [0]
    finally:
        decoder.output_hypernetworks_mlps.requires_grad_(True)
    for one, other in zip(said, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_its_attention_is_pytorchs_in_outputs_and_gradients():
    shapes = (2, 8, 5, 16), (2, 8, 37, 16), (2, 8, 37, 16)
    tensors = [draw(shape, seed) for seed, shape in enumerate(shapes)]
    found = attend_in_heads(*tensors, scale=0.2)
    expected = F.scaled_dot_product_attention(*tensors, scale=0.2)
    torch.testing.assert_close(found, expected)
    pairs = zip(
        torch.autograd.grad(found.square().sum(), tensors),
        torch.autograd.grad(expected.square().sum(), tensors),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)

"""The decoder's attention is PyTorch's, in outputs and gradients, and is what the decoder calls."""

import pytest
import torch
from torch.nn import functional as F

from sam2_video.model import decoder_attention
from sam2_video.model.decoder_attention import attend_of_decoder
from tests.model.micro import micro_model

QUERY, KEY = (2, 8, 5, 16), (2, 8, 37, 16)


def draw(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("is_masked", [False, True])
def test_it_is_pytorchs_in_outputs_and_gradients(is_masked):
    inputs = draw(QUERY, 0), draw(KEY, 1), draw(KEY, 2)
    mask = draw((2, 1, 5, 37), 3).detach() if is_masked else None
    found, weights = attend_of_decoder(torch.nn.Identity(), *inputs, mask, scaling=0.2)
    assert weights is None
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=mask, scale=0.2).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    pairs = zip(
        torch.autograd.grad(found.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def test_every_attention_of_the_decoder_is_it():
    decoder = micro_model().network.mask_decoder
    attentions = [m for m in decoder.modules() if type(m).__name__ == "Sam2VideoAttention"]
    assert len(attentions) > 3
    names = {m.config._attn_implementation for m in attentions}
    assert names == {decoder_attention.NAME}

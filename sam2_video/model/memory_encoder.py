"""The memory encoder's masks and fuser: transformers' modules, without what is slow on a CPU.

There PyTorch computes two things of it ten times slower than need be: the gradient of a depthwise
convolution's weights, and a layer normalisation over four channels. Everything else is faster with
the channels last in memory: convolutions, and normalisations and products, which want them so.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoMaskDownSamplerLayer,
    Sam2VideoMemoryEncoder,
    Sam2VideoMemoryFuserCXBlock,
)

FEW_CHANNELS = 8
"""Up to which a normalisation is faster as its formula, channels first, than with them last."""
NARROW_CHANNELS = 64
"""Up to which PyTorch's normalisation is many times faster in single precision than in half."""


def project_image(encoder: Sam2VideoMemoryEncoder, image: Tensor) -> Tensor:
    """Return an image's features [images, channels, height, width] as memory is encoded of them."""
    return _project(encoder.feature_projection, image)


def embed_masks(encoder: Sam2VideoMemoryEncoder, masks: Tensor) -> Tensor:
    """Return masks [objects, 1, height, width] as the features that are added to an image's."""
    downsampler = encoder.mask_downsampler
    for layer in downsampler.layers:
        assert isinstance(layer, Sam2VideoMaskDownSamplerLayer)
        masks = layer.activation(_normalise(layer.layer_norm, layer.conv(masks)))
        masks = _put_channels_last(masks)
    return _project(downsampler.final_conv, masks)


def fuse(encoder: Sam2VideoMemoryEncoder, features: Tensor) -> Tensor:
    """Return the memory [objects, memory_channels, height, width] of image and masks together."""
    # also, rounding must not depend on how an image's features lie in memory: some are of a file
    features = _put_channels_last(features)
    for block in encoder.memory_fuser.layers:
        assert isinstance(block, Sam2VideoMemoryFuserCXBlock)
        mixed = _normalise(block.layer_norm, _convolve_by_channel(block.depthwise_conv, features))
        hidden = block.activation(block.pointwise_conv1(mixed.permute(0, 2, 3, 1)))
        features = features + (block.scale * block.pointwise_conv2(hidden)).permute(0, 3, 1, 2)
    return _project(encoder.projection, features)


def _put_channels_last(features: Tensor) -> Tensor:
    if not _is_slow(features):
        return features
    return features.contiguous(memory_format=torch.channels_last)


def _project(convolution: nn.Module, features: Tensor) -> Tensor:
    """Convolve with kernels of one pixel: a product of matrices."""
    # one that has an adapter is another module
    if type(convolution) is not nn.Conv2d or not _is_slow(features):
        return convolution(features)
    weight = convolution.weight.flatten(1)
    return F.linear(features.permute(0, 2, 3, 1), weight, convolution.bias).permute(0, 3, 1, 2)


def _normalise(norm: nn.Module, features: Tensor) -> Tensor:
    """Normalise over the channels, axis 1; in fp32 at least if they are few, as autocast does."""
    channels = features.shape[1]
    if not _is_slow(features) or channels > NARROW_CHANNELS or not isinstance(norm, nn.LayerNorm):
        return norm(features)
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    if channels > FEW_CHANNELS:
        return norm(exact)
    return _Normalisation.apply(exact, norm.weight, norm.bias, norm.eps)


def _convolve_by_channel(convolution: nn.Module, features: Tensor) -> Tensor:
    # one that has an adapter is another module
    if type(convolution) is not nn.Conv2d or not _is_slow(features):
        return convolution(features)
    weight, bias = convolution.weight, convolution.bias
    assert bias is not None
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        features, weight, bias = (x.to(dtype) for x in (features, weight, bias))
    assert isinstance(convolution.padding, tuple)
    return _DepthwiseConvolution.apply(features, weight, bias, convolution.padding)


def _is_slow(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


class _Normalisation(torch.autograd.Function):
    """Of the channels, axis 1, by the formula."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        epsilon: float,
    ) -> Tensor:
        features = features.contiguous()
        centred = features - features.mean(1, keepdim=True)
        deviation = torch.rsqrt(centred.square().mean(1, keepdim=True) + epsilon)
        normed = centred.mul_(deviation)
        ctx.save_for_backward(normed, deviation, weight)
        return torch.addcmul(bias[:, None, None], normed, weight[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        normed, deviation, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        shares = gradient * normed
        of_weight, of_bias = shares.sum((0, 2, 3)), gradient.sum((0, 2, 3))
        weighed = gradient * weight[:, None, None]
        shares *= weight[:, None, None]
        weighed -= weighed.mean(1, keepdim=True)
        weighed -= normed * shares.mean(1, keepdim=True)
        return weighed.mul_(deviation), of_weight, of_bias, None


class _DepthwiseConvolution(torch.autograd.Function):
    """Of stride 1. Both gradients are convolutions too: one with the kernels turned around.

    That of weights has gradients as its kernels. Each channel of each object is convolved with the
    gradient of what came of it, and their sum over objects is what PyTorch's kernel for the purpose
    takes ten times as long for.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.padding = padding  # pyright: ignore[reportAttributeAccessIssue]
        return F.conv2d(features, weight, bias, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple:
        features, weight = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        needs_features, needs_weight, needs_bias, _ = ctx.needs_input_grad  # pyright: ignore[reportAttributeAccessIssue]
        padding = ctx.padding  # pyright: ignore[reportAttributeAccessIssue]
        (gradient,) = gradients
        of_features = of_weight = of_bias = None
        if needs_features:
            turned = weight.flip(-1, -2)
            rest = [size - 1 - p for size, p in zip(weight.shape[2:], padding, strict=True)]
            of_features = F.conv2d(gradient, turned, padding=rest, groups=len(weight))
        if needs_weight:
            count, channels, height, width = gradient.shape
            # [1, objects x channels, ..], and a kernel for each of these
            planes = features.reshape(1, -1, *features.shape[2:])
            kernels = gradient.reshape(-1, 1, height, width)
            each = F.conv2d(planes, kernels, padding=padding, groups=count * channels)
            of_weight = each.view(count, channels, 1, *weight.shape[2:]).sum(0)
        if needs_bias:
            of_bias = gradient.sum((0, 2, 3))
        return of_features, of_weight, of_bias, None

"""The memory encoder's masks and fuser: transformers' modules, without what is slow on a CPU.

There PyTorch computes two things of it ten times slower than need be: the gradient of a depthwise
convolution's weights, and a layer normalisation over four channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoMaskDownSamplerLayer,
    Sam2VideoMemoryEncoder,
    Sam2VideoMemoryFuserCXBlock,
)

FEW_CHANNELS = 64
"""Up to which a normalisation is faster as its formula, channels first, than with them last."""


def embed_masks(encoder: Sam2VideoMemoryEncoder, masks: Tensor) -> Tensor:
    """Return masks [objects, 1, height, width] as the features that are added to an image's."""
    downsampler = encoder.mask_downsampler
    for layer in downsampler.layers:
        assert isinstance(layer, Sam2VideoMaskDownSamplerLayer)
        masks = layer.activation(_normalise(layer.layer_norm, layer.conv(masks)))
    return downsampler.final_conv(masks)


def fuse(encoder: Sam2VideoMemoryEncoder, features: Tensor) -> Tensor:
    """Return the memory [objects, memory_channels, height, width] of image and masks together."""
    if _is_slow(features):
        # rounding must not depend on how an image's features lie in memory: some are of a file
        features = features.contiguous()
    for block in encoder.memory_fuser.layers:
        assert isinstance(block, Sam2VideoMemoryFuserCXBlock)
        mixed = _normalise(block.layer_norm, _convolve_by_channel(block.depthwise_conv, features))
        hidden = block.activation(block.pointwise_conv1(mixed.permute(0, 2, 3, 1)))
        features = features + (block.scale * block.pointwise_conv2(hidden)).permute(0, 3, 1, 2)
    return encoder.projection(features)


def _normalise(norm: nn.Module, features: Tensor) -> Tensor:
    """Normalise over the channels, axis 1; in fp32 at least, as autocast does."""
    if (
        not _is_slow(features)
        or features.shape[1] > FEW_CHANNELS
        or not isinstance(norm, nn.LayerNorm)
    ):
        return norm(features)
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    centred = exact - exact.mean(1, keepdim=True)
    deviation = torch.rsqrt(centred.square().mean(1, keepdim=True) + norm.eps)
    return centred * deviation * norm.weight[:, None, None] + norm.bias[:, None, None]


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


class _DepthwiseConvolution(torch.autograd.Function):
    """Of stride 1. The gradient of weights is a convolution too, whose kernels are the gradients.

    Each channel of each object is convolved with the gradient of what came of it, and their sum
    over objects is what PyTorch's kernel for the purpose takes ten times as long for.
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
            of_features = conv2d_input(
                features.shape, weight, gradient, padding=padding, groups=len(weight)
            )
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

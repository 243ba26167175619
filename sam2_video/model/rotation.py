"""RoPE of memory attention: neighbouring channels are a complex number, which turns with its place.

Computed in fp32 at least, from a table that is made once a size. Its backward pass turns back, and
keeps nothing but the table.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import Sam2VideoModel


@dataclass(frozen=True)
class Rotation:
    """Complex numbers of length 1 as pairs of real ones, for compilers know no others."""

    turn: Float[Tensor, "tokens pairs 2"]
    back: Float[Tensor, "tokens pairs 2"]

    def repeat(self, times: int, num_still: int) -> "Rotation":
        """Return the rotation of several memories of a size, then of tokens that do not turn."""
        still = self.turn.new_zeros(num_still, self.turn.shape[1], 2)
        still[..., 0] = 1
        tables = (self.turn, self.back)
        return Rotation(*(torch.cat([table] * times + [still]) for table in tables))


def rotate(
    vectors: Float[Tensor, "batch tokens channels"], rotation: Rotation
) -> Float[Tensor, "batch tokens channels"]:
    """Apply RoPE."""
    if torch.compiler.is_compiling():
        return _turn_real(vectors, rotation)
    (turned,) = _Turned.apply(vectors, rotation, 1, 1)
    return turned


def split_and_rotate(
    joined: Float[Tensor, "batch tokens three_channels"], rotation: Rotation
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries and keys, to which RoPE is applied, and values, all [batch tokens channels].

    `joined` has their channels one after another.
    """
    if torch.compiler.is_compiling():
        queries, keys, values = joined.chunk(3, dim=-1)
        return _turn_real(queries, rotation), _turn_real(keys, rotation), values
    return _Turned.apply(joined, rotation, 3, 2)


def rotation_of(network: Sam2VideoModel, height: int, width: int) -> Rotation:
    """Return the rotation of an image's tokens: the first half of the pairs turns with x."""
    config = network.config
    assert config.rope_parameters is not None
    theta = config.rope_parameters["rope_theta"]
    dtype = torch.float64 if network.dtype == torch.float64 else torch.float32
    channels = config.memory_attention_hidden_size // config.memory_attention_downsample_rate
    return _rotation(height, width, channels, theta, dtype, network.device)


@lru_cache(maxsize=8)
def _rotation(
    height: int,
    width: int,
    channels: int,
    theta: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Rotation:
    with torch.inference_mode(False):
        spatial = channels // 2
        steps = torch.arange(0, spatial, 2, dtype=torch.float32, device=device) / spatial
        frequencies = 1.0 / theta**steps
        x = torch.arange(width, dtype=torch.float32, device=device)
        y = torch.arange(height, dtype=torch.float32, device=device)
        angles = torch.cat(
            [
                (x[None, :, None] * frequencies).expand(height, -1, -1),
                (y[:, None, None] * frequencies).expand(-1, width, -1),
            ],
            dim=-1,
        ).flatten(0, 1)
        cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
        return Rotation(torch.stack([cosine, sine], -1), torch.stack([cosine, -sine], -1))


class _Turned(torch.autograd.Function):
    """Cut channels into equal parts, and turn the first of them."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        vectors: Tensor,
        rotation: Rotation,
        num_parts: int,
        num_turned: int,
    ) -> tuple[Tensor, ...]:
        ctx.back, ctx.num_turned = rotation.back, num_turned
        parts = vectors.chunk(num_parts, dim=-1)
        turned = [_turn(part, rotation.turn) for part in parts[:num_turned]]
        return *turned, *(part.clone() for part in parts[num_turned:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401 # pyright: ignore[reportIncompatibleMethodOverride]
        turned = [_turn(x.contiguous(), ctx.back) for x in gradients[: ctx.num_turned]]
        parts = [*turned, *gradients[ctx.num_turned :]]
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0], None, None, None


def _turn(vectors: Tensor, table: Tensor) -> Tensor:
    numbers = torch.view_as_complex(table)
    if vectors.dtype.itemsize >= 4:
        product = torch.view_as_complex(vectors.unflatten(-1, (-1, 2))) * numbers
        return torch.view_as_real(product).flatten(-2)
    exact = vectors.float()
    torch.view_as_complex(exact.unflatten(-1, (-1, 2))).mul_(numbers)
    return exact.to(vectors.dtype)


def _turn_real(vectors: Tensor, rotation: Rotation) -> Tensor:
    exact = vectors.float() if vectors.dtype.itemsize < 4 else vectors
    a, b = exact.unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = rotation.turn.unbind(-1)
    turned = torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
    return turned.flatten(-2).to(vectors.dtype)

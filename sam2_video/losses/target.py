"""An annotation as the terms use it: asked of its bytes once, for every mask held against it.

Pixels of 255 count nowhere. On a CPU comparing bytes takes five times the time of a product.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sam2_video.structures import IGNORE, OBJECT


@dataclass(frozen=True)
class Target:
    """Pixels as numbers, 0 or 1, that masks are multiplied with, and how many there are of each."""

    is_object: Float[Tensor, "*entries height width"]
    is_valid: Float[Tensor, "*entries height width"]
    object_area: Float[Tensor, "*entries"]
    valid_area: Float[Tensor, "*entries"]

    @classmethod
    def read(
        cls, targets: UInt8[Tensor, "*entries height width"], dtype: torch.dtype = torch.float32
    ) -> "Target":
        """Return what targets of 0, 1 and 255 say, for masks of `dtype`: in float32 or wider."""
        dtype = torch.promote_types(dtype, torch.float32)
        # in place: booleans would only be turned into numbers again
        is_object, is_valid = targets.to(dtype).eq_(OBJECT), targets.to(dtype).ne_(IGNORE)
        return cls(is_object, is_valid, is_object.sum((-2, -1)), is_valid.sum((-2, -1)))

    @property
    def size(self) -> torch.Size:
        """Return height and width."""
        return self.is_object.shape[-2:]

    def unsqueeze(self, axis: int) -> "Target":
        """Return it for several masks of each entry, along one axis more."""
        fields = (self.is_object, self.is_valid, self.object_area, self.valid_area)
        return Target(*(field.unsqueeze(axis) for field in fields))

    @cached_property
    def wrong_signs(self) -> Float[Tensor, "*entries height width"]:
        """Return what makes a logit the wrong class': -1 on the object, else 1, 0 if ignored."""
        return torch.sub(self.is_valid, self.is_object, alpha=2)

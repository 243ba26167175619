"""The masks of one frame as a layout keeps them: one label a pixel, or each object by itself."""

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sam2_video.model.stream import TrackedFrame

MaskLayout = Literal["davis", "objects"]
"""`davis`: label maps, in which objects cannot overlap; `objects`: a file for each object."""
_TOGETHER = 8


class FrameMasks:
    """The masks of the objects on a frame, on the CPU.

    In the layout `davis` a pixel belongs to the object of the highest logit above 0, and of two
    that are equal to the one of the lower id, as in Meta's `vos_inference.py`.
    """

    def __init__(self, frame: TrackedFrame, layout: MaskLayout) -> None:
        self.layout: MaskLayout = layout
        self._frame = frame
        self._rows = {name: row for row, name in enumerate(frame.object_ids)}

    def of(self, object_id: int) -> Bool[Tensor, "height width"]:
        """Return the mask of an object; empty where it is not tracked on this frame."""
        if object_id not in self._rows:
            return torch.zeros(self._frame.size, dtype=torch.bool)
        if self.layout == "davis":
            return self.labels == object_id
        return self._masks[self._rows[object_id]]

    @cached_property
    def labels(self) -> Int[Tensor, "height width"]:
        """The object of each pixel, 0 where there is none; never more than a few full logits."""
        frame = self._frame
        highest = torch.zeros(frame.size, device=frame.decoder_logits.device)
        labels = torch.zeros(frame.size, dtype=torch.int32, device=highest.device)
        ids = torch.tensor(frame.object_ids, dtype=torch.int32, device=highest.device)
        for start in range(0, len(ids), _TOGETHER):
            logits = frame.enlarge(slice(start, start + _TOGETHER))
            rows = logits.argmax(0, keepdim=True)
            found = logits.gather(0, rows)[0]
            labels = torch.where(found > highest, ids[start + rows[0]], labels)
            highest = torch.maximum(highest, found)
        return labels.cpu()

    @cached_property
    def _masks(self) -> Bool[Tensor, "objects height width"]:
        return self._frame.masks.cpu()

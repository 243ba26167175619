"""What is evaluated, and how: the settings that decide about the numbers."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sam2_video.inference import MaskLayout

Prompting = Literal["mask", "box", "point"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of an evaluation; scores of two that differ must not be mixed.

    `weights` is a fingerprint of the network's weights, which files of one name may not share.
    """

    weights: str
    architecture: str
    image_size: tuple[int, int]
    data: str
    masks: str | None
    prompt: Prompting
    num_points: int
    clicks: int
    layout: MaskLayout | Literal["auto"]
    count_first_and_last: bool
    has_masks: bool
    precision: Precision

    def as_dict(self) -> dict[str, Any]:
        """Return what stands in JSON."""
        return asdict(self) | {"image_size": list(self.image_size)}

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Return a line for each setting that another evaluation had otherwise."""
        own = self.as_dict()
        names = [field.name for field in fields(self)]
        return [
            f"{name}: {other.get(name)} there, {own[name]} now"
            for name in names
            if other.get(name) != own[name]
        ]

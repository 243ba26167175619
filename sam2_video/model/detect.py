"""Which architecture weights are of, read off their names and shapes."""

from collections.abc import Mapping

from torch import Tensor

from sam2_video.model.architecture import ARCHITECTURES, Architecture
from sam2_video.model.checkpoint import Weights

_BLOCKS = "vision_encoder.backbone.blocks."
_PATCHES = "vision_encoder.backbone.patch_embed.projection.weight"


def detect_architecture(weights: Weights) -> Architecture:
    """Return the architecture that the file tells, or whose shapes these weights have.

    Raises:
        ValueError: none has them; says what the weights are instead.
    """
    if weights.facts is not None:
        return weights.facts.architecture
    tensors = weights.for_network()
    num_blocks, width = _describe_trunk(tensors)
    for architecture in ARCHITECTURES.values():
        if (
            width == architecture.embed_dim
            and num_blocks == sum(architecture.blocks_per_stage)
            and ("occlusion_spatial_embedding_parameter" in tensors)
            == architecture.has_occlusion_embedding
        ):
            return architecture
    if num_blocks:
        found = f"a SAM 2 of {num_blocks} blocks, {width} channels wide at first"
        way_out = "give Meta's YAML of it as model.config_path"
    else:
        names = ", ".join(sorted(weights.tensors)[:3])
        found = f"another model's: {len(weights.tensors)} tensors, such as {names}"
        way_out = "expected the weights of a SAM 2 or 2.1"
    raise ValueError(
        f"{weights.source}: the weights are {found}, and fit none of {', '.join(ARCHITECTURES)}; "
        f"{way_out}"
    )


def _describe_trunk(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the number of blocks of the image encoder, and the channels that it starts with."""
    numbers = {name.split(".")[3] for name in tensors if name.startswith(_BLOCKS)}
    width = tensors[_PATCHES].shape[:1] if _PATCHES in tensors else ()
    return len(numbers), sum(width)

"""A jittered micro model, made-up clips and prompts: what the tests of the model share."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sam2_video.model.architecture import MICRO, build_network
from sam2_video.model.initialise import initialise
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import FrameOutput, Prompt
from tests.model.meta_oracle import jitter

SIZE = (64, 64)


def micro_model(
    patterns: Sequence[str] = ("all",),
    image_size: tuple[int, int] = SIZE,
    dropout: float = 0.0,
) -> SAM2Model:
    """Return a model in eval mode whose every parameter matters and whose objects are present."""
    model = SAM2Model.load(None, "micro", image_size, memory_attention_dropout=dropout)
    return _make_alive(model, patterns)


def old_micro_model(patterns: Sequence[str] = ("all",)) -> SAM2Model:
    """Return a micro SAM 2, which lacks what 2.1 added."""
    architecture = replace(MICRO, has_pointer_time=False, has_occlusion_embedding=False)
    network = build_network(architecture, SIZE)
    initialise(network, seed=0)
    return _make_alive(SAM2Model(network, architecture, SIZE).eval(), patterns)


def _make_alive(model: SAM2Model, patterns: Sequence[str]) -> SAM2Model:
    jitter(model, seed=1)
    judge_presence(model, is_present=True)
    model.set_trainable(patterns)
    return model


def judge_presence(model: SAM2Model, is_present: bool) -> None:
    """Let the object score say present, or absent, of everything."""
    last = model.network.mask_decoder.pred_obj_score_head.proj_out
    with torch.no_grad():
        last.bias.fill_(20.0 if is_present else -20.0)


def noise(num_clips: int, num_frames: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_clips, num_frames, 3, *size, generator=generator)


def video(num_frames: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[Tensor]:
    """Frames as a file would give them: uint8."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_frames, 3, *size)
    return list(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))


def squares(num_objects: int, size: tuple[int, int] = SIZE) -> Tensor:
    """One mask an object, each a square at another place."""
    masks = torch.zeros(num_objects, *size)
    for row in range(num_objects):
        top, left = (7 * row) % (size[0] - 24), (11 * row) % (size[1] - 24)
        masks[row, top : top + 20, left : left + 24 - row % 5] = 1
    return masks


def mask_prompt(frame: int, objects: Sequence[int], size: tuple[int, int] = SIZE) -> Prompt:
    """Prompt objects with their squares; an object's prompt depends on its name alone."""
    return Prompt(frame, tuple(objects), masks=squares(max(objects) + 1, size)[list(objects)])


def box_prompt(frame: int, objects: Sequence[int]) -> Prompt:
    corners = [[[3.0 + 4 * name, 5.0], [30.0 + 4 * name, 40.0 + name]] for name in objects]
    labels = torch.tensor([[2, 3]] * len(objects))
    return Prompt(frame, tuple(objects), points=torch.tensor(corners), labels=labels)


def point_prompt(frame: int, objects: Sequence[int], num_points: int = 1) -> Prompt:
    points = [[[9.0 + 5 * name + k, 20.0 + k] for k in range(num_points)] for name in objects]
    labels = torch.tensor([[1] + [0] * (num_points - 1)] * len(objects))
    return Prompt(frame, tuple(objects), points=torch.tensor(points), labels=labels)


def by_object(outputs: Sequence[FrameOutput]) -> dict[tuple[int, int], Tensor]:
    """Return everything that was said of each (object, frame), as one vector."""
    said = {}
    for output in outputs:
        for row, name in enumerate(output.objects):
            said[name, output.frame] = torch.cat(
                [
                    output.mask_logits[row].flatten(),
                    output.iou_predictions[row],
                    output.object_score_logits[row, None],
                    output.pointers[row],
                ]
            )
    return said


def assert_same(
    ours: dict[tuple[int, int], Tensor], expected: dict[tuple[int, int], Tensor]
) -> None:
    """Compare to 1e-6 of the values' size."""
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert relative(ours[key], value) < 1e-6, key


def relative(ours: Tensor, expected: Tensor) -> float:
    difference = (ours - expected).detach().norm()
    return float(difference / expected.detach().norm().clamp_min(1e-12))


def last_frame_loss(outputs: Sequence[FrameOutput], frame: int | None = None) -> Tensor:
    """A loss that looks at every value of the last frame, each with another weight."""
    last = max(output.frame for output in outputs) if frame is None else frame
    generator = torch.Generator().manual_seed(9)
    terms = []
    for output in outputs:
        if output.frame == last:
            values = (output.mask_logits, output.iou_predictions, output.object_score_logits)
            terms += [(x * torch.randn(x.shape, generator=generator)).mean() for x in values]
    return torch.stack(terms).sum()

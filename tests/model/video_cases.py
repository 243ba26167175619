"""Short videos, prompts and a lively network: the cases in which video predictors are compared."""

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2_video.model.architecture import Architecture, build_network
from sam2_video.model.initialise import initialise
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.propagation import Direction
from sam2_video.model.sam2 import SAM2Model
from tests.model.meta_oracle import jitter
from tests.model.video_oracle import Found, Tracks

SIDE = 128
SHARPER, LOUDER = 2.5, 2.0
HIDDEN = range(9, 13)
"""Frames on which the ball is out of sight."""


def lively_model(architecture: Architecture, side: int = SIDE) -> SAM2Model:
    """Return a random model whose masks follow its memory, and whose ball disappears.

    The last layer of the object score is fitted to say "absent" of the ball's hidden frames: random
    weights leave a score that is nearly constant.
    """
    model = enlivened_model(architecture, (side, side))
    _fit_presence(model)
    return model


def enlivened_model(architecture: Architecture, size: tuple[int, int]) -> SAM2Model:
    """Return a random model whose masks follow its memory, and which judges everything present.

    Jittered weights alone leave masks that hardly depend on what is remembered, so memory's are
    enlarged.
    """
    network = build_network(architecture, size)
    initialise(network, seed=1)
    model = SAM2Model(network, architecture, size).eval()
    jitter(model, seed=1)
    with torch.no_grad():
        for name, parameter in network.memory_attention.named_parameters():
            if re.search(r"cross_attn_image\.[qk]_proj\.weight", name):
                parameter.mul_(SHARPER)
            if re.search(r"cross_attn_image\.[vo]_proj\.weight", name):
                parameter.mul_(LOUDER)
        network.memory_encoder.projection.weight.mul_(LOUDER)
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20.0)
    return model


def _fit_presence(model: SAM2Model) -> None:
    """Let the object score be about 2 where the ball is seen, and -2 where it is hidden."""
    last = model.network.mask_decoder.pred_obj_score_head.proj_out
    frames, masks = ball_video(14, model.image_size)
    prompts = [
        ObjectPrompt(1, 0, mask=masks[0]),
        ObjectPrompt(2, 0, box=ball_box(masks[0])),
        ObjectPrompt(3, 0, points=ball_points(masks[0])[:1], labels=[1]),
    ]
    activations: list[Tensor] = []
    wanted: list[float] = []
    with torch.no_grad():
        handle = last.register_forward_hook(
            lambda _, args, __: activations.extend(args[0].flatten(0, -2))
        )
        for is_memory_used in (True, False):
            for frame in model.track(frames, prompts, is_memory_used):
                score = 2.0 if masks[frame.index].any() else -2.0
                wanted += [score] * (len(activations) - len(wanted))
        handle.remove()
        inputs, goal = torch.stack(activations).double(), torch.tensor(wanted).double()
        centred, mean = inputs - inputs.mean(0), inputs.mean(0)
        kernel = centred @ centred.T
        kernel += 1e-3 * kernel.diagonal().mean() * torch.eye(len(kernel))
        weight = centred.T @ torch.linalg.solve(kernel, goal - goal.mean())
        last.weight.copy_(weight[None])
        last.bias.copy_((goal.mean() - mean @ weight)[None])


def ball_box(mask: Tensor) -> tuple[float, float, float, float]:
    """Return a box about the ball."""
    rows, columns = torch.where(mask)
    corners = (columns.min(), rows.min(), columns.max(), rows.max())
    x0, y0, x1, y1 = (float(corner) for corner in corners)
    return x0, y0, x1, y1


def ball_points(mask: Tensor) -> list[tuple[float, float]]:
    """Return a point on the ball, one beside it and another on it."""
    x0, y0, x1, y1 = ball_box(mask)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return [(x, y), (x1 + 9.0, y1 + 2.0), (x - 4.0, y + 3.0)]


def ball_video(
    num_frames: int, size: tuple[int, int] = (SIDE, SIDE)
) -> tuple[list[Tensor], Tensor]:
    """Return frames of a bright ball that crosses a noisy ground, and the ball's masks."""
    generator = torch.Generator().manual_seed(5)
    height, width = size
    ground = torch.randint(0, 120, (3, height, width), generator=generator)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frames, masks = [], torch.zeros(num_frames, height, width, dtype=torch.bool)
    for index in range(num_frames):
        across, down = (0.23 + 0.03 * index) * width, (0.31 + 0.02 * index) * height
        distance = ((x - across) ** 2 + (y - down) ** 2).sqrt()
        frame = ground + torch.randint(0, 20, ground.shape, generator=generator)
        if index not in HIDDEN:
            masks[index] = distance < 0.15 * min(size)
            colour = torch.tensor([230, 200, 60])
            frame = torch.where(masks[index], colour[:, None, None], frame)
        frames.append(frame.to(torch.uint8))
    return frames, masks


@dataclass(frozen=True)
class VideoCase:
    """One way to ask a video predictor: of which frames, with which prompts, in which order."""

    name: str
    num_frames: int
    prompts: tuple[ObjectPrompt, ...]
    start: int | None = None
    direction: Direction = "forward"
    size: tuple[int, int] = (SIDE, SIDE)

    @property
    def frames(self) -> list[Tensor]:
        """Return the video."""
        return ball_video(self.num_frames, self.size)[0]


@dataclass(frozen=True)
class Difference:
    """How far two predictors are apart in one case, the worst over all objects and frames.

    Errors of mask logits are relative to the mask's, those of scores to the larger of score and 1.
    """

    least_iou: float
    largest_error: float
    score_error: float
    differing_masks: int
    num_masks: int


def our_tracks(model: SAM2Model, case: VideoCase, is_memory_used: bool = True) -> Tracks:
    """Return what our tracker says of each (object, frame); the later pass counts."""
    tracked = model.track(
        case.frames, case.prompts, is_memory_used, start=case.start, direction=case.direction
    )
    return {
        (name, frame.index): Found(frame.mask_logits[row], float(frame.object_scores[row]))
        for frame in tracked
        for row, name in enumerate(frame.object_ids)
    }


def measure(ours: Tracks, theirs: Tracks) -> Difference:
    """Compare what two predictors found; two empty masks are equal."""
    if ours.keys() != theirs.keys():
        raise AssertionError(f"tracked {sorted(ours)}, expected {sorted(theirs)}")
    overlaps, errors, score_errors, differing = [], [], [], 0
    for key, expected in theirs.items():
        mine, true = ours[key].logits > 0, expected.logits > 0
        union = int((mine | true).sum())
        overlaps.append(int((mine & true).sum()) / union if union else 1.0)
        errors.append(change(expected, ours[key]))
        score_errors.append(abs(ours[key].score - expected.score) / max(abs(expected.score), 1.0))
        differing += bool((mine != true).any())
    return Difference(min(overlaps), max(errors), max(score_errors), differing, len(theirs))


def change(one: Found, other: Found) -> float:
    """Return how far the other's mask logits are from the one's, relative to their size."""
    return float((other.logits - one.logits).norm() / one.logits.norm())


def video_cases(size: tuple[int, int] = (SIDE, SIDE)) -> list[VideoCase]:
    """Return the cases for videos of (height, width) `size`."""
    masks = ball_video(20, size)[1]
    ball = ObjectPrompt(1, 0, mask=masks[0])
    box = ObjectPrompt(2, 0, box=ball_box(masks[0]))
    click = ObjectPrompt(3, 0, points=ball_points(masks[0])[:1], labels=[1])
    clicks = ObjectPrompt(4, 0, points=ball_points(masks[0]), labels=[1, 0, 1])
    late = replace(click, frame=5, points=ball_points(masks[5])[:1])
    again = ObjectPrompt(1, 8, box=ball_box(masks[8]))
    both_kinds = ObjectPrompt(
        5, 0, box=ball_box(masks[0]), points=ball_points(masks[0])[1:], labels=[0, 1]
    )
    middle = [replace(ball, frame=7, mask=masks[7]), replace(box, frame=7, box=ball_box(masks[7]))]
    cases = [
        VideoCase("mask, the object disappears", 20, (ball,)),
        VideoCase("box, the object disappears", 20, (box,)),
        VideoCase("one click", 8, (click,)),
        VideoCase("three clicks", 8, (clicks,)),
        VideoCase("box and two clicks", 8, (both_kinds,)),
        VideoCase("an empty mask", 6, (replace(ball, mask=torch.zeros_like(masks[0])),)),
        VideoCase("prompted on frames 0 and 8", 13, (ball, again)),
        VideoCase("late object, each from its own prompt", 11, (ball, late)),
        VideoCase("late object, all from frame 0", 11, (ball, late), start=0),
        VideoCase("from frame 3, prompted before and after", 11, (ball, late, again), start=3),
        VideoCase("reverse from frame 7", 12, tuple(middle), direction="reverse"),
        VideoCase("both ways from frame 7", 12, tuple(middle), direction="both"),
        VideoCase(
            "both ways from frame 5, prompted around it",
            12,
            (middle[0], late, again),
            start=5,
            direction="both",
        ),
    ]
    return [replace(case, size=size) for case in cases]

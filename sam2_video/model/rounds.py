"""An object's prompts on one frame in rounds: the first shows it, further ones correct the mask."""

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from sam2_video.masks import resize_masks
from sam2_video.model.correction import Clicks
from sam2_video.model.object_prompt import ObjectPrompt, count_points, to_model
from sam2_video.prompts import centre_click
from sam2_video.structures import Prompt

Rounds = Sequence[ObjectPrompt]
"""All prompts of one object on one frame, in the order given."""


def sort_by_frame(prompts: Sequence[ObjectPrompt]) -> dict[int, list[ObjectPrompt]]:
    """Return the prompts of each frame, frames rising; on a frame the order stays.

    Raises:
        ValueError: an object's second prompt on a frame does not correct its first.
    """
    by_frame: dict[int, list[ObjectPrompt]] = {}
    for prompt in sorted(prompts, key=lambda prompt: prompt.frame):
        by_frame.setdefault(prompt.frame, []).append(prompt)
    for frame, given in by_frame.items():
        counts = Counter(prompt.object_id for prompt in given)
        repeated = sorted(name for name, count in counts.items() if count > 1)
        wrong = [name for name in repeated if not _is_correction(rounds_of(given)[name])]
        if wrong:
            raise ValueError(
                f"frame {frame}: got several prompts for each of the objects {wrong}; expected a "
                "mask alone, or a box or points and then points that correct what was said (a box "
                "and any number of points may stand in one prompt)"
            )
    return by_frame


def rounds_of(prompts: Sequence[ObjectPrompt]) -> dict[int, list[ObjectPrompt]]:
    """Return the prompts of each object on one frame."""
    by_object: dict[int, list[ObjectPrompt]] = {}
    for prompt in prompts:
        by_object.setdefault(prompt.object_id, []).append(prompt)
    return by_object


def rounds_to_model(
    frame: int,
    shown: Sequence[Rounds],
    size: tuple[int, int],
    image_size: tuple[int, int],
    device: torch.device,
) -> list[tuple[Prompt, Clicks | None]]:
    """Return how objects are shown on a frame of (height, width) `size`, and then corrected.

    Objects whose rounds are of one kind, with one number of points, are joined.
    """
    groups: dict[tuple[int, ...], list[Rounds]] = {}
    for rounds in shown:
        key = (rounds[-1].num_clicks, *(count_points(prompt) for prompt in rounds))
        groups.setdefault(key, []).append(rounds)
    joined = []
    for group in groups.values():
        first, *further = (
            prompt
            for number in zip(*group, strict=True)
            for prompt in to_model(frame, number, size, image_size, device)
        )
        last = [rounds[-1] for rounds in group]
        joined.append((first, _clicks(further, last, size, image_size, device)))
    return joined


def _is_correction(rounds: Rounds) -> bool:
    """Say whether each prompt after the first can correct what was said after those before it."""
    are_clicks = all(prompt.mask is None and prompt.box is None for prompt in rounds[1:])
    return are_clicks and rounds[0].mask is None and not any(p.num_clicks for p in rounds[:-1])


def _clicks(
    given: Sequence[Prompt],
    last: Sequence[ObjectPrompt],
    size: tuple[int, int],
    image_size: tuple[int, int],
    device: torch.device,
) -> Clicks | None:
    """Return the rounds that were given, then the clicks on the errors that are still there."""
    num_simulated = last[0].num_clicks
    if not given and not num_simulated:
        return None
    targets = None
    if num_simulated:
        truth = torch.stack([_truth(prompt, size) for prompt in last])
        targets = resize_masks(truth[:, None].to(device), image_size).squeeze(1)

    def click(number: int, mask_logits: Tensor) -> tuple[Tensor, Tensor]:
        if number < len(given):
            points, labels = given[number].points, given[number].labels
            assert points is not None
            assert labels is not None
            return points, labels
        assert targets is not None
        return centre_click(targets, mask_logits)

    return Clicks(len(given) + num_simulated, click)


def _truth(prompt: ObjectPrompt, size: tuple[int, int]) -> UInt8[Tensor, "height width"]:
    assert prompt.truth is not None
    if tuple(prompt.truth.shape) != size:
        raise ValueError(
            f"prompt of object {prompt.object_id} on frame {prompt.frame}: truth of size "
            f"{tuple(prompt.truth.shape)}; expected the frame's {size}"
        )
    return prompt.truth

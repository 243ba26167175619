"""The prompts of evaluation: one for each object, drawn from the truth where it first appears."""

from collections import defaultdict
from dataclasses import replace

from sam2_video.data.video import Video
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.prompts import prompt_from_mask
from sam2_video.structures import OBJECT, PromptKind


def first_appearance_prompts(
    video: Video, kind: PromptKind, num_points: int = 1, clicks: int = 0
) -> list[ObjectPrompt]:
    """Return a prompt for each object on the first frame that shows it, corrected by `clicks`.

    Raises:
        ValueError: masks cannot be read, or clicks are asked for on given masks.
    """
    by_frame: dict[int, list[int]] = defaultdict(list)
    for name in video.object_ids:
        by_frame[video.first_appearance(name)].append(name)
    prompts = []
    for frame, names in sorted(by_frame.items()):
        masks = video.read_masks(frame, names)
        if kind is PromptKind.MASK:
            prompts += [
                ObjectPrompt(name, frame, mask=mask == OBJECT, num_clicks=clicks)
                for name, mask in zip(names, masks, strict=True)
            ]
            continue
        drawn = prompt_from_mask(masks, kind, num_points, frame=frame, objects=tuple(names))
        assert drawn.points is not None
        assert drawn.labels is not None
        for name, points, labels, mask in zip(
            names, drawn.points, drawn.labels, masks, strict=True
        ):
            if kind is PromptKind.BOX:
                prompt = ObjectPrompt(name, frame, box=points.flatten().tolist())
            else:
                prompt = ObjectPrompt(name, frame, points=points.tolist(), labels=labels.tolist())
            if clicks:
                prompt = replace(prompt, truth=mask, num_clicks=clicks)
            prompts.append(prompt)
    return prompts

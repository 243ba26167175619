"""One step of tracking: what goes into memory, what comes out, and how memory is read."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_video.model.memory import MemoryBank, MemoryEntry
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.tracker import encode_memory, track_frame
from sam2_video.structures import Prompt
from tests.model.micro import (
    box_prompt,
    judge_presence,
    mask_prompt,
    micro_model,
    noise,
    old_micro_model,
    point_prompt,
    relative,
)

SIZES = [(64, 64), (64, 96)]


def step(
    model: SAM2Model,
    bank: MemoryBank,
    frame: int,
    prompt: Prompt | None = None,
    num_frames: int | None = 8,
    is_training: bool = False,
    is_memory_needed: bool = True,
):
    """Track two objects on one frame of noise, another one on every frame."""
    features = model.encode(noise(1, 2, model.image_size, seed=frame)[0])
    (output,), entry = track_frame(
        model.network,
        features,
        bank,
        frame,
        (0, 1),
        prompt,
        num_frames,
        is_training,
        is_memory_needed,
    )
    return output, entry


def started(model: SAM2Model, num_tracked: int = 0, is_training: bool = False) -> MemoryBank:
    """Return the memory of a mask prompt and some tracked frames."""
    bank = MemoryBank()
    prompt = mask_prompt(0, (0, 1), model.image_size)
    for frame in range(num_tracked + 1):
        _, entry = step(model, bank, frame, prompt if frame == 0 else None, is_training=is_training)
        bank = bank.append(entry)
    return bank


def features_in(entry: MemoryEntry) -> Tensor:
    assert entry.features is not None
    return entry.features


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("prompt", "num_hypotheses"),
    [
        (point_prompt(0, (0, 1)), 3),
        (point_prompt(0, (0, 1), num_points=2), 1),
        (box_prompt(0, (0, 1)), 1),
    ],
)
def test_one_point_gives_three_hypotheses_a_box_or_more_points_one(size, prompt, num_hypotheses):
    output, entry = step(micro_model(image_size=size), MemoryBank(), 0, prompt)
    assert output.mask_logits.shape == (2, num_hypotheses, size[0] // 4, size[1] // 4)
    assert not output.is_given
    assert entry.is_conditioning


@pytest.mark.parametrize("size", SIZES)
def test_a_tracked_frame_has_three_hypotheses_and_is_no_conditioning_frame(size):
    model = micro_model(image_size=size)
    output, entry = step(model, started(model), 1)
    assert output.mask_logits.shape == (2, 3, size[0] // 4, size[1] // 4)
    assert not entry.is_conditioning
    assert features_in(entry).shape == (2, size[0] * size[1] // 256, 64)


def test_a_mask_prompt_is_the_output_and_a_conditioning_frame():
    model = micro_model()
    prompt = mask_prompt(0, (0, 1))
    output, entry = step(model, MemoryBank(), 0, prompt)
    assert output.is_given
    assert entry.is_conditioning
    assert torch.equal(output.best_mask_logits > 0, prompt.masks == 1)


def test_what_memory_holds_changes_what_a_tracked_frame_says():
    model = micro_model()
    one, _ = step(model, started(model), 1)
    prompt = mask_prompt(0, (2, 3))
    _, entry = step(model, MemoryBank(), 0, prompt)
    other, _ = step(model, MemoryBank().append(entry), 1)
    assert relative(other.mask_logits, one.mask_logits) > 1e-4


def test_only_this_frames_image_and_prompt_count_on_a_prompted_frame():
    model = micro_model()
    with_past, _ = step(model, started(model, 2), 3, box_prompt(3, (0, 1)))
    without, _ = step(model, MemoryBank(), 3, box_prompt(3, (0, 1)))
    assert torch.equal(with_past.mask_logits, without.mask_logits)


def test_the_memory_of_a_clicked_frame_is_binary_in_evaluation_and_soft_in_training():
    model = micro_model()
    prompt = point_prompt(0, (0, 1))
    output, binary = step(model, MemoryBank(), 0, prompt)
    trained, soft = step(model, MemoryBank(), 0, prompt, is_training=True)
    assert torch.equal(output.best_mask_logits, trained.best_mask_logits)
    assert relative(features_in(binary), features_in(soft)) > 1e-4
    # a mask prompt of the same, binary mask leaves what a binarised output leaves
    logits = output.best_mask_logits.unsqueeze(1)
    given = (F.interpolate(logits, (64, 64), mode="bilinear")[:, 0] > 0).float()
    _, from_mask = step(model, MemoryBank(), 0, Prompt(0, (0, 1), masks=given))
    assert relative(features_in(from_mask), features_in(binary)) < 1e-3


def test_the_memory_of_a_tracked_frame_is_soft_in_evaluation_too():
    model = micro_model()
    bank = started(model)
    _, evaluated = step(model, bank, 1)
    _, trained = step(model, bank, 1, is_training=True)
    assert relative(features_in(evaluated), features_in(trained)) < 1e-6


def test_memory_that_nobody_reads_is_not_encoded_and_reading_it_is_an_error():
    model = micro_model()
    _, entry = step(model, MemoryBank(), 0, mask_prompt(0, (0, 1)), is_memory_needed=False)
    assert entry.features is None
    with pytest.raises(ValueError, match="frame 1 reads the memory of frame 0: not encoded"):
        step(model, MemoryBank().append(entry), 1)


def memory_of(model: SAM2Model, score: float) -> Tensor:
    """The memory of two objects, the first of which has the given score."""
    features = model.encode(noise(1, 2, model.image_size)[0])
    logits = torch.linspace(-3, 3, 512).reshape(2, 1, 16, 16)
    scores = torch.tensor([score, 5.0])
    return encode_memory(model.network, features, logits, scores, is_binary=False)


@pytest.mark.parametrize("score", [0.0, -3.0])
def test_the_memory_of_an_absent_object_holds_the_occlusion_embedding(score):
    model = micro_model()
    memory, occluded = memory_of(model, 1.0), memory_of(model, score)
    added = model.network.occlusion_spatial_embedding_parameter
    assert added is not None
    torch.testing.assert_close(occluded[0] - memory[0], added.expand(16, -1), rtol=0, atol=1e-5)
    assert torch.equal(occluded[1], memory[1])


def test_sam_2_knows_no_occlusion_embedding():
    model = old_micro_model()
    assert torch.equal(memory_of(model, 1.0), memory_of(model, -1.0))


def test_an_absent_object_leaves_the_learned_pointer_and_is_tracked_on():
    model = micro_model()
    bank = started(model)
    judge_presence(model, is_present=False)
    output, entry = step(model, bank, 1)
    assert (output.mask_logits == -1024).all()
    assert torch.equal(entry.pointers, model.network.no_object_pointer.expand(2, -1))
    judge_presence(model, is_present=True)
    again, _ = step(model, bank.append(entry), 2)
    assert (again.mask_logits > -1024).all()


def attend(model: SAM2Model, bank: MemoryBank, frame: int, **settings) -> Tensor:
    return step(model, bank, frame, **settings)[0].mask_logits


def test_sam_2_1_knows_how_old_a_pointer_is_and_sam_2_does_not():
    # the length of the video says by what a pointer's age is divided, and nothing else here
    for model, is_aware in ((micro_model(), True), (old_micro_model(), False)):
        bank = started(model, 1)
        short, long = attend(model, bank, 2, num_frames=4), attend(model, bank, 2, num_frames=9)
        assert (relative(short, long) > 1e-5) == is_aware


def test_videos_longer_than_the_pointers_are_all_alike():
    model = micro_model()
    bank = started(model, 1)
    unknown = attend(model, bank, 2, num_frames=None)
    assert torch.equal(attend(model, bank, 2, num_frames=16), unknown)
    assert torch.equal(attend(model, bank, 2, num_frames=500), unknown)


def test_the_slot_of_a_memory_is_its_age():
    model = micro_model()
    bank = started(model, 1)
    slots = model.network.memory_temporal_positional_encoding
    with torch.no_grad():
        before = attend(model, bank, 2)
        slots[1:6] += 1.0  # ages that frame 2 does not read
        assert torch.equal(attend(model, bank, 2), before)
        slots[0] += 1.0
        assert relative(attend(model, bank, 2), before) > 1e-5

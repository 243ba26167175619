"""A batch computed in parts: the same loss, the same gradient, and less of it at a time."""

from dataclasses import replace

import pytest
import torch

from sam2_video.config import PromptConfig, TrainerConfig
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training.parts import ClipGroup, Part, divide
from sam2_video.training.trainer import MemoryTuner
from tests.loss_inputs import ALL_TERMS
from tests.training.batches import make_batch

MASKS = PromptConfig(mask=1.0, box=0.0, point=0.0)
# clicks on two frames of each clip, and a second conditioning frame
CLICKS = PromptConfig(mask=0.0, box=0.5, point=0.5, correction_clicks=2)
NETWORK = SAM2Model.load(None, "micro", (64, 64), seed=1)
SUM = replace(ALL_TERMS, reduction="sum")


def learn(modules=("memory",), prompts=CLICKS, losses=ALL_TERMS, batch=None, **settings):
    """Return what a step measures, and the gradient of everything that learns."""
    NETWORK.set_trainable(list(modules))
    NETWORK.zero_grad()
    tuner = MemoryTuner(NETWORK.train(), losses, prompts, TrainerConfig(**settings))
    tuner.training_step(make_batch() if batch is None else batch, 0).backward()
    gradients = {n: p.grad for n, p in NETWORK.named_parameters() if p.grad is not None}
    return tuner.step_metrics(), gradients


def assert_same(found, expected):
    assert found[0] == pytest.approx(expected[0], rel=1e-6, abs=1e-6)
    assert found[1].keys() == expected[1].keys()
    norm = torch.stack([gradient.norm() for gradient in expected[1].values()]).norm().item()
    for name, value in expected[1].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-6 * norm, rtol=1e-5, msg=name)


@pytest.fixture(scope="module")
def whole():
    return learn()


@pytest.mark.parametrize("objects", [1, 2, 3, 100])
def test_objects_in_parts_learn_as_all_at_once(whole, objects):
    assert_same(learn(objects_at_once=objects), whole)


@pytest.mark.parametrize("objects", [None, 2])
def test_clips_in_parts_learn_as_all_at_once(whole, objects):
    assert_same(learn(clips_at_once=1, objects_at_once=objects), whole)


def test_masks_in_parts_learn_as_all_at_once():
    assert_same(learn(prompts=MASKS, objects_at_once=3), learn(prompts=MASKS))


@pytest.mark.parametrize(
    "settings", [{"objects_at_once": 2}, {"clips_at_once": 1}], ids=["objects", "clips"]
)
def test_an_encoder_that_learns_gets_the_same_gradient(settings):
    expected = learn(["all"])
    assert any(name.startswith("network.vision_encoder.backbone") for name in expected[1])
    assert_same(learn(["all"], **settings), expected)


def test_frames_that_are_recomputed_within_parts_learn_the_same(whole):
    assert_same(learn(objects_at_once=3, activation_checkpointing="frames"), whole)


def test_what_is_corrected_is_learned_from():
    once = replace(CLICKS, conditioning_frames=1)
    plain, _ = learn(prompts=replace(once, corrected_frames=0), objects_at_once=3)
    assert learn(prompts=once, objects_at_once=3)[0] != pytest.approx(plain, rel=1e-3)


def test_the_summed_loss_is_divided_by_all_objects_of_the_batch():
    found = learn(losses=SUM, prompts=MASKS, objects_at_once=3)
    assert_same(found, learn(losses=SUM, prompts=MASKS))


def test_under_autocast_parts_learn_as_all_at_once():
    with torch.autocast("cpu", torch.bfloat16):
        expected = learn(["memory", "mask_decoder"])
        found = learn(["memory", "mask_decoder"], objects_at_once=2)
    assert found[0] == pytest.approx(expected[0], rel=1e-2, abs=1e-2)
    flat = [torch.cat([g.flatten() for g in x[1].values()]) for x in (found, expected)]
    assert (flat[0] - flat[1]).norm() < 0.02 * flat[1].norm()


def saved_bytes(**settings):
    """Return the bytes that the graph of a step keeps for its backward pass."""
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    NETWORK.set_trainable(["memory"])
    tuner = MemoryTuner(NETWORK.train(), ALL_TERMS, MASKS, TrainerConfig(**settings))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = tuner.compute_loss(make_batch()).loss.total
    return sum(sizes.values()), loss


def test_parts_keep_no_graph_until_it_is_their_turn():
    whole, _ = saved_bytes()
    parts, _ = saved_bytes(objects_at_once=2)
    assert parts < whole / 20


def test_the_division_covers_every_object_once_and_stays_within_its_clips():
    groups = divide([4, 3, 0, 2], 2, 3)
    assert groups == [
        ClipGroup(0, 2, (Part(0, 3), Part(3, 6), Part(6, 7))),
        ClipGroup(2, 4, (Part(7, 9),)),
    ]
    assert divide([1, 2, 1], 2, None)[-1] == ClipGroup(2, 3, (Part(3, 4),))


def test_a_clip_without_objects_has_no_part():
    assert divide([0, 2], 1, None) == [ClipGroup(0, 1, ()), ClipGroup(1, 2, (Part(0, 2),))]

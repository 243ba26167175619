"""`SAM2Model` as a whole: loading, modes, sizes."""

import pytest
import torch
from torch import nn

from sam2_video.model import sam2
from sam2_video.model.architecture import ARCHITECTURES
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import box_prompt, mask_prompt, micro_model, noise, point_prompt


def test_without_checkpoint_and_configuration_there_is_nothing_to_load():
    with pytest.raises(ValueError, match="config_path: got null and no checkpoint"):
        SAM2Model.load()


def test_a_loaded_model_is_in_eval_mode_and_knows_what_it_is():
    model = SAM2Model.load(None, "micro", (64, 96))
    assert not any(module.training for module in model.modules())
    assert model.architecture is ARCHITECTURES["micro"]
    assert model.image_size == (64, 96)
    assert model.device == torch.device("cpu")


def test_the_micro_model_has_about_a_million_parameters():
    assert 0.5e6 < sum(p.numel() for p in SAM2Model.load(None, "micro").parameters()) < 1.5e6


@pytest.mark.parametrize("image_size", [(64, 60), (0, 64), (-64, 64)])
def test_a_size_that_the_strides_do_not_divide_is_refused(image_size):
    with pytest.raises(ValueError, match="multiples of 32"):
        SAM2Model.load(None, "micro", image_size)


def test_the_mode_set_from_outside_leaves_frozen_modules_in_eval_mode():
    model = micro_model(["memory_attention", "memory_encoder"])
    # as a training loop does: the model is a part of another module
    parent = nn.ModuleDict({"model": model})
    parent.train()
    network = model.network
    learning = {"memory_attention", "memory_encoder"}
    for name, child in network.named_children():
        # what has no parameters does the same in either mode
        if list(child.parameters()):
            assert child.training == (name in learning), name
    parent.eval()
    assert not any(module.training for module in parent.modules())


def test_training_semantics_follow_the_mode_of_the_model_not_of_its_parts():
    model = micro_model(["memory_encoder"])
    pixels, object_clip = noise(1, 2), torch.tensor([0])
    prompts = [box_prompt(0, (0,))]
    evaluated = model(pixels, object_clip, prompts)[1].mask_logits
    trained = model.train()(pixels, object_clip, prompts)[1].mask_logits
    # the memory of the clicked frame is binary in evaluation only
    assert not torch.allclose(evaluated, trained)
    assert torch.equal(model.eval()(pixels, object_clip, prompts)[1].mask_logits, evaluated)


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64), (32, 128)])
@pytest.mark.parametrize("make_prompt", [box_prompt, point_prompt])
def test_every_size_and_prompt_runs_with_gradients(size, make_prompt):
    model = micro_model(image_size=size).train()
    outputs = model(noise(1, 3, size), torch.tensor([0, 0]), [make_prompt(0, (0, 1))])
    assert [output.frame for output in outputs] == [0, 1, 2]
    for output in outputs:
        assert output.mask_logits.shape[-2:] == (size[0] // 4, size[1] // 4)
        assert output.best_mask_logits.shape == (2, size[0] // 4, size[1] // 4)
        assert output.mask_logits.requires_grad


def test_a_clip_of_one_frame_is_enough():
    outputs = micro_model().train()(noise(1, 1), torch.tensor([0]), [mask_prompt(0, (0,))])
    assert [output.frame for output in outputs] == [0]


def test_mixed_precision_keeps_outputs_in_fp32_and_gradients_finite():
    model = micro_model().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(noise(1, 3), torch.tensor([0, 0]), [mask_prompt(0, (0, 1))])
    assert {output.mask_logits.dtype for output in outputs} == {torch.float32}
    outputs[-1].mask_logits.square().mean().backward()
    received = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in received)


def test_a_frozen_encoder_sees_no_more_pixels_at_once_than_it_may(monkeypatch):
    model, pixels = micro_model(["memory_encoder"]), noise(1, 5).flatten(0, 1)
    together = model.encode_fixed(pixels)
    seen = []
    encode = SAM2Model.encode_levels

    def watched(self, part):
        seen.append(len(part))
        return encode(self, part)

    monkeypatch.setattr(SAM2Model, "encode_levels", watched)
    monkeypatch.setattr(sam2, "PIXELS_AT_ONCE", 2 * pixels[0, 0].numel() + 1)
    apart = model.encode_fixed(pixels)
    # fewer pixels than an image has are no less than one image
    monkeypatch.setattr(sam2, "PIXELS_AT_ONCE", 1)
    model.encode_fixed(pixels[:2])
    assert seen == [2, 2, 1, 1, 1]
    for one, other in zip(together.levels, apart.levels, strict=True):
        assert torch.allclose(one, other, atol=1e-5)

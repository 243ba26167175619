"""Which parameters learn: names of both worlds, globs, groups, and what is refused."""

import pytest

from sam2_video.model.keymap import meta_name
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.trainable import GROUPS, ModuleSummary, summarise
from tests.model.micro import micro_model, old_micro_model


@pytest.fixture(scope="module")
def model() -> SAM2Model:
    return micro_model()


def learning(model: SAM2Model) -> set[str]:
    return {name for name, p in model.network.named_parameters() if p.requires_grad}


def below(model: SAM2Model, *prefixes: str) -> set[str]:
    return {name for name, _ in model.network.named_parameters() if name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("patterns", "prefixes"),
    [
        (["memory_attention", "memory_encoder"], ("memory_attention.", "memory_encoder.")),
        (["mask_decoder"], ("mask_decoder.",)),
        (["sam_mask_decoder"], ("mask_decoder.",)),
        (["image_encoder"], ("vision_encoder.",)),
        (["image_encoder.trunk.blocks.1"], ("vision_encoder.backbone.blocks.1.",)),
        (["memory_attention.layers.0"], ("memory_attention.layers.0.",)),
        (["obj_ptr_proj"], ("object_pointer_proj.",)),
        (["maskmem_tpos_enc"], ("memory_temporal_positional_encoding",)),
        (["mask_downsample"], ("mask_downsample.",)),
        (["sam_prompt_encoder.point_embeddings"], ("prompt_encoder.point_embed.",)),
    ],
)
def test_modules_and_parameters_learn_by_either_worlds_name(model, patterns, prefixes):
    model.set_trainable(patterns)
    assert learning(model) == below(model, *prefixes) != set()


def test_globs_choose_across_modules(model):
    model.set_trainable(["memory_*.bias", "vision_encoder.neck.*"])
    expected = {n for n in below(model, "memory_") if n.endswith(".bias")}
    assert learning(model) == expected | below(model, "vision_encoder.neck.")


def test_a_later_choice_replaces_an_earlier_one(model):
    model.set_trainable(["all"])
    assert learning(model) == below(model, "")
    model.set_trainable(["memory_encoder"])
    assert learning(model) == below(model, "memory_encoder.")


def test_the_group_memory_is_everything_around_memory(model):
    model.set_trainable(["memory"])
    frozen = below(model, "") - learning(model)
    assert frozen == below(model, "vision_encoder.", "prompt_encoder.", "mask_decoder.")
    assert {name.split(".")[0] for name in learning(model)} == set(GROUPS["memory"])


def test_the_group_memory_works_on_sam_2_which_has_fewer_parameters():
    model = old_micro_model()
    model.set_trainable(["memory"])
    assert "occlusion_spatial_embedding_parameter" not in learning(model)
    assert below(model, "object_pointer_proj.") <= learning(model)


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("memory_atention", "memory_attention"),
        ("mask_decoders", "mask_decoder"),
        ("image_encode", "image_encoder"),
        ("Memory", "memory"),
        ("memory_attention.layers.9", "memory_attention"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name(model, pattern, nearest):
    model.set_trainable(["memory_encoder"])
    message = rf"trainable_modules: '{pattern}' matches no parameter.*did you mean '{nearest}'\?"
    with pytest.raises(ValueError, match=message):
        model.set_trainable(["mask_decoder", pattern])
    # and nothing has been changed
    assert learning(model) == below(model, "memory_encoder.")


def test_what_sam_2_does_not_have_is_an_error_when_named():
    with pytest.raises(ValueError, match="'no_obj_embed_spatial' matches no parameter"):
        old_micro_model().set_trainable(["no_obj_embed_spatial"])


def test_frozen_modules_stay_in_eval_mode_and_learning_ones_follow_the_model(model):
    model.set_trainable(["memory_attention.layers.0", "mask_decoder"])
    model.train()
    network = model.network
    assert network.memory_attention.layers[0].training
    assert network.memory_attention.layers[0].dropout1.training
    assert network.mask_decoder.training
    for frozen in (network.memory_attention.layers[1], network.vision_encoder):
        assert not any(module.training for module in frozen.modules())
    model.eval()
    assert not any(module.training for module in model.modules())


def test_freezing_in_training_mode_takes_effect_at_once(model):
    model.set_trainable(["all"])
    model.train()
    model.set_trainable(["memory_encoder"])
    assert not any(module.training for module in model.network.memory_attention.modules())
    assert model.network.memory_encoder.training
    model.eval()


def test_the_summary_counts_every_parameter_once(model):
    model.set_trainable(["memory_encoder"])
    table = summarise(model.network)
    assert sum(line.num_parameters for line in table) == sum(
        p.numel() for p in model.network.parameters()
    )
    size = sum(p.numel() for p in model.network.memory_encoder.parameters())
    assert ModuleSummary("memory_encoder", size, size) in table
    assert all(x.num_trainable == 0 for x in table if x.name != "memory_encoder")


def test_every_name_in_a_group_is_known_to_both_worlds(model):
    tops = {name.split(".")[0] for name, _ in model.network.named_parameters()}
    assert set(GROUPS["memory"]) <= tops
    assert meta_name("no_object_pointer") == "no_obj_ptr"

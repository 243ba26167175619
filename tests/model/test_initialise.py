"""Random weights: drawn from the seed alone, and alive."""

import torch

from sam2_video.model.sam2 import SAM2Model


def weights(seed: int) -> dict[str, torch.Tensor]:
    return SAM2Model.load(None, "micro", (64, 64), seed=seed).network.state_dict()


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = weights(seed=5)
    torch.manual_seed(2)
    again = weights(seed=5)
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_another_seed_draws_other_weights():
    one, other = weights(seed=5), weights(seed=6)
    same = {name for name in one if torch.equal(one[name], other[name])}
    # what does not depend on the seed is constant: norms and layer scales
    assert all("norm" in name or name.endswith(".scale") for name in same)


def test_embeddings_of_memory_are_not_left_at_zero():
    # zeros of memory's embeddings hide wrong slots, and transformers leaves them so
    drawn = weights(seed=0)
    for name in (
        "memory_temporal_positional_encoding",
        "no_memory_embedding",
        "no_object_pointer",
        "occlusion_spatial_embedding_parameter",
    ):
        assert drawn[name].std() > 0.005, name


def test_both_uses_of_the_random_frequencies_share_them():
    drawn = weights(seed=0)
    ours = drawn["prompt_encoder.shared_embedding.positional_embedding"]
    assert torch.equal(ours, drawn["shared_image_embedding.positional_embedding"])

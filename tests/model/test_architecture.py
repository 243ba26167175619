"""Names of architectures, image sizes, and what depends on them from first principles."""

import pytest
import torch
from torch import nn
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoRoPEAttention

from sam2_video.model.architecture import (
    ARCHITECTURES,
    build_network,
    check_image_size,
    find_architecture,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sam2.1-tiny", "sam2.1-tiny"),
        ("sam2-large", "sam2-large"),
        ("micro", "micro"),
        ("sam2.1_hiera_t", "sam2.1-tiny"),
        ("sam2.1_hiera_b+", "sam2.1-base-plus"),
        ("sam2_hiera_base_plus", "sam2-base-plus"),
        ("sam2.1-hiera-small", "sam2.1-small"),
        ("SAM2_Hiera_L", "sam2-large"),
    ],
)
def test_our_names_and_metas_name_the_same_architectures(name, expected):
    assert find_architecture(name).name == expected


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"config_path: got 'sam2\.1-tinny'.*'sam2\.1-tiny'\?"):
        find_architecture("sam2.1-tinny")


def test_only_sam_2_1_has_occlusion_embedding_and_pointer_time():
    for architecture in ARCHITECTURES.values():
        is_new = not architecture.name.startswith("sam2-")
        assert architecture.has_occlusion_embedding == is_new
        assert architecture.has_pointer_time == is_new


@pytest.mark.parametrize("image_size", [(64, 64), (96, 64), (1024, 512)])
def test_sides_that_the_strides_divide_are_taken(image_size):
    check_image_size(image_size)


@pytest.mark.parametrize("image_size", [(100, 64), (64, 72), (0, 64), (-32, 64)])
def test_other_sides_are_refused_with_the_sizes_given(image_size):
    message = rf"image_size: got \[{image_size[0]}, {image_size[1]}\].*multiples of 32"
    with pytest.raises(ValueError, match=message):
        build_network(ARCHITECTURES["micro"], image_size)


@pytest.mark.parametrize("image_size", [(64, 96), (96, 64), (64, 64)])
def test_rotary_positions_are_columns_then_rows_of_the_feature_grid(image_size):
    attention = build_network(ARCHITECTURES["micro"], image_size).memory_attention
    rows, columns = image_size[0] // 16, image_size[1] // 16
    width = ARCHITECTURES["micro"].hidden_size
    cos, sin = attention.rotary_emb(torch.zeros(1), attention.position_ids)
    angles = torch.zeros(rows * columns, width)
    for token in range(rows * columns):
        row, column = divmod(token, columns)
        for pair in range(width // 2):
            # the first half of the pairs turns with x, the second with y (RoPE, axial)
            place, number = (column, pair) if pair < width // 4 else (row, pair - width // 4)
            angle = place * 10000 ** (-4 * number / width)
            angles[token, 2 * pair : 2 * pair + 2] = angle
    torch.testing.assert_close(cos, angles.cos()[None], rtol=0, atol=1e-6)
    torch.testing.assert_close(sin, angles.sin()[None], rtol=0, atol=1e-6)


def test_the_image_size_reaches_every_part_that_depends_on_it():
    network = build_network(ARCHITECTURES["micro"], (64, 96))
    assert network.prompt_encoder.image_embedding_size == (4, 6)
    assert network.prompt_encoder.mask_input_size == (16, 24)
    assert network.get_image_wide_positional_embeddings().shape == (1, 64, 4, 6)
    levels = network.vision_encoder(torch.zeros(1, 3, 64, 96)).fpn_hidden_states
    assert [tuple(level.shape[-2:]) for level in levels] == [(16, 24), (8, 12), (4, 6)]


def test_dropout_reaches_every_layer_of_memory_attention():
    layers = build_network(ARCHITECTURES["micro"], (64, 64), dropout=0.25).memory_attention.layers
    for layer in layers:
        parts = [part for part in layer.modules() if isinstance(part, nn.Dropout)]
        assert [part.p for part in parts] == [0.25] * 4
        attentions = [x for x in layer.modules() if isinstance(x, Sam2VideoRoPEAttention)]
        assert [attention.dropout_p for attention in attentions] == [0.25] * 2

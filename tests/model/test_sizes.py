"""Image sizes other than Meta's: square ones against Meta, others against first principles."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from einops import rearrange
from torch import Tensor
from transformers.models.sam2_video.modeling_sam2_video import apply_rotary_pos_emb_2d

from sam2_video.model import heads, stream
from sam2_video.model.architecture import MICRO, build_network
from sam2_video.model.mask_decoder import Decoded, attend_both_ways
from sam2_video.model.memory import MemoryBank
from sam2_video.model.memory_attention import feature_positions, memory_positions
from sam2_video.model.object_prompt import ObjectPrompt
from sam2_video.model.rotation import rotate, rotation_of
from sam2_video.model.sam2 import SAM2Model
from sam2_video.model.tracker import track_frame
from sam2_video.structures import Prompt
from tests.model.double import in_double
from tests.model.gaps import compare, excesses
from tests.model.micro import micro_model, noise
from tests.model.parity import Case, build_both, draw_user, meta_says, ours_says
from tests.model.video_cases import (
    ball_box,
    ball_points,
    ball_video,
    enlivened_model,
    measure,
    our_tracks,
    video_cases,
)
from tests.model.video_oracle import build_predictor, meta_tracks, unrounded_memory

WIDE = replace(MICRO, name="wide", hidden_size=128, fuser_size=512)
LANDSCAPE, PORTRAIT = (64, 96), (96, 64)
NON_SQUARE = [LANDSCAPE, PORTRAIT, (32, 128)]
GOLDEN = Path(__file__).parent / "golden" / "non_square.json"
GOLDEN_SIZES = [(96, 160), (160, 96)]


def test_training_at_384_pixels_equals_metas_to_the_rounding_of_double_precision():
    case = Case(WIDE, 384, "point", 1, (0, 0), num_frames=2)
    with in_double():
        model, meta = build_both(case)
        ours = ours_says(model, case, draw_user(meta, case), ["official"])
        gap = compare(ours, meta_says(meta, case, ["official"]))
    errors = [*gap.outputs.values(), gap.loss, gap.gradients["official"].total]
    assert max(errors) < 1e-11


def test_training_of_tiny_at_448_pixels_equals_metas():
    case = Case("sam2.1-tiny", 448, "mask", 1, (0,), num_frames=2)
    model, meta = build_both(case)
    ours = ours_says(model, case, draw_user(meta, case), ["official"])
    assert excesses(compare(ours, meta_says(meta, case, ["official"]))) == []


@pytest.mark.parametrize("side", [384, 448])
@pytest.mark.parametrize("number", [0, 4])
def test_tracking_at_other_square_sizes_equals_metas_predictor(side, number):
    model = enlivened_model(WIDE, (side, side))
    predictor = build_predictor(model)
    case = replace(video_cases((side, side))[number], num_frames=4)
    with unrounded_memory():
        theirs = meta_tracks(predictor, case.frames, case.prompts)
        difference = measure(our_tracks(model, case), theirs)
    assert difference.least_iou > 0.9999
    assert difference.largest_error < 1e-5
    assert difference.score_error < 1e-5


@pytest.mark.parametrize("size", NON_SQUARE)
def test_queries_turn_with_their_column_in_the_first_half_and_with_their_row_in_the_second(size):
    network = build_network(WIDE, size)
    rows, columns, width = size[0] // 16, size[1] // 16, WIDE.hidden_size
    queries = torch.randn(1, rows * columns, width)
    turned = rotate(queries, rotation_of(network, rows, columns))
    # what transformers' own forward would do
    module = network.memory_attention
    cos, sin = module.rotary_emb(torch.zeros(1), module.position_ids)
    theirs, _ = apply_rotary_pos_emb_2d(queries, queries, cos, sin)
    assert theirs.shape == queries.shape
    torch.testing.assert_close(turned, theirs, rtol=0, atol=1e-5)
    # axial RoPE (Heo et al., 2024): pairs of channels are complex numbers
    pairs = torch.view_as_complex(queries.double().unflatten(-1, (-1, 2)))
    frequencies = 10000.0 ** (-torch.arange(width // 4).double() / (width // 4))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (x, y)]
    expected = torch.view_as_real(pairs * torch.exp(1j * torch.cat(angles, dim=-1))).flatten(-2)
    torch.testing.assert_close(turned, expected.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", NON_SQUARE)
def test_sine_positions_are_rows_then_columns_each_over_its_own_side(size):
    network = build_network(WIDE, size)
    rows, columns = size[0] // 16, size[1] // 16
    embedding = torch.zeros(1, WIDE.hidden_size, rows, columns)
    for found, width in (
        (feature_positions(network, embedding), WIDE.hidden_size),
        (memory_positions(network, rows, columns), network.mem_dim),
    ):
        assert found.shape == (rows * columns, width)
        for token, channel in [(0, 0), (columns, 5), (1, width // 2), (2 * columns - 1, width - 2)]:
            row, column = divmod(token, columns)
            is_column, place = divmod(channel, width // 2)
            share = (column + 1) / columns if is_column else (row + 1) / rows
            angle = 2 * math.pi * share / 10000 ** (2 * (place // 2) / (width // 2))
            expected = math.cos(angle) if place % 2 else math.sin(angle)
            assert float(found[token, channel]) == pytest.approx(expected, abs=1e-5)


def seen_by_decoder(model: SAM2Model, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions and prompts that the mask decoder is given for one object."""
    seen: list[tuple[Tensor, Tensor]] = []

    def attend(decoder: Any, image: Tensor, positions: Tensor, prompts: Tensor) -> Decoded:
        seen.append((positions, prompts))
        return attend_both_ways(decoder, image, positions, prompts)

    features = model.encode(noise(1, 1, model.image_size)[0])
    prompt = Prompt(0, (0,), points=points, labels=labels)
    with torch.no_grad(), patch.object(heads, "attend_both_ways", attend):
        track_frame(model.network, features, MemoryBank(), 0, (0,), prompt, 1, is_training=False)
    return seen[0]


@pytest.mark.parametrize("size", NON_SQUARE)
def test_a_point_is_encoded_by_its_share_of_width_and_height(size):
    model = micro_model(image_size=size)
    height, width = size
    points = torch.tensor([[[width - 3.0, 5.0], [8.5, height - 10.0]]])
    _, prompts = seen_by_decoder(model, points, torch.tensor([[1, 3]]))
    encoder = model.network.prompt_encoder
    matrix = encoder.shared_embedding.positional_embedding
    for row, (point, label) in enumerate(zip(points[0], (1, 3), strict=True)):
        share = (point + 0.5) / torch.tensor([float(width), float(height)])
        turns = 2 * math.pi * (2 * share - 1) @ matrix
        expected = torch.cat([turns.sin(), turns.cos()]) + encoder.point_embed.weight[label]
        torch.testing.assert_close(prompts[0, row], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", NON_SQUARE)
def test_image_positions_are_those_of_points_at_the_cells_centres(size):
    model = micro_model(image_size=size)
    rows, columns = size[0] // 16, size[1] // 16
    positions, _ = seen_by_decoder(model, torch.tensor([[[1.0, 1.0]]]), torch.tensor([[1]]))
    assert positions.shape == (rows * columns, MICRO.hidden_size)
    matrix = model.network.prompt_encoder.shared_embedding.positional_embedding
    for row, column in [(0, 0), (rows - 1, 0), (0, columns - 1), (1, 2)]:
        share = torch.tensor([(column + 0.5) / columns, (row + 0.5) / rows])
        turns = 2 * math.pi * (2 * share - 1) @ matrix
        expected = torch.cat([turns.sin(), turns.cos()])
        found = positions[row * columns + column]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", NON_SQUARE)
def test_features_memory_and_masks_have_the_shapes_of_their_strides(size):
    model = micro_model(image_size=size)
    height, width = size
    features = model.encode(noise(1, 1, size)[0])
    assert features.embedding.shape[-2:] == (height // 16, width // 16)
    assert features.half.shape[-2:] == (height // 8, width // 8)
    assert features.quarter.shape[-2:] == (height // 4, width // 4)
    prompt = Prompt(0, (0,), masks=torch.ones(1, height, width))
    _, entry = track_frame(
        model.network, features, MemoryBank(), 0, (0,), prompt, 2, is_training=False
    )
    assert entry.features is not None
    assert entry.features.shape == (1, height // 16 * (width // 16), model.network.mem_dim)
    bank = MemoryBank().append(entry)
    (output,), _ = track_frame(model.network, features, bank, 1, (0,), None, 2, is_training=False)
    assert output.mask_logits.shape == (1, 3, height // 4, width // 4)


def test_swapping_height_and_width_swaps_the_tables():
    wide, tall = (build_network(WIDE, size) for size in (LANDSCAPE, PORTRAIT))
    rows, columns = LANDSCAPE[0] // 16, LANDSCAPE[1] // 16

    def turn(table: Tensor, rows: int) -> Tensor:
        """Exchange the axes of a table, and the halves of its channels."""
        table = rearrange(table, "(h w) c -> (w h) c", h=rows)
        return table.roll(table.shape[-1] // 2, dims=-1)

    tables = []
    for network, (h, w) in ((wide, (rows, columns)), (tall, (columns, rows))):
        embedding = torch.zeros(1, WIDE.hidden_size, h, w)
        rotation = torch.view_as_complex(rotation_of(network, h, w).turn).angle()
        tables.append((rotation, feature_positions(network, embedding)))
    for landscape, portrait in zip(*tables, strict=True):
        assert torch.equal(turn(landscape, rows), portrait)
        assert not torch.equal(landscape, portrait)


def test_a_portrait_image_is_not_taken_for_a_landscape_one():
    # as many tokens, in another order: nothing but the axes tells them apart
    model = micro_model(image_size=LANDSCAPE)
    features = model.encode(noise(1, 1, PORTRAIT)[0])
    prompt = Prompt(0, (0,), points=torch.tensor([[[5.0, 5.0]]]), labels=torch.tensor([[1]]))
    with pytest.raises(RuntimeError, match="must match the size"):
        track_frame(model.network, features, MemoryBank(), 0, (0,), prompt, 1, is_training=False)


def golden_run(size: tuple[int, int]) -> dict[str, list[float]]:
    """Track three objects through a short clip of another size; return numbers of each frame."""
    model = enlivened_model(MICRO, size)
    frames, masks = ball_video(6, (size[0] - 20, size[1] + 10))
    prompts = [
        ObjectPrompt(1, 0, mask=masks[0]),
        ObjectPrompt(2, 1, box=ball_box(masks[1])),
        ObjectPrompt(3, 0, points=ball_points(masks[0]), labels=[1, 0, 1]),
    ]
    said = {}
    for frame in model.track(frames, prompts):
        for row, name in enumerate(frame.object_ids):
            logits = frame.mask_logits[row]
            numbers = [logits.mean(), logits.std(), logits[10, 30], logits[-12, -40]]
            numbers.append(frame.object_scores[row] - 20)
            said[f"object {name}, frame {frame.index}"] = [float(x) for x in numbers]
    return said


@pytest.mark.parametrize("size", GOLDEN_SIZES, ids=["landscape", "portrait"])
def test_a_short_clip_is_tracked_as_it_was_when_recorded(size, monkeypatch):
    monkeypatch.setattr(stream, "MEMORY_DTYPE", torch.float32)
    recorded = json.loads(GOLDEN.read_text())[f"{size[0]}x{size[1]}"]
    found = golden_run(size)
    assert found.keys() == recorded.keys()
    for key, numbers in recorded.items():
        assert found[key] == pytest.approx(numbers, rel=1e-4, abs=1e-5), key


def record() -> None:
    """Write what is recorded anew: `python -m tests.model.test_sizes`."""
    stream.MEMORY_DTYPE = torch.float32
    said = {f"{height}x{width}": golden_run((height, width)) for height, width in GOLDEN_SIZES}
    GOLDEN.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    record()

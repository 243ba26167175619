"""Prompt encoder and mask decoder: where points lie, how many hypotheses, who is absent."""

import pytest
import torch
from torch import Tensor

from sam2_video.model.heads import ABSENT_LOGIT, FrameFeatures, HeadOutput, adopt_mask, decode
from sam2_video.model.prompt_encoder import embed_prompts, image_positions
from sam2_video.model.sam2 import SAM2Model
from tests.model.micro import judge_presence, micro_model, noise, relative, squares

SIZES = [(64, 64), (64, 96), (96, 64)]


def features_of(model: SAM2Model, num_objects: int = 2) -> FrameFeatures:
    return model.encode(noise(1, num_objects, model.image_size)[0])


def run(
    model: SAM2Model,
    points: Tensor | None = None,
    labels: Tensor | None = None,
    is_multimask: bool = True,
    is_training: bool = False,
) -> HeadOutput:
    features = features_of(model)
    return decode(
        model.network,
        features.embedding,
        features,
        points,
        labels,
        mask_prompt=None,
        is_multimask=is_multimask,
        is_training=is_training,
    )


@pytest.mark.parametrize("size", SIZES)
def test_points_reach_the_encoder_as_pixel_centres_over_width_and_height(size):
    model = micro_model(image_size=size)
    seen = []
    model.network.prompt_encoder.shared_embedding.register_forward_pre_hook(
        lambda _, args: seen.append(args[0] / torch.tensor(args[1]).flip(0))
    )
    points = torch.tensor([[[0.0, 0.0], [17.0, 50.0]], [[63.0, 63.0], [30.5, 2.25]]])
    run(model, points, torch.ones(2, 2, dtype=torch.int64))
    height, width = size
    expected = (points + 0.5) / torch.tensor([width, height])
    torch.testing.assert_close(seen[0][:, 0, :2], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_image_positions_and_points_share_one_coordinate_system(size):
    network = micro_model(image_size=size).network
    image = network.get_image_wide_positional_embeddings()
    height, width = size
    row, column = height // 16 - 1, 2
    centre = torch.tensor([[[[(column + 0.5) * 16 / width, (row + 0.5) * 16 / height]]]])
    expected = network.prompt_encoder.shared_embedding(centre)[0, 0, 0]
    torch.testing.assert_close(image[0, :, row, column], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_moving_a_point_in_x_or_y_changes_the_mask(size):
    model = micro_model(image_size=size)
    labels = torch.ones(2, 1, dtype=torch.int64)
    masks = [
        run(model, torch.tensor([[xy], [[9.0, 9.0]]]), labels).mask_logits
        for xy in ([20.0, 30.0], [44.0, 30.0], [20.0, 54.0])
    ]
    assert relative(masks[1][0], masks[0][0]) > 1e-4
    assert relative(masks[2][0], masks[0][0]) > 1e-4
    assert relative(masks[1][1], masks[0][1]) < 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_hypotheses_are_three_or_one_at_a_quarter_of_the_input(size):
    model = micro_model(image_size=size)
    three, one = run(model), run(model, is_multimask=False)
    quarter = (size[0] // 4, size[1] // 4)
    assert three.mask_logits.shape == (2, 3, *quarter)
    assert three.iou_predictions.shape == (2, 3)
    assert one.mask_logits.shape == (2, 1, *quarter)
    assert one.best.tolist() == [0, 0]


def test_the_best_hypothesis_is_that_of_highest_predicted_iou():
    output = run(micro_model())
    assert torch.equal(output.best, output.iou_predictions.argmax(1))
    expected = torch.stack([output.mask_logits[i, output.best[i]] for i in range(2)])
    assert torch.equal(output.best_mask_logits[:, 0], expected)


def test_padding_points_are_no_prompt_at_all():
    model = micro_model()
    points = torch.tensor([[[5.0, 7.0]], [[50.0, 3.0]]])
    padding = torch.full((2, 1), -1)
    padded, bare = run(model, points, padding), run(model)
    assert torch.equal(padded.mask_logits, bare.mask_logits)


def test_absent_objects_get_the_absent_logit_and_the_learned_pointer():
    model = micro_model()
    present = run(model)
    assert (present.mask_logits > ABSENT_LOGIT).all()
    judge_presence(model, is_present=False)
    absent = run(model)
    assert (absent.object_score_logits < 0).all()
    assert (absent.mask_logits == -1024).all()
    assert torch.equal(absent.pointers, model.network.no_object_pointer.expand(2, -1))
    assert torch.equal(absent.iou_predictions, present.iou_predictions)


def test_objects_of_a_batch_are_judged_one_by_one():
    model = micro_model()
    scores = run(model).object_score_logits
    last = model.network.mask_decoder.pred_obj_score_head.proj_out
    with torch.no_grad():
        last.bias.sub_(scores.mean())
    output = run(model)
    is_absent = output.object_score_logits <= 0
    assert is_absent.sum() == 1
    assert torch.equal((output.mask_logits == -1024).all(-1).all(-1).all(-1), is_absent)


@pytest.mark.parametrize("patterns", [["all"], ["memory_attention"]])
def test_stability_decides_in_evaluation_only_even_where_the_decoder_is_frozen(patterns):
    model = micro_model(patterns)
    decoder = model.network.mask_decoder
    decoder.dynamic_multimask_stability_thresh = 0.0  # every mask is stable
    single = run(model, is_multimask=False).mask_logits
    decoder.dynamic_multimask_stability_thresh = 2.0  # none is
    best = run(model).best_mask_logits
    # rounding: of a frozen decoder only the masks that are asked for are made
    assert relative(run(model, is_multimask=False).mask_logits, best) < 1e-6
    assert relative(single, best) > 1e-2
    model.train()
    trained = run(model, is_multimask=False, is_training=True).mask_logits
    assert relative(trained, single) < 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_a_given_mask_is_the_output(size):
    model = micro_model(image_size=size)
    masks = squares(2, size)
    output = adopt_mask(model.network, features_of(model), masks)
    assert torch.equal(output.best_mask_logits[:, 0], masks * 20 - 10)
    assert output.object_score_logits.tolist() == [10, 10]
    assert output.iou_predictions.flatten().tolist() == [1, 1]


def test_the_pointer_of_a_given_mask_depends_on_the_mask():
    model = micro_model()
    features, masks = features_of(model), squares(2)
    one = adopt_mask(model.network, features, masks)
    other = adopt_mask(model.network, features, masks.flip(0))
    assert relative(other.pointers, one.pointers) > 1e-4


def test_an_empty_given_mask_says_absent():
    model = micro_model()
    masks = squares(2)
    masks[1] = 0
    output = adopt_mask(model.network, features_of(model), masks)
    assert output.object_score_logits.tolist() == [10, -10]
    assert torch.equal(output.pointers[1], model.network.no_object_pointer[0])
    assert not torch.equal(output.pointers[0], model.network.no_object_pointer[0])


def test_prompts_are_embedded_in_fp32_under_autocast():
    model = micro_model()
    seen = []
    model.network.prompt_encoder.register_forward_hook(
        lambda _, __, output: seen.extend(x.dtype for x in output)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = run(model, torch.ones(2, 1, 2), torch.ones(2, 1, dtype=torch.int64))
    assert set(seen) == {torch.float32}
    assert output.mask_logits.dtype == output.iou_predictions.dtype == torch.float32


@pytest.mark.parametrize("size", SIZES)
def test_no_point_is_embedded_as_points_of_padding(size):
    model = micro_model(image_size=size)
    conditioned = features_of(model).embedding
    plain = embed_prompts(model.network, conditioned, None, None, None)
    padding = torch.zeros(2, 1, 2), torch.full((2, 1), -1)
    for found, expected in zip(
        plain, embed_prompts(model.network, conditioned, *padding, None), strict=True
    ):
        assert torch.equal(found.expand_as(expected), expected)


@pytest.mark.parametrize("size", SIZES)
def test_image_positions_are_made_once_and_follow_weights_that_are_loaded(size):
    network = micro_model(image_size=size).network

    def theirs():
        return network.get_image_wide_positional_embeddings()[0].flatten(1).T

    first = image_positions(network)
    assert torch.equal(first, theirs())
    assert image_positions(network) is first
    with torch.no_grad():
        network.shared_image_embedding.positional_embedding.mul_(2)
    assert torch.equal(image_positions(network), theirs())

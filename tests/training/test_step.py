"""The optimisation step: rates, clipping, accumulation, and what is no number."""

import math
from types import SimpleNamespace

import pytest
import torch

from sam2_video.cli import main
from sam2_video.config import LossConfig, PromptConfig, TrainerConfig
from sam2_video.configuration import load_config
from sam2_video.data.datamodule import ClipDataModule
from sam2_video.model.sam2 import SAM2Model
from sam2_video.structures import ClipBatch, FrameOutput, ModelClips
from sam2_video.training.failure import load_batch
from sam2_video.training.optimiser import build_optimiser, learning_rate_factor
from sam2_video.training.trainer import MOST_SKIPPED_STEPS, MemoryTuner, NonFiniteLossError
from sam2_video.training.values import predicted_similarity
from tests.training.conftest import measured
from tests.training.test_run import arguments

MASKS = {"prompts__mask": 1.0, "prompts__box": 0.0, "prompts__point": 0.0}
MASKS_ONLY = PromptConfig(mask=1.0, box=0.0, point=0.0)


def make_tuner(prompts=MASKS_ONLY, modules=("memory_attention",)):
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable(modules)
    return MemoryTuner(model.train(), LossConfig(), prompts, TrainerConfig())


@pytest.fixture(scope="module")
def batch(configure, tmp_path_factory):
    config = configure(tmp_path_factory.mktemp("none") / "run", dataset__batch_size=2)
    datamodule = ClipDataModule(config.dataset, config.seed)
    datamodule.setup()
    return next(iter(datamodule.train_dataloader()))


def test_the_rate_rises_linearly_and_falls_as_a_cosine(run, tmp_path):
    settings = {"trainer__warmup_fraction": 0.25, "trainer__min_lr_fraction": 0.1}
    run(tmp_path / "run", **settings, trainer__lr=2e-3)
    rates = [row["lr-AdamW"] for row in measured(tmp_path / "run") if "lr-AdamW" in row]
    # 8 steps: 2 of warm-up, then half a cosine from 1 towards 0.1 over 6
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates == pytest.approx([2e-3 * share for share in (0.5, 1.0, *cosine)])


def test_a_constant_rate_stays_after_the_warm_up():
    settings = TrainerConfig(lr_scheduler="constant", warmup_fraction=0.1)
    factors = [learning_rate_factor(step, 20, settings) for step in (0, 1, 2, 19, 40)]
    assert factors == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_the_cosine_ends_at_its_floor_and_stays_there():
    settings = TrainerConfig(min_lr_fraction=0.2)
    assert learning_rate_factor(100, 100, settings) == pytest.approx(0.2)
    assert learning_rate_factor(500, 100, settings) == pytest.approx(0.2)


def test_biases_and_norms_do_not_decay():
    tuner = make_tuner()
    named = tuner.model.network.named_parameters()
    optimiser, _ = build_optimiser(named, TrainerConfig(weight_decay=0.3), 10)
    decayed, others = optimiser.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in others["params"])
    learning = sum(p.requires_grad for p in tuner.parameters())
    assert len(decayed["params"]) + len(others["params"]) == learning


def test_clipping_bounds_the_gradient_and_its_norm_is_logged(run, tmp_path, monkeypatch):
    norms = []
    original = MemoryTuner.configure_gradient_clipping

    def spy(self, *args, **kwargs):
        original(self, *args, **kwargs)
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))

    monkeypatch.setattr(MemoryTuner, "configure_gradient_clipping", spy)
    run(tmp_path / "clipped", trainer__gradient_clip=0.1, trainer__max_steps=2)
    run(tmp_path / "free", trainer__gradient_clip=0.0, trainer__max_steps=1)
    assert norms[:2] == pytest.approx([0.1, 0.1], rel=1e-3)
    assert norms[2] == pytest.approx(measured(tmp_path / "free")[0]["gradient_norm"], rel=1e-4)
    assert norms[2] > 0.1


def first_gradients(output_dir):
    # AdamW's first moments after one step are a tenth of the gradient
    content = torch.load(output_dir / "checkpoints/last.ckpt", weights_only=True)
    state = content["optimizer_states"][0]["state"]
    return [state[index]["exp_avg"] for index in sorted(state)]


def test_two_accumulated_batches_are_one_of_both_where_their_counts_agree(run, tmp_path):
    # every clip has one object, whose score counts on each of its predicted frames
    same = {
        **MASKS,
        "losses__focal": 0.0,
        "losses__dice": 0.0,
        "losses__iou_prediction": 0.0,
        "dataset__max_objects": 1,
        "dataset__reverse_probability": 0.0,
        "dataset__video_clip_length": 2,
        "trainer__max_steps": 1,
    }
    run(tmp_path / "two", trainer__accumulate=2, **same)
    run(tmp_path / "one", dataset__batch_size=2, **same)
    rows = [measured(tmp_path / name)[0] for name in ("two", "one")]
    assert rows[0] == pytest.approx(rows[1], rel=1e-4)
    gradients = zip(
        first_gradients(tmp_path / "two"), first_gradients(tmp_path / "one"), strict=True
    )
    for first, second in gradients:
        torch.testing.assert_close(first, second, atol=1e-7, rtol=1e-3)


def test_what_is_accumulated_is_logged_as_a_mean(run, tmp_path):
    run(tmp_path / "two", trainer__accumulate=2, trainer__max_epochs=1)
    assert [row["step"] for row in measured(tmp_path / "two")] == [0, 1, 2]
    run(tmp_path / "one", trainer__max_epochs=1, trainer__lr=1e-30)
    alone = [row["train/dice"] for row in measured(tmp_path / "one")[:2]]
    together = measured(tmp_path / "two")[0]["train/dice"]
    assert together == pytest.approx(sum(alone) / 2, rel=1e-5)
    assert alone[0] != pytest.approx(alone[1], rel=1e-2)


def test_only_what_shall_learn_changes(run, tmp_path):
    run(tmp_path / "run", trainer__max_steps=1)
    before = SAM2Model.load(None, "micro", (64, 64), seed=42).network.state_dict()
    path = tmp_path / "run/checkpoints/last.ckpt"
    after = SAM2Model.load(str(path), "micro", (64, 64)).network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"memory_attention", "memory_encoder"}


def test_the_quick_similarity_is_that_of_hand_counted_masks():
    targets = torch.zeros(2, 2, 4, 4, dtype=torch.uint8)
    targets[0, 1, :, :2] = 1
    logits = torch.full((2, 1, 4, 4), -1.0)
    logits[0, 0, :2] = 1.0
    output = FrameOutput(
        frame=1,
        objects=(0, 1),
        mask_logits=logits,
        iou_predictions=torch.zeros(2, 1),
        object_score_logits=torch.zeros(2),
        best=torch.zeros(2, dtype=torch.long),
        pointers=torch.zeros(2, 3),
        is_given=False,
    )
    clips = ModelClips(
        pixels=torch.zeros(1, 2, 3, 4, 4),
        targets=targets,
        labelled=torch.ones(2, 2, dtype=torch.bool),
        object_clip=torch.zeros(2, dtype=torch.long),
        prompt_frames=(0, 0),
        seeds=(0,),
    )
    # 4 pixels in both masks, 12 in any; the second object is absent and does not count
    total, count = predicted_similarity([output], clips)
    assert (total.item(), count.item()) == (pytest.approx(4 / 12), 1)


def test_a_batch_without_a_prediction_teaches_nothing_and_harms_nothing(batch):
    last = batch.num_frames - 1
    given = ClipBatch(
        frames=batch.frames,
        masks=batch.masks,
        labelled=batch.labelled,
        object_clip=batch.object_clip,
        prompt_frames=(last,) * len(batch.prompt_frames),
        sources=batch.sources,
    )
    tuner = make_tuner()
    loss = tuner.training_step(given, 0)
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for p in tuner.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)
    assert math.isnan(tuner.step_metrics()["train/J"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, "model.trainable_modules names only what lies around memory"),
        ({"model__trainable_modules": ["mask_decoder"], **MASKS}, "with mask prompts alone"),
    ],
)
def test_clips_of_one_frame_that_teach_nothing_are_refused(overrides, message, run, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", dataset__video_clip_length=1, **overrides)


def test_clips_of_one_frame_can_teach_the_decoder(run, tmp_path):
    modules = ["mask_decoder"]
    run(
        tmp_path / "run",
        dataset__video_clip_length=1,
        model__trainable_modules=modules,
        trainer__max_epochs=1,
    )
    assert all(math.isfinite(row["train/loss"]) for row in measured(tmp_path / "run")[:4])


@pytest.fixture
def broken_weights(monkeypatch):
    """Break the weights before the third batch, and return those that the step found."""
    original, calls, found = MemoryTuner.training_step, [], {}

    def faulty(self, batch, batch_idx):
        calls.append(batch)
        if len(calls) == 3:
            with torch.no_grad():
                self.model.network.memory_attention.layer_norm.weight[0] = math.nan
            found.update({name: value.clone() for name, value in self.state_dict().items()})
        return original(self, batch, batch_idx)

    monkeypatch.setattr(MemoryTuner, "training_step", faulty)
    return found


def test_a_loss_that_is_no_number_ends_the_run_with_a_batch_to_replay(
    broken_weights, data, tmp_path, capsys
):
    assert main(arguments(data, tmp_path / "run")) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if line.startswith("error:")]
    batch, weights = load_batch(tmp_path / "run/failed_batch_rank0.pt")
    (source,) = batch.sources
    assert f"video {source.video_id}, frames {source.frame_names[0]} .." in line
    assert f"objects {list(source.object_ids)}" in line
    assert "step 2: the loss is nan" in line
    # never trained on
    assert weights.keys() == broken_weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, broken_weights[name], rtol=0, atol=0, equal_nan=True)
    # and to be run again
    config = load_config(tmp_path / "run/config.yaml")
    tuner = make_tuner(config.prompts, config.model.trainable_modules)
    tuner.load_state_dict(weights)
    assert not tuner.compute_loss(batch).loss.total.isfinite()


def test_a_gradient_that_is_no_number_ends_the_run_too(run, tmp_path, monkeypatch):
    original = MemoryTuner.on_train_start

    def break_gradients(self):
        original(self)
        weight = self.model.network.memory_attention.layer_norm.weight
        weight.register_hook(lambda gradient: gradient * math.inf)

    monkeypatch.setattr(MemoryTuner, "on_train_start", break_gradients)
    with pytest.raises(NonFiniteLossError, match="the loss is finite but the norm of its gradient"):
        run(tmp_path / "run")
    before = SAM2Model.load(None, "micro", (64, 64), seed=42).network.state_dict()
    _, weights = load_batch(tmp_path / "run/failed_batch_rank0.pt")
    for name, value in before.items():
        assert torch.equal(value, weights[f"model.network.{name}"])


def test_a_loss_scale_may_overflow_but_not_for_ever(monkeypatch):
    tuner = make_tuner()
    monkeypatch.setattr(MemoryTuner, "trainer", SimpleNamespace(precision="16-mixed"))
    parameter = next(p for p in tuner.parameters() if p.requires_grad)
    optimiser = torch.optim.SGD([parameter], lr=1.0)

    def step(value):
        parameter.grad = torch.full_like(parameter, value)
        tuner.configure_gradient_clipping(optimiser)

    for _ in range(MOST_SKIPPED_STEPS):
        step(math.inf)
    step(1.0)
    for _ in range(MOST_SKIPPED_STEPS):
        step(math.inf)
    with pytest.raises(NonFiniteLossError):
        step(math.inf)

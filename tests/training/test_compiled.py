"""What a run says of its compilation."""

import json
from dataclasses import replace

import pytest

from sam2_video.config import TrainConfig
from sam2_video.model import compilation
from sam2_video.model.compilation import Compiler
from sam2_video.model.sam2 import SAM2Model
from sam2_video.training.prepare import warn_of_decay


def compiled(result):
    return json.loads((result.output_dir / "training_metrics.json").read_text())["compiled"]


def test_without_a_compiler_a_run_says_so_and_trains(run, tmp_path, said, monkeypatch):
    monkeypatch.setattr(compilation, "why_not", lambda *_: "no compiler here")
    result = run(tmp_path / "run", trainer__compile="max", trainer__max_steps=1)
    assert result.is_finished
    assert compiled(result) is None
    assert sum("no compiler here" in line for line in said) == 1


def test_the_summary_says_what_was_compiled(run, tmp_path, said, monkeypatch):
    asked = []

    def pretend(network, how, device):
        asked.append((how, device.type))
        return Compiler(how, device.type, parts={"mask decoder"})

    monkeypatch.setattr("sam2_video.training.run.compile_parts", pretend)
    result = run(tmp_path / "run", trainer__compile="max", trainer__max_steps=1)
    assert asked == [("max", "cpu")]
    assert (compiled(result)["how"], compiled(result)["parts"]) == ("max", ["mask decoder"])
    assert sum("compiled mask decoder" in line for line in said) == 1


@pytest.mark.parametrize(
    ("learns", "weight", "decay", "is_told"),
    [
        ("mask_decoder", 0.0, 0.01, True),
        ("mask_decoder", 1.0, 0.01, False),
        ("mask_decoder", 0.0, 0.0, False),
        ("memory_attention", 0.0, 0.01, False),
    ],
)
def test_a_head_that_only_weight_decay_reaches_is_named(learns, weight, decay, is_told, said):
    config = TrainConfig()
    config = replace(
        config,
        losses=replace(config.losses, object_score=weight),
        trainer=replace(config.trainer, weight_decay=decay),
    )
    model = SAM2Model.load(None, "micro", (64, 64))
    model.set_trainable([learns])
    warn_of_decay(config, model)
    assert any("losses.object_score is 0" in line for line in said) == is_told

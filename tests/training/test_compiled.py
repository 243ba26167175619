"""What a run says of its compilation."""

import json

from sam2_video.model import compilation
from sam2_video.model.compilation import Compiler


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

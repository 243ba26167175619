"""Presets, and what a user writes in their place."""

import re
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from sam2_video.augmentation import PRESETS, Strengths, choose_strengths
from sam2_video.cli import main
from sam2_video.config import AugmentationConfig
from sam2_video.configuration import ConfigurationError, load_config


def test_every_setting_is_one_of_the_presets_and_the_other_way_round():
    names = [entry.name for entry in fields(AugmentationConfig)]
    assert names == ["preset", *(entry.name for entry in fields(Strengths))]


def test_the_default_is_the_official_recipe():
    assert choose_strengths(AugmentationConfig()) == PRESETS["official"]


def test_the_official_preset_is_that_of_metas_fine_tuning():
    spec = find_spec("sam2")
    if spec is None or spec.origin is None:
        pytest.skip("Meta's sam2 is not installed")
    path = "configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml"
    text = (Path(spec.origin).parent / path).read_text()
    steps = yaml.safe_load(text)["vos"]["train_transforms"][0]["transforms"]
    flip, affine, _, over_clip, grey, each = steps[:6]
    names = [step["_target_"].rpartition(".")[2] for step in steps]
    assert names[:6] == [
        "RandomHorizontalFlip",
        "RandomAffine",
        "RandomResizeAPI",
        "ColorJitter",
        "RandomGrayscale",
        "ColorJitter",
    ]
    assert names[6:] == ["ToTensorAPI", "NormalizeAPI"]
    assert "p" not in flip  # 0.5 in Meta's code
    kinds = ("brightness", "contrast", "saturation")
    assert (over_clip["hue"], each["hue"]) == (None, None)
    assert (over_clip["consistent_transform"], each["consistent_transform"]) == (True, False)
    assert PRESETS["official"] == Strengths(
        horizontal_flip=0.5,
        degrees=float(affine["degrees"]),
        shear=float(affine["shear"]),
        grey=grey["p"],
        **{kind: over_clip[kind] for kind in kinds},
        **{f"frame_{kind}": each[kind] for kind in kinds},
    )


def test_the_table_of_the_documentation_is_that_of_the_code():
    page = (Path(__file__).parents[2] / "docs/augmentation.md").read_text()
    (table,) = re.findall(r"^\| key \| .*(?:\n\|.*)+", page, re.MULTILINE)
    head, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")
    ]
    found = {name: {} for name in head[1:-1]}
    for keys, *columns, _ in rows:
        for name, column in zip(found, columns, strict=True):
            values = map(float, column.split(","))
            found[name] |= dict(zip(re.findall(r"`(\w+)`", keys), values, strict=True))
    assert found == {name: asdict(strengths) for name, strengths in PRESETS.items()}


def test_no_preset_turns_the_world_upside_down():
    assert all(strengths.vertical_flip == 0 for strengths in PRESETS.values())


def test_a_single_setting_stands_above_the_preset_also_where_it_is_0():
    settings = AugmentationConfig(preset="strong", degrees=3.0, noise=0.0, vertical_flip=0.5)
    chosen = choose_strengths(settings)
    assert (chosen.degrees, chosen.noise, chosen.vertical_flip) == (3.0, 0.0, 0.5)
    assert chosen.shear == PRESETS["strong"].shear


@pytest.mark.parametrize("spelled", ["off", "'off'", "Off", "false"])
def test_off_needs_no_quotes_in_yaml(spelled, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"augmentation: {{preset: {spelled}}}\n")
    assert load_config(path).augmentation.preset == "off"


def test_true_is_no_preset(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("augmentation:\n  preset: on\n")
    with pytest.raises(ConfigurationError, match="got true; expected one of off, light, official"):
        load_config(path)


def test_off_is_written_so_that_yaml_reads_it_as_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--create-config", "--augmentation.preset", "off"]) == 0
    assert yaml.safe_load(Path("sample_config.yaml").read_text())["augmentation"]["preset"] == "off"

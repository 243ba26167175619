"""Meta's YAML as data: every key understood or refused by name, nothing imported or called."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_video.model.architecture import ARCHITECTURES, Architecture
from sam2_video.model.meta_keys import flatten_keys
from sam2_video.model.meta_rules import DEFAULTS, ELSEWHERE, FREE, ONLY, TRAINING
from sam2_video.model.meta_yaml import (
    MetaModel,
    dump_meta_yaml,
    read_architecture,
    read_meta_yaml,
)

TINY = ARCHITECTURES["sam2.1-tiny"]
KEYS = flatten_keys(yaml.safe_load(dump_meta_yaml(TINY, 512)))


@pytest.fixture(scope="module")
def meta_configs() -> Path:
    sam2 = pytest.importorskip("sam2", reason="Meta's sam2 1.1.0 is not installed")
    return Path(sam2.__file__).parent / "configs"


def changed(path: Path, **values: object) -> Path:
    """Write the YAML of tiny with other values at dotted keys (`__` for a dot; ... removes)."""
    keys = yaml.safe_load(dump_meta_yaml(TINY, 512))
    for name, value in values.items():
        *sections, last = name.split("__")
        owner = keys
        for section in sections:
            owner = owner.setdefault(section, {})
        if value is ...:
            del owner[last]
        else:
            owner[last] = value
    path.write_text(yaml.safe_dump(keys, sort_keys=False))
    return path


@pytest.mark.parametrize("version", ["sam2.1", "sam2"])
@pytest.mark.parametrize(
    ("letter", "size"), [("t", "tiny"), ("s", "small"), ("b+", "base-plus"), ("l", "large")]
)
def test_metas_own_yaml_is_read(version, letter, size, meta_configs):
    path = meta_configs / version / f"{version}_hiera_{letter}.yaml"
    assert read_meta_yaml(path) == MetaModel(ARCHITECTURES[f"{version}-{size}"], 1024)


def test_a_recipe_of_metas_trainer_says_which_yaml_to_give(meta_configs):
    for path in (meta_configs / "sam2.1_training").glob("*.yaml"):
        with pytest.raises(
            ValueError, match=r"recipe of Meta's trainer; .*sam2\.1_hiera_b\+\.yaml"
        ):
            read_meta_yaml(path)


def test_metas_file_name_is_enough_where_the_file_is_not_there():
    assert read_architecture("sam2.1_hiera_b+.yaml").name == "sam2.1-base-plus"
    assert read_architecture("sam2-large").name == "sam2-large"
    with pytest.raises(FileNotFoundError, match=r"config_path: mine\.yaml does not exist"):
        read_architecture("mine.yaml")


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_what_is_written_is_read(name, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(dump_meta_yaml(ARCHITECTURES[name], 448))
    assert read_meta_yaml(path) == MetaModel(ARCHITECTURES[name], 448)


@settings(max_examples=30)
@given(data=st.data())
def test_any_architecture_that_our_network_can_be_is_read_back(data, tmp_path_factory):
    counts = st.integers(1, 6)
    heads = data.draw(counts)
    stages = data.draw(st.tuples(counts, counts, counts, counts))
    blocks = st.lists(st.integers(1, max(1, sum(stages) - 1)), min_size=1, unique=True)
    base = ARCHITECTURES[data.draw(st.sampled_from(sorted(ARCHITECTURES)))]
    architecture = replace(
        base,
        name="x",
        embed_dim=heads * data.draw(counts),
        num_heads=heads,
        blocks_per_stage=stages,
        global_attention_blocks=tuple(data.draw(blocks)),
        window_sizes=data.draw(st.tuples(counts, counts, counts, counts)),
        background_size=data.draw(st.tuples(counts, counts)),
        has_pointer_time=data.draw(st.booleans()),
        has_occlusion_embedding=data.draw(st.booleans()),
        memory_layers=data.draw(counts),
    )
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    side = 32 * data.draw(counts)
    path.write_text(dump_meta_yaml(architecture, side))
    assert read_meta_yaml(path) == MetaModel(architecture, side)


FIXED = sorted(set(KEYS) - set(FREE) - set(TRAINING) - set(ELSEWHERE) - {"model.image_size"})


@settings(max_examples=40)
@given(key=st.sampled_from([*FIXED, *ONLY]), value=st.sampled_from([True, 5, -1.5, "x", [1, 2]]))
def test_a_value_that_our_network_is_not_is_refused_by_name(key, value, tmp_path_factory):
    expected = KEYS.get(key, ONLY.get(key))
    if value == expected and isinstance(value, bool) == isinstance(expected, bool):
        return
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    with pytest.raises(ValueError, match=rf"(?m){key}: (got .*expected|no such key)"):
        read_meta_yaml(changed(path, **{key.replace(".", "__"): value}))


@pytest.mark.parametrize("key", sorted(set(KEYS) - set(TRAINING) - set(ELSEWHERE) - set(FREE)))
def test_an_absent_key_is_metas_default_or_refused(key, tmp_path):
    path = changed(tmp_path / "x.yaml", **{key.replace(".", "__"): ...})
    if key in DEFAULTS and DEFAULTS[key] == KEYS[key]:
        assert read_meta_yaml(path) == MetaModel(TINY, 512)
        return
    with pytest.raises(ValueError, match=rf"{key}: (missing|got .*); expected"):
        read_meta_yaml(path)


def test_an_absent_key_of_the_trunk_is_metas_default(tmp_path):
    trunk = "model__image_encoder__trunk__"
    values = {f"{trunk}stages": ..., f"{trunk}global_att_blocks": ..., f"{trunk}window_spec": ...}
    read = read_meta_yaml(changed(tmp_path / "mine.yaml", **values)).architecture
    assert read.name == "mine"
    assert read.blocks_per_stage == (2, 3, 16, 3)
    assert read.global_attention_blocks == (12, 16, 20)
    path = changed(tmp_path / "x.yaml", model__memory_attention__num_layers=...)
    with pytest.raises(ValueError, match=r"num_layers: got null; expected a whole number >= 1"):
        read_meta_yaml(path)


def test_all_faults_come_at_once_with_their_lines_and_the_nearest_names(tmp_path):
    path = changed(
        tmp_path / "x.yaml",
        model__num_maskmems=7,
        model__num_maskmem=6,
        model__image_size=500,
        model__image_encoder__trunk__embed_dim="wide",
        model__image_encoder__trunk__stages=[1, 2, 3],
        model__memory_encoder__fuser__num_layers=3,
        model___target_="os.system",
        model__proj_tpos_enc_in_obj_ptrs=1,
    )
    with pytest.raises(ValueError, match=r"config_path: .*x\.yaml: 8 faults:") as error:
        read_meta_yaml(path)
    number = path.read_text().splitlines().index("  num_maskmem: 6") + 1
    lines = [line.strip() for line in str(error.value).splitlines()]
    for start in (
        "model.num_maskmems: no such key; perhaps you meant model.num_maskmem [",
        f"model.num_maskmem: got 6; expected 7 [line {number}]",
        "model.image_size: got 500; expected a multiple of 32 [",
        "model.image_encoder.trunk.embed_dim: got 'wide'; expected a whole number >= 1 [",
        "model.image_encoder.trunk.stages: got [1, 2, 3]; expected 4 whole numbers >= 1 [",
        "model.memory_encoder.fuser.num_layers: got 3; expected 2 [",
        "model._target_: got 'os.system'; expected one of sam2.modeling.sam2_base.SAM2Base",
        "model.proj_tpos_enc_in_obj_ptrs: got 1; expected true or false [",
    ):
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"model__image_encoder__trunk__num_heads": 5},
            r"num_heads: got 5; .* a divisor of embed_d",
        ),
        ({"model__image_encoder__trunk__global_att_blocks": [12]}, r"numbers of blocks, below 12"),
        (
            {"model__use_signed_tpos_enc_to_obj_ptrs": False},
            r"use_signed.*got false; expected true",
        ),
        ({"model__image_size": "${scratch.resolution}"}, r"image_size: got '\$\{scratch"),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_one_line(values, says, tmp_path):
    with pytest.raises(ValueError, match=says) as error:
        read_meta_yaml(changed(tmp_path / "x.yaml", **values))
    assert "\n" not in str(error.value)


def test_settings_of_metas_training_and_predictor_are_accepted(tmp_path):
    path = changed(
        tmp_path / "x.yaml",
        model___target_="sam2.sam2_video_predictor.SAM2VideoPredictor",
        model__image_encoder__trunk__drop_path_rate=0.1,
        model__memory_attention__layer__dropout=0.1,
        model__memory_attention__layer__self_attention__feat_sizes=[32, 32],
        model__compile_image_encoder=True,
        model__fill_hole_area=8,
        model__sam_mask_decoder_extra_args={"dynamic_multimask_via_stability": True},
    )
    assert read_meta_yaml(path) == MetaModel(TINY, 512)


def test_code_in_a_yaml_is_not_run(tmp_path):
    path = tmp_path / "evil.yaml"
    mark = tmp_path / "was_run"
    for tag in ("!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"):
        for text in (f'model: {tag} ["{mark}"]', f'model: {tag} {{args: ["{mark}"]}}'):
            path.write_text(text)
            with pytest.raises(ValueError, match=r"evil\.yaml: line 1: !!python.* cannot be read"):
                read_architecture(str(path))
    assert not mark.exists()


BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected Meta's keys"),
        (b"other: 3", "expected Meta's keys"),
        (b"model: [1, 2]", "expected Meta's keys"),
        (b"trainer: {model: {x: 1}}", "a recipe of Meta's trainer"),
        (b"a: [", "line 1: not valid YAML"),
        (b"model: \xff", "line 1: not UTF-8"),
        (b"model: \x00", "line 1: not valid YAML"),
        (b"[" * 2000, "not valid YAML: nested too deeply"),
        (b"a: " + b"{b: " * 3000, "not valid YAML"),
        (BOMB.encode(), "aliases that unfold to more than"),
        (b"&r {model: *r}", "a recursive alias"),
        (b"model: {a: {x: 1}, a: {x: 2}}", "the section model.a stands twice"),
    ],
)
def test_a_yaml_of_other_things_is_refused_in_one_line(content, message, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_architecture(str(path))
    assert "x.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_yaml(tmp_path):
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(ValueError, match=r"x\.yaml: a folder; expected a YAML file"):
        read_architecture(str(tmp_path / "x.yaml"))


def test_every_free_key_is_a_field_of_the_architecture():
    assert set(FREE.values()) <= {*Architecture.__dataclass_fields__}
    assert set(FREE) <= set(KEYS)

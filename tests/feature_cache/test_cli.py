"""`sam2-video cache`: it fills, says how much and how long, and deletes only when asked."""

import pytest

import sam2_video
from sam2_video.cli import main
from sam2_video.configuration import save


@pytest.fixture
def yaml(configure, tmp_path):
    save(configure(), tmp_path / "config.yaml")
    return str(tmp_path / "config.yaml")


def test_the_verb_fills_the_cache_and_says_size_and_time(yaml, tmp_path, capsys):
    assert main(["cache", "--config", yaml]) == 0
    printed = capsys.readouterr().out
    # (8 x 16 x 16 + 16 x 8 x 8 + 64 x 4 x 4) numbers of 4 bytes, 24 times
    assert "0.4 MB of features of 24 frames of 4 videos; 24 encoded in 0 s" in printed
    assert len(list((tmp_path / "cache").rglob("*.features"))) == 4
    assert not (tmp_path / "run").exists()
    assert main(["cache", "--config", yaml]) == 0
    assert "0 encoded" in capsys.readouterr().out


def test_what_is_stale_is_deleted_when_asked(yaml, tmp_path, capsys):
    other = tmp_path / "cache" / "older" / "video.features"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"x")
    assert main(["cache", "--config", yaml]) == 0
    assert other.is_file()
    assert "1 files" in capsys.readouterr().err
    assert main(["cache", "--config", yaml, "--delete-stale"]) == 0
    assert not other.exists()
    assert len(list((tmp_path / "cache").rglob("*.features"))) == 4


def test_a_configuration_without_a_cache_is_an_error(yaml, tmp_path, capsys, configure):
    config = configure(dataset__feature_cache=None, dataset__feature_cache_dtype="bf16")
    save(config, tmp_path / "plain.yaml")
    assert main(["cache", "--config", str(tmp_path / "plain.yaml")]) == 1
    assert "dataset.feature_cache: got null" in capsys.readouterr().err
    folder = str(tmp_path / "named")
    assert main(["cache", "--config", str(tmp_path / "plain.yaml"), "--feature-cache", folder]) == 0
    assert (tmp_path / "named").is_dir()


def test_a_wrong_setting_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("dataset: {feature_cash: x}")
    assert main(["cache", "--config", str(tmp_path / "bad.yaml")]) == 2
    assert "perhaps you meant dataset.feature_cache" in capsys.readouterr().err


def test_python_has_the_same_verb(yaml):
    made = sam2_video.cache(config=yaml)
    assert (made.num_videos, made.num_frames, made.num_encoded) == (4, 24, 24)
    assert made.folder.is_dir()
    assert sam2_video.cache(config=yaml, deletes_stale=True).num_encoded == 0

"""Which pictures and scores a run leaves in its folder, and what they are made of."""

import io
import json
import math
import shutil
from dataclasses import fields
from pathlib import Path
from statistics import fmean

import av
import numpy as np
import pytest
import torch
from loguru import logger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sam2_video.config import PromptConfig
from sam2_video.data.folder import FolderVideo
from sam2_video.data.layout import open_dataset
from sam2_video.data.source import ImageFiles
from sam2_video.data.video import Video
from sam2_video.evaluation import VideoScore
from sam2_video.files import read_numbers
from sam2_video.metrics import ObjectSummary
from sam2_video.training import video_pictures
from sam2_video.training.data_summary import look_at
from sam2_video.training.kept_masks import choose_frames, keep, load_kept, save_kept, unpack
from sam2_video.training.picture_files import without_harm
from sam2_video.training.score_files import describe_score, read_fading
from sam2_video.training.video_pictures import make_movie, rank


@pytest.fixture(scope="module")
def drawn(run, tmp_path_factory):
    """Return the result of a run that draws its pictures, with two validation videos."""
    return run(
        tmp_path_factory.mktemp("drawn") / "run",
        trainer__pictures_every=1,
        dataset__val_fraction=0.4,
    )


def test_a_run_draws_what_it_is_given_and_what_it_has_learned(drawn):
    names = {path.name for path in (drawn.output_dir / "pictures").glob("[!.]*")}
    assert names == {
        "clips_first.png",
        "clips_latest.png",
        "curves.png",
        "data.png",
        "fading.png",
        "validation_best.mp4",
        "validation_best.png",
        "validation_worst.mp4",
        "validation_worst.png",
    }
    page = (drawn.output_dir / "report.html").read_text()
    assert page.count("<img ") == 5
    assert page.count("<video ") == 2


def test_tensorboard_shows_the_pictures(drawn):
    found = {}
    for path in (drawn.output_dir / "tensorboard").glob("events*"):
        events = EventAccumulator(str(path), size_guidance={"images": 0})
        events.Reload()
        for tag in events.Tags()["images"]:
            found.setdefault(tag, set()).update(image.step for image in events.Images(tag))
    steps = len(read_numbers(drawn.output_dir / "metrics.csv")) - 1
    assert found["pictures/training clips"] == {0, steps // 2}
    assert found["pictures/validation_best"] == {steps // 2, steps}
    assert {"pictures/curves", "pictures/fading"} <= found.keys()


def test_pictures_change_no_number(drawn, run, tmp_path):
    plain = run(tmp_path / "run", dataset__val_fraction=0.4)
    names = ("step", "train/loss", "train/J", "val/JF", "gradient_norm")
    rows = [
        [{name: row[name] for name in names if name in row} for row in read_numbers(folder)]
        for folder in (drawn.output_dir / "metrics.csv", plain.output_dir / "metrics.csv")
    ]
    assert rows[0] == rows[1]
    assert not (plain.output_dir / "pictures").exists()


def test_scores_are_written_of_zero_shot_best_and_last(drawn):
    rows = read_numbers(drawn.output_dir / "metrics.csv")
    validated = {row["step"]: row for row in rows if "val/JF" in row}
    for when in ("zero_shot", "best", "last"):
        content = json.loads((drawn.output_dir / f"scores_{when}.json").read_text())
        for metric in ("J", "F", "JF"):
            value = validated[content["step"]][f"val/{metric}"]
            assert content[metric] == pytest.approx(value, abs=1e-6)
        objects = [entry["JF"] for video in content["videos"] for entry in video["objects"]]
        assert content["JF"] == pytest.approx(fmean(objects))
        assert len(content["videos"]) == 2
    assert content["step"] == max(validated)


def test_a_resumed_run_still_shows_what_came_before_it(drawn, run, configure, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(drawn.output_dir, folder)
    (folder / "pictures" / "validation_best.png").unlink()
    settings = {"trainer__pictures_every": 1, "dataset__val_fraction": 0.4}
    run(folder, resume=str(folder), trainer__max_epochs=3, **settings)
    heights = []
    for place in (drawn.output_dir, folder):
        with Image.open(place / "pictures" / "validation_best.png") as picture:
            heights.append(picture.height)
    assert heights[0] == heights[1], "a row is missing"
    assert json.loads((folder / "scores_zero_shot.json").read_text())["step"] == 0


def test_a_picture_that_cannot_be_written_is_said_and_the_run_goes_on(run, tmp_path, monkeypatch):
    lines = []
    handler = logger.add(lambda line: lines.append(str(line)), format="{level}: {message}")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam2_video.training.pictures.save_picture", fail)
    result = run(tmp_path / "run", trainer__pictures_every=1, trainer__max_epochs=1)
    logger.remove(handler)
    assert result.is_finished
    told = [line for line in lines if line.startswith("WARNING: pictures: ")]
    assert len(told) == 1, "said once, not with every picture"
    assert "No space left" in told[0]


def test_only_failures_of_files_are_forgiven():
    with pytest.raises(ValueError, match="ours"), without_harm("a picture", set()):
        raise ValueError("ours")


def score(size=(48, 64), frames=range(4), num_objects=2, name="v") -> VideoScore:
    generator = np.random.default_rng(0)
    masks = {}
    for frame in frames:
        left = int(generator.integers(0, size[1] // 2))
        masks[frame] = torch.zeros(num_objects, *size, dtype=torch.bool)
        masks[frame][0, 5 : size[0] // 2, left : left + size[1] // 3] = True
    values = {1: {1: 0.5, 2: 0.25}, 2: {1: 1.0, 2: math.nan}}
    return VideoScore(name, values, 4, 1.0, masks, (summary(1, 0.375), summary(2, 1.0)))


def summary(object_id, j) -> ObjectSummary:
    rest = {field.name: 0 if "num" in field.name else 0.0 for field in fields(ObjectSummary)}
    return ObjectSummary(**(rest | {"object_id": object_id, "num_frames": 2, "j": j, "f": j / 2}))


def test_kept_masks_of_small_videos_are_the_same_masks(tmp_path):
    original = score()
    save_kept(tmp_path / "new" / "kept.pt", {"a/|b": keep(original)})
    kept = load_kept(tmp_path / "new" / "kept.pt")["a/|b"]
    assert kept == keep(original)
    assert kept.similarities == {1: 0.75, 2: 0.25}
    assert all(torch.equal(masks, original.masks[f]) for f, masks in unpack(kept).items())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kept.pt"]


def test_kept_masks_of_large_videos_are_small_and_lie_at_their_places():
    original = score(size=(1080, 1920))
    kept = keep(original)
    assert kept.shape == (2, 270, 480)
    assert len(kept.packed) < 4000
    for frame, masks in unpack(kept).items():
        expected = original.masks[frame][:, 2::4, 2::4]
        assert (masks != expected).float().mean() < 0.005


class Stub(FolderVideo):
    """A video of a name, a length, a size and a number of objects, without files."""

    def __init__(self, video_id, num_frames, size=(480, 854), num_objects=2):
        Video.__init__(self, video_id, ImageFiles([Path("x")]), ["x"] * num_frames)
        self.size, self.object_ids = size, tuple(range(num_objects))


def test_frames_are_kept_within_bounds_whatever_the_videos():
    short, long = choose_frames([Stub("short", 4), Stub("long", 10_000)]).values()
    assert short == (0, 1, 2, 3)
    assert (len(long), long[0], long[-1]) == (96, 0, 9999)
    many = choose_frames([Stub(str(i), 100) for i in range(500)])
    assert {len(frames) for frames in many.values()} == {8}
    (large,) = choose_frames([Stub("large", 100, (2160, 3840), 60)]).values()
    assert len(large) == 6


def kept_of(**means):
    template = keep(score())
    return {
        name: type(template)(**(template.__dict__ | {"mean": mean})) for name, mean in means.items()
    }


def test_videos_are_ranked_by_what_training_changed():
    before = kept_of(a=0.5, b=0.1, c=0.9, d=0.2)
    assert rank(before, kept_of(a=0.6, b=0.5, c=0.7, d=0.2)) == {
        "worst": "c",
        "median": "a",
        "best": "b",
    }
    assert rank(before, kept_of(a=0.6, b=math.nan, c=0.9)) == {"worst": "c", "best": "a"}
    assert rank({}, kept_of(a=0.6)) == {"only": "a"}
    assert rank({}, kept_of(a=math.nan)) == {}


@pytest.mark.parametrize("clicks", [0, 3])
def test_the_title_of_a_strip_says_how_prompts_were_corrected(data, monkeypatch, clicks):
    titles = []

    def draw(frames, object_ids, prompt_frame_of, predictions, title, *_):
        titles.append(title)
        return np.zeros((1, 1, 3), dtype=np.uint8)

    monkeypatch.setattr(video_pictures, "draw_comparison", draw)
    video = open_dataset(data / "videos", data / "masks")[0]
    prompts = PromptConfig(validation="box", validation_clicks=clicks)
    video_pictures.draw_strip("only", video, kept_of(tuned=0.5), prompts)
    (title,) = titles
    assert title.endswith(", prompts corrected by up to 3 clicks" if clicks else "J&F 0.500")


def test_scores_by_distance_are_means_of_classes(data, tmp_path):
    video = open_dataset(data / "videos", data / "masks")[0]
    name = video.object_ids[0]
    start = video.first_appearance(name)
    values = {start + distance: distance / 10 for distance in (1, 2, 3, 4, 5, 6)}
    scored = VideoScore("v", {name: values}, 9, 1.0, {}, (summary(name, 0.5),))
    entry = describe_score(scored, video)
    assert {key: entry[key] for key in ("J", "F", "JF")} == {"J": 0.5, "F": 0.25, "JF": 0.375}
    found = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.45, 6: 0.6}
    (tmp_path / "scores.json").write_text(json.dumps({"videos": [entry]}))
    fading = read_fading(tmp_path / "scores.json")
    assert {first: values[0] for first, values in fading.items()} == pytest.approx(found)
    assert read_fading(tmp_path / "none.json") == {}


def test_the_data_are_measured_at_the_size_of_the_input(data):
    video = open_dataset(data / "videos", data / "masks")[0]
    times, twice = look_at(video, (48, 64)), look_at(video, (96, 128))
    areas = video.read_masks(0, video.object_ids).flatten(1).sum(1).numpy()
    assert times.sides[:, 0] == pytest.approx(np.sqrt(areas))
    assert twice.sides == pytest.approx(2 * times.sides)
    assert times.step == 1
    assert times.frames.tolist() == list(range(6))


def test_a_movie_is_made_of_the_frames_that_both_have(data):
    video = open_dataset(data / "videos", data / "masks")[0]
    count = len(video.object_ids)
    shown = {
        "zero-shot": keep(score(frames=(0, 2, 4), num_objects=count)),
        "tuned": keep(score(frames=(0, 1, 4), num_objects=count)),
    }
    with av.open(io.BytesIO(make_movie(video, shown))) as container:
        assert len(list(container.decode(video=0))) == 2

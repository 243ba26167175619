"""A prediction from end to end: masks that fit the truth, in every form, and its pictures."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video import ObjectPrompt, export, predict
from sam2_video.cli import main
from sam2_video.data.coco import open_coco
from sam2_video.data.layout import open_dataset
from sam2_video.structures import OBJECT
from tests.prediction.conftest import CHECKPOINT, NUM_FRAMES, SIZE


def read_masks(folder):
    return [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def mean_iou(masks, truth):
    pairs = zip(masks, truth, strict=True)
    return np.mean([(m & t.numpy()).sum() / (m | t.numpy()).sum() for m, t in pairs])


def prompt_of(scene, object_id=1, frame=0):
    return ObjectPrompt(object_id, frame, mask=scene.truth[frame])


@pytest.fixture(scope="module")
def done(scene, tmp_path_factory):
    """Return the folder of a prediction from the command line, of a drawn mask."""
    out = tmp_path_factory.mktemp("done") / "out"
    arguments = [str(scene.video), "--checkpoint", str(CHECKPOINT), "--out", str(out)]
    arguments += ["--mask", str(scene.mask), "--image-size", "128", "128", "--save-frames"]
    assert main(["predict", *arguments]) == 0
    return out


def test_masks_follow_the_object(done, scene):
    masks = read_masks(done / "masks/clip")
    assert len(masks) == NUM_FRAMES
    assert set(np.unique(masks)) == {0, 1}
    assert mean_iou([mask == 1 for mask in masks], scene.truth) > 0.8


def test_what_is_written_reads_back_as_a_data_set(done, scene):
    (coco,) = open_coco(done / "masks.json")
    (directory,) = open_dataset(done / "frames", done / "masks")
    written = read_masks(done / "masks/clip")
    assert coco.video_id == directory.video_id == "clip"
    for video in (coco, directory):
        assert video.object_ids == (1,)
        assert video.num_frames == NUM_FRAMES
        for index in range(NUM_FRAMES):
            (mask,) = video.read_masks(index, [1])
            assert np.array_equal((mask == OBJECT).numpy(), written[index] == 1)
    annotation = json.loads((done / "masks.json").read_text())["annotations"][0]
    rows, columns = np.nonzero(written[0])
    assert annotation["area"] == len(rows)
    assert annotation["bbox"][:2] == [columns.min(), rows.min()]
    assert 0 <= annotation["score"] <= 1


def test_the_movie_plays_everywhere_and_shows_the_masks(done):
    with av.open(str(done / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == NUM_FRAMES
    content = (done / "overlay.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "browsers start at once"
    plain = np.array(Image.open(done / "frames/clip/00003.jpg")).astype(int)
    change = np.abs(frames[3] - plain).max(-1)
    mask = read_masks(done / "masks/clip")[3] == 1
    assert change[mask].mean() > 3 * change[~mask].mean()


def test_the_summary_says_how_it_was_made(done):
    summary = json.loads((done / "prediction.json").read_text())
    assert summary["is_finished"]
    assert (summary["num_frames"], summary["num_tracked"], summary["object_ids"]) == (8, 8, [1])
    assert summary["settings"]["image_size"] == [128, 128]
    assert summary["frames_per_second"] > 0
    assert summary["versions"]["av"] == av.__version__
    assert {path.name for path in done.iterdir()} == {
        *("masks", "frames", "masks.json", "overlay.mp4", "contact_sheet.png", "prediction.json")
    }


def test_a_folder_of_images_in_natural_order_and_a_box(scene, model, tmp_path):
    prompts = tmp_path / "prompts.json"
    box = [float(number) for number in scene.box.split(",")]
    prompts.write_text(json.dumps({"prompts": [{"object_id": 7, "box": box}]}))
    predict(scene.images, model, tmp_path / "out", prompts)
    names = [f"shot {number}" for number in range(8, 16)]
    masks = [np.array(Image.open(tmp_path / f"out/masks/images/{name}.png")) for name in names]
    assert mean_iou([mask == 7 for mask in masks], scene.truth) > 0.75
    (video,) = open_coco(tmp_path / "out/masks.json", scene.images)
    assert video.frame_names == tuple(names)


def test_objects_in_folders_of_their_own_may_overlap(scene, model, tmp_path):
    prompts = [prompt_of(scene, 1), prompt_of(scene, 2)]
    predict(scene.video, model, tmp_path / "out", prompts, per_object=True)
    folders = [tmp_path / "out/masks/clip" / name for name in ("1", "2")]
    one, two = (read_masks(folder) for folder in folders)
    assert len(one) == NUM_FRAMES
    assert all(np.array_equal(a, b) and a.any() for a, b in zip(one, two, strict=True))
    predict(scene.video, model, tmp_path / "map", prompts)
    labels = read_masks(tmp_path / "map/masks/clip")
    assert mean_iou([mask == 1 for mask in labels], scene.truth) > 0.8


@pytest.mark.parametrize(
    ("direction", "start", "tracked"),
    [
        ("forward", None, range(3, 8)),
        ("reverse", None, range(4)),
        ("both", None, range(8)),
        ("forward", 5, range(5, 8)),
        ("both", 5, range(8)),
    ],
)
def test_only_tracked_frames_are_annotated(scene, model, tmp_path, direction, start, tracked):
    prompts = [prompt_of(scene, frame=3)]
    out = tmp_path / "out"
    done = predict(scene.video, model, out, prompts, direction=direction, start=start)
    assert done.num_tracked == len(tracked)
    files = sorted(path.stem for path in (out / "masks/clip").iterdir())
    assert files == [f"{index:05d}" for index in tracked]
    images = json.loads((out / "masks.json").read_text())["images"]
    assert [image["order_in_video"] for image in images] == list(tracked)
    masks = [mask == 1 for mask in read_masks(out / "masks/clip")]
    assert mean_iou(masks, scene.truth[list(tracked)]) > 0.6


def test_both_directions_keep_the_objects_of_each(scene, model, tmp_path):
    empty = torch.zeros(SIZE, dtype=torch.bool)
    empty[2:12, 2:12] = True
    prompts = [prompt_of(scene, 1, 0), ObjectPrompt(2, 4, mask=empty)]
    predict(scene.video, model, tmp_path / "out", prompts, direction="both")
    content = json.loads((tmp_path / "out/masks.json").read_text())
    first = {a["track_id"] for a in content["annotations"] if a["image_id"] == 3}
    assert 1 in first
    labels = read_masks(tmp_path / "out/masks/clip")
    assert (labels[2] == 1).any()
    for object_id in (1, 2):
        shown = [a["image_id"] - 1 for a in content["annotations"] if a["track_id"] == object_id]
        assert shown == [index for index in range(8) if (labels[index] == object_id).any()]


@pytest.mark.parametrize("form", ["meta", "transformers", "safetensors"])
def test_every_form_of_a_checkpoint_predicts_the_same(scene, done, tmp_path, form):
    name = {"meta": "m.pt", "transformers": "folder", "safetensors": "m.safetensors"}[form]
    export(CHECKPOINT, form, tmp_path / name, "micro", SIZE)
    predict(scene.video, tmp_path / name, tmp_path / "out", [prompt_of(scene)])
    summary = json.loads((tmp_path / "out/prediction.json").read_text())
    assert summary["settings"]["image_size"] == [128, 128]
    for mask, other in zip(
        read_masks(tmp_path / "out/masks/clip"), read_masks(done / "masks/clip"), strict=True
    ):
        assert np.array_equal(mask, other)


def test_a_folder_that_is_there_is_kept_unless_it_may_be_replaced(scene, model, tmp_path):
    out = tmp_path / "out"
    predict(scene.video, model, out, [prompt_of(scene)])
    (out / "notes.txt").write_text("mine")
    (out / "masks/clip/99999.png").touch()
    with pytest.raises(ValueError, match=r"out holds a prediction; .* --overwrite"):
        predict(scene.video, model, out, [prompt_of(scene)])
    predict(scene.video, model, out, [prompt_of(scene)], overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert len(read_masks(out / "masks/clip")) == NUM_FRAMES
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/me.jpg").touch()
    with pytest.raises(ValueError, match=r"photos is not empty and no prediction"):
        predict(scene.video, model, tmp_path / "photos", [prompt_of(scene)], overwrite=True)
    with pytest.raises(ValueError, match=r"me.jpg is a file"):
        predict(scene.video, model, tmp_path / "photos/me.jpg", [prompt_of(scene)])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"start": 8}, r"start: got 8; expected a frame of the video, 0 to 7"),
        ({"frame_rate": 5}, r"frame_rate: got 5, but clip is a video file"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    scene, model, tmp_path, settings, says
):
    with pytest.raises(ValueError, match=says):
        predict(scene.video, model, tmp_path / "out", [prompt_of(scene)], **settings)
    assert not (tmp_path / "out").exists()


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Make every file that grows beyond so many bytes a full disk, pytest's own log included."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("limit", [300, 5000])
def test_a_full_disk_is_told_in_a_line_and_leaves_no_half_file(scene, model, tmp_path, limit):
    out = tmp_path / "out"
    says = r"^out: cannot write .*; make room, or give"
    with pytest.raises(ValueError, match=says) as told, limited_files(limit):
        predict(scene.video, model, out, [prompt_of(scene)])
    assert str(out) in str(told.value)
    assert "\n" not in str(told.value)
    assert (out / "masks/clip/00007.png").exists() == (limit == 5000)
    assert not [path for path in out.rglob("*") if ".part" in path.name]
    assert not (out / "overlay.mp4").exists()
    assert json.loads((out / "prediction.json").read_text()) == {"is_finished": False}


def test_mistakes_are_a_line_and_exit_code_1(scene, tmp_path, capsys):
    Path(tmp_path / "text.mp4").write_text("no video")
    common = ["--checkpoint", str(CHECKPOINT), "--out", str(tmp_path / "out")]
    box = ["--box", "1:1,2,30,40"]
    cases = {
        "cannot be read as a video": [str(tmp_path / "text.mp4"), *box],
        "does not exist; expected a video file": [str(tmp_path / "no.mp4"), *box],
        "no prompt: say what to track": [str(scene.video)],
        "no file or folder at gone.pt": [str(scene.video), *box, "--checkpoint", "gone.pt"],
    }
    for says, arguments in cases.items():
        assert main(["predict", *common, *arguments]) == 1
        error = capsys.readouterr().err
        assert says.lower() in error.lower()
        assert len([line for line in error.splitlines() if line.startswith("error:")]) == 1
        assert not (tmp_path / "out").exists()


def test_a_real_video_from_its_end(model, shared_data, tmp_path):
    (video, *_) = sorted((shared_data / "sav/davis_as_sav").glob("*.mp4"))
    prompt = ObjectPrompt(1, 62, box=(60.0, 60.0, 160.0, 180.0))
    done = predict(video, model, tmp_path / "out", [prompt])
    assert (done.num_frames, done.num_tracked) == (66, 4)
    with av.open(str(tmp_path / "out/overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 66
        assert container.streams.video[0].average_rate == 24

"""Tests of video files with masks of some frames: a phone video and one hand-drawn mask."""

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.config import DatasetConfig
from sam2_video.data.check import inspect_data
from sam2_video.data.layout import open_dataset
from sam2_video.data.recognise import recognise_layout
from tests.data.numbered import HEIGHT, WIDTH, read_number, rotate_clockwise, write_numbered

NUM_FRAMES = 20
# 30 and 24 frames a second in turn, as phones record in changing light
TIMES = [33 * i + 9 * (i // 3) for i in range(NUM_FRAMES)]


def draw(path, object_ids=(1,), size=(HEIGHT, WIDTH)):
    mask = np.zeros(size, dtype=np.uint8)
    for object_id in object_ids:
        mask[4 * object_id : 4 * object_id + 3, 5:15] = object_id
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def clip(tmp_path):
    """Return a video file of a changing rate, alone in its folder."""
    path = tmp_path / "data" / "IMG_1234.mp4"
    path.parent.mkdir()
    write_numbered(path, num_frames=NUM_FRAMES, times_ms=TIMES)
    return path


FORMS = {
    "NAME.png beside it": ("IMG_1234.png", None, 0),
    "NAME/00007.png beside it": ("IMG_1234/00007.png", None, 7),
    "masks/NAME.png": ("masks/IMG_1234.png", None, 0),
    "masks/NAME/frame_7.png": ("masks/IMG_1234/frame_7.png", None, 7),
    "masks/mask.png": ("masks/mask.png", None, 0),
    "masks/00012.png": ("masks/00012.png", None, 12),
    "a folder named": ("../drawn/00012.png", "../drawn", 12),
    "a folder above named": ("../drawn/IMG_1234/00012.png", "../drawn", 12),
    "the video's own folder named": ("IMG_1234/00012.png", ".", 12),
    "a mask named": ("../drawn/first.png", "../drawn/first.png", 0),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_file", [True, False])
def test_one_mask_is_found_in_every_natural_place(clip, form, is_file):
    place, masks_path, frame = FORMS[form]
    draw(clip.parent / place)
    masks = None if masks_path is None else clip.parent / masks_path
    (video,) = open_dataset(clip if is_file else clip.parent, masks)
    assert video.video_id == "IMG_1234"
    assert video.num_frames == NUM_FRAMES
    assert video.labelled_frames == (frame,)
    assert video.object_ids == (1,)
    assert [read_number(video.read_frame(i)) for i in (19, 0, 7)] == [19, 0, 7]


def test_a_turned_video_has_masks_as_it_is_seen(clip):
    rotate_clockwise(clip)
    draw(clip.with_suffix(".png"), size=(WIDTH, HEIGHT))
    (video,) = open_dataset(clip)
    assert video.size == video.read_frame(0).shape[1:] == (WIDTH, HEIGHT)
    assert video.read_masks(0, (1,)).sum() == 30
    draw(clip.with_suffix(".png"), size=(HEIGHT, WIDTH))
    with pytest.raises(ValueError, match=r"IMG_1234.png: the mask is 64x96 .* frame is 96x64"):
        open_dataset(clip)[0].read_masks(0, (1,))


def test_it_can_be_checked(clip):
    draw(clip.with_suffix(".png"))
    found = inspect_data(DatasetConfig(data_path=str(clip.parent)), 0, keep_index=False)
    assert [finding.message for finding in found.findings if finding.grade == "error"] == []
    assert found.paths[0].facts["IMG_1234"].object_ids == (1,)


def test_several_videos_each_have_their_masks_beside_folders_of_frames(clip, log):
    folder = clip.parent
    write_numbered(folder / "b.mp4", num_frames=3)
    for place in ("masks/b/0.png", "masks/b/2.png", "masks/IMG_1234/3.png", "masks/a/0.png"):
        draw(folder / place, (1, 2))
    draw(folder / "a" / "0.png")
    (folder / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"video .*/a: no masks"):
        open_dataset(folder)
    videos = open_dataset(folder, folder / "masks")
    assert [video.video_id for video in videos] == ["a", "b", "IMG_1234"]
    assert videos[1].labelled_frames == (0, 2)
    assert "not read: 1 entries (notes.txt)" in " ".join(log)


def test_objects_may_have_folders_of_their_own(clip):
    for name, frame in (("1", 0), ("1", 5), ("2", 5)):
        draw(clip.parent / "masks" / "IMG_1234" / name / f"{frame:05d}.png")
    (video,) = open_dataset(clip)
    assert video.labelled_frames == (0, 5)
    assert [video.is_labelled(0, i) for i in (1, 2)] == [True, False]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["00001.png", "00020.png"], r"00020.png: there is no frame 20: IMG_1234.mp4 has 20; num"),
        (["00001.png", "00020.png"], r"0 to 19 \(these may be counted from 1, as FFmpeg does\)"),
        (["00000.png", "00025.png"], r"there is no frame 25: .* number masks from 0 to 19$"),
        (["a.png", "b.png"], r"a.png: no number in the name, so its frame of IMG_1234.mp4 is un"),
        (["1.png", "001.png"], r"001.png and 1.png are masks of one frame; remove"),
    ],
)
def test_masks_of_no_frame_are_refused(clip, names, message):
    for name in names:
        draw(clip.parent / "masks" / name)
    with pytest.raises(ValueError, match=message):
        open_dataset(clip)


def test_missing_masks_are_told_with_the_places_looked_at(clip):
    with pytest.raises(FileNotFoundError, match=r"no masks: neither a folder IMG_1234 nor an imag"):
        open_dataset(clip)
    problems = {}
    assert open_dataset(clip.parent, problems=problems) == []
    assert "put masks of its frames there" in problems["IMG_1234"]


def test_two_files_of_one_name_are_refused(clip):
    clip.with_suffix(".mov").write_bytes(clip.read_bytes())
    with pytest.raises(ValueError, match=r"IMG_1234.mov and IMG_1234.mp4 are one video by name"):
        open_dataset(clip.parent)


def test_a_film_beside_its_frames_is_not_taken_for_the_video(clip, log):
    for i in range(2):
        draw(clip.parent / f"{i}.png")
        draw(clip.parent / "masks" / f"{i}.png")
    (video,) = open_dataset(clip.parent)
    assert video.num_frames == 2
    assert "not read: 1 entries (IMG_1234.mp4)" in " ".join(log)


def test_it_is_recognised_with_the_reason(clip):
    draw(clip.with_suffix(".png"))
    layout = recognise_layout(clip.parent)
    assert (layout.name, layout.sureness) == ("video_directory", "likely")
    assert layout.reason == "the folder holds video files"
    assert recognise_layout(clip).reason == "the path is a video file"


def test_a_real_video_is_the_same_as_its_folder_of_frames(shared_data, tmp_path):
    root = shared_data / "sav" / "davis_as_sav"
    truth = open_dataset(root, format="objects")[2]
    recording = next(root.rglob(f"{truth.video_id}.mp4"))
    masks = root / "Annotations_6fps"
    (video,) = open_dataset(recording, masks)
    assert video.num_frames == truth.num_frames
    assert video.labelled_frames == truth.labelled_frames
    for index in video.labelled_frames:
        assert video.visible_objects(index) == truth.visible_objects(index)
        ids = video.object_ids
        assert torch.equal(video.read_masks(index, ids), truth.read_masks(index, ids))

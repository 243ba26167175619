"""Tests of stacks as videos: NPZ, NIfTI and TIFF, their depth, their labels and broken files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sam2_video.augmentation import Strengths
from sam2_video.data import stack as stack_module
from sam2_video.data.encoded import want
from sam2_video.data.layout import open_dataset
from sam2_video.data.stack import is_mapped, to_8_bits
from sam2_video.data.stack_npz import NpzStack
from tests.data.stack_builders import (
    SHAPE,
    assert_is_the_stack,
    labels,
    volume,
    write_nifti,
    write_npz,
    write_tiff,
)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_npz_files_are_videos(tmp_path, save, dtype, log):
    write_npz(tmp_path / "d" / "b.npz", volume(dtype), labels(np.int64), save)
    write_npz(tmp_path / "d" / "a.npz", volume(dtype), save=save)
    for path, names in ((tmp_path / "d", ["a", "b"]), (tmp_path / "d" / "b.npz", ["b"])):
        videos = open_dataset(path)
        assert [video.video_id for video in videos] == names
        assert_is_the_stack(videos[-1], dtype)
    assert "layout npz (certain: there are stacks, NPZ files): 2 videos, 10 frames" in " ".join(log)
    said = [line for line in log if "0.5th to the 99.5th percentile" in line]
    assert bool(said) == (dtype != np.uint8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_uncompressed_arrays_are_mapped_and_not_loaded(tmp_path, order):
    images = np.asarray(volume(), order=order)
    path = write_npz(tmp_path / "a.npz", images, save=np.savez)
    array = NpzStack(path, "imgs")._load()
    assert is_mapped(array)
    assert np.array_equal(array, volume())
    compressed = NpzStack(write_npz(tmp_path / "c.npz", images), "imgs")._load()
    assert not is_mapped(compressed)
    assert np.array_equal(compressed, volume())


def test_medsams_files_are_read_beside_their_pickled_objects(tmp_path):
    more = {"boxes": np.zeros((2, 4)), "text_prompts": np.array({"1": "liver"}, dtype=object)}
    path = write_npz(tmp_path / "CT_Liver.npz", **more, spacing=np.ones(3))
    assert_is_the_stack(*open_dataset(path))
    assert pickle.loads(pickle.dumps(open_dataset(path)[0])).num_frames == 5


def test_colours_are_frames_with_a_last_axis_of_three(tmp_path):
    images = np.stack([volume(np.uint8) // 2, volume(np.uint8), 0 * volume(np.uint8)], axis=-1)
    (video,) = open_dataset(write_npz(tmp_path / "a.npz", images))
    assert torch.equal(video.read_frame(3), torch.from_numpy(images[3].transpose(2, 0, 1)))


def test_no_value_wraps_around_and_what_is_no_number_is_black():
    values = np.array([[-40000, -1, 0, 100, 200, 300, 70000]], dtype=np.int64)
    assert to_8_bits(values, (0.0, 200.0)).tolist() == [[0, 0, 0, 128, 255, 255, 255]]
    special = np.array([[np.nan, -np.inf, np.inf, 0.5]])
    assert to_8_bits(special, (0.0, 1.0)).tolist() == [[0, 0, 255, 128]]
    assert to_8_bits(np.full((1, 2), 7), (7.0, 7.0)).tolist() == [[0, 0]]


def test_a_window_is_one_for_all_and_belongs_to_what_is_cached(tmp_path):
    path = write_npz(tmp_path / "a.npz")
    (video,) = open_dataset(path, intensity_window=[0.0, 100.0])
    assert torch.equal(
        video.read_frame(1)[0], torch.from_numpy(to_8_bits(volume()[1], (0.0, 100.0)))
    )
    names = [
        want(open_dataset(path, intensity_window=window), 1, Strengths(), (32, 32))["a"][0][
            1
        ].file_name
        for window in (None, [0.0, 100.0], [0.0, 101.0], [0.0, 100.0])
    ]
    assert len(set(names)) == 3
    assert names[1] == names[3]


def test_stacks_without_labels_are_left_out_aloud(tmp_path, log):
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}.tif", volume(np.uint8))
    with pytest.raises(FileNotFoundError, match=r"no labels in .* for a.tif, b.tif; expected a"):
        open_dataset(tmp_path)
    write_tiff(tmp_path / "masks" / "b.tif", labels())
    assert [video.video_id for video in open_dataset(tmp_path)] == ["b"]
    assert "1 of 2 stacks have no labels (a.tif): left out" in " ".join(log)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


BROKEN = [
    ({"gts": labels()[:4]}, r"a.npz: labels of \[4, 20, 30\] .* for a.npz of \[5, 20, 30\]; expo"),
    ({"images": volume()[0]}, r"an array of the shape \[20, 30\]; expected \[frames, height, wid"),
    ({"images": volume().astype(complex)}, r"values of the type complex128; expected numbers"),
    ({"images": np.array([None])}, r"a.npz: an array of the shape \[1\]"),
]


@pytest.mark.parametrize(("how", "message"), BROKEN)
def test_arrays_that_are_no_video_are_refused(tmp_path, how, message):
    path = write_npz(tmp_path / "a.npz", **how)
    with pytest.raises(ValueError, match=message):
        open_dataset(path)
    problems = {}
    assert open_dataset(tmp_path, problems=problems) == []
    assert list(problems) == ["a"]


def test_wrong_keys_are_named_with_those_expected(tmp_path):
    np.savez(tmp_path / "a.npz", x=volume(), gts=labels())
    with pytest.raises(ValueError, match=r"holds the arrays gts, x; expected images \(imgs, .*gts"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("value", "dtype", "told"),
    [(256, np.int32, "256"), (-1, np.int16, "-1"), (1.5, np.float32, "1.5"), (65537, int, "65537")],
)
def test_labels_that_are_no_small_whole_numbers_are_named(tmp_path, value, dtype, told):
    gts = labels().astype(dtype)
    gts[3, 0, 0] = value
    (video,) = open_dataset(write_npz(tmp_path / "a.npz", gts=gts))
    with pytest.raises(ValueError, match=rf"a.npz, slice 3: the label {told} is no whole number"):
        video.read_masks(3, (1,))
    assert video.visible_objects(2) == (1, 2)


def test_pixels_of_255_are_ignored(tmp_path):
    gts = labels()
    gts[2, 0] = 255
    (video,) = open_dataset(write_npz(tmp_path / "a.npz", gts=gts))
    assert video.object_ids == (1, 2)
    assert (video.read_masks(2, (1, 2))[:, 0] == 255).all()


def test_damaged_files_are_named(tmp_path):
    for save in (np.savez, np.savez_compressed):
        path = write_npz(tmp_path / f"{save.__name__}.npz", save=save)
        cut(path)
        with pytest.raises(ValueError, match=r"savez.*: cannot be read as NPZ \("):
            open_dataset(path)
    write_nifti(tmp_path / "n" / "a_image.nii.gz", volume())
    cut(write_nifti(tmp_path / "n" / "a_mask.nii.gz", volume()))
    (video,) = open_dataset(tmp_path / "n")
    with pytest.raises(ValueError, match=r"a_mask.nii.gz: cannot be read as a NIfTI volume"):
        video.read_masks(0, (1,))
    cut(write_nifti(tmp_path / "m" / "a_image.nii", volume()))
    write_nifti(tmp_path / "m" / "a_mask.nii", labels())
    (video,) = open_dataset(tmp_path / "m")
    with pytest.raises(ValueError, match=r"a_image.nii: cannot be read as a NIfTI volume"):
        video.read_frame(0)
    (tmp_path / "m" / "a_image.nii").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"a_image.nii: cannot be read as a NIfTI volume"):
        open_dataset(tmp_path / "m")


def test_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_module, "MOST_BYTES", 1000)
    (video,) = open_dataset(write_npz(tmp_path / "a.npz"))
    with pytest.raises(ValueError, match=r"can only be unpacked as a whole; save it by numpy"):
        video.read_frame(0)
    (mapped,) = open_dataset(write_npz(tmp_path / "b.npz", save=np.savez))
    assert mapped.read_frame(0).shape == (3, *SHAPE[1:])


def test_few_unpacked_stacks_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_module, "KEPT_BYTES", 2 * volume().nbytes)
    monkeypatch.setattr(stack_module, "_of_process", {})
    for name in "abcd":
        write_npz(tmp_path / f"{name}.npz")
    for video in open_dataset(tmp_path):
        video.read_frame(0)
    (arrays,) = stack_module._of_process.values()
    assert [path.name for path, _ in arrays._arrays] == ["c.npz", "d.npz"]


def test_ct_slices_of_real_data_are_the_same_as_a_stack(shared_data, tmp_path):
    (folder,) = (v for v in open_dataset(shared_data / "davis_edge") if v.video_id == "ct-lesion-1")
    frames = np.stack([folder.read_frame(i).numpy().transpose(1, 2, 0) for i in range(16)])
    gts = np.stack([folder.read_masks(i, (1,))[0].numpy() for i in range(16)])
    (video,) = open_dataset(write_npz(tmp_path / "ct.npz", frames, gts))
    assert folder.labelled_frames == video.labelled_frames
    for i in range(16):
        assert torch.equal(folder.read_frame(i), video.read_frame(i))
        assert folder.visible_objects(i) == video.visible_objects(i)
        assert torch.equal(folder.read_masks(i, (1,)), video.read_masks(i, (1,)))

"""Tests of NIfTI volumes and TIFF files as videos, and of the folders that they lie in."""

import sys

import nibabel
import numpy as np
import pytest
import torch

from sam2_video.data.layout import open_dataset
from sam2_video.data.recognise import recognise_layout
from sam2_video.data.stack import is_mapped, to_8_bits
from tests.data.stack_builders import assert_is_the_stack, labels, volume, write_nifti, write_tiff


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_nnunets_folders_are_videos_of_their_last_axis(tmp_path, ending, log):
    for case in ("liver_2", "liver_10"):
        write_nifti(tmp_path / "imagesTr" / f"{case}_0000{ending}", volume())
        write_nifti(tmp_path / "labelsTr" / f"{case}{ending}", labels())
    write_nifti(tmp_path / "imagesTr" / f"liver_2_0001{ending}", volume())
    write_nifti(tmp_path / "imagesTs" / f"liver_3_0000{ending}", volume())
    (tmp_path / "imagesTr" / f"._liver_2_0000{ending}").write_bytes(b"macOS")
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background"}}')
    for path in (tmp_path, tmp_path / "imagesTr"):
        videos = open_dataset(path)
        assert [video.video_id for video in videos] == ["liver_2", "liver_10"]
        assert_is_the_stack(videos[1])
    assert "first channel is read, *_0000; not read: 1 files" in " ".join(log)
    array = videos[0].frames.stack._load()
    assert is_mapped(array) == (ending == ".nii")


def test_other_ways_to_lay_out_nifti_files(tmp_path):
    write_nifti(tmp_path / "msd" / "imagesTr" / "BRATS_1.nii.gz", volume())
    write_nifti(tmp_path / "msd" / "labelsTr" / "BRATS_1.nii.gz", labels(np.float32))
    write_nifti(tmp_path / "flat" / "p1_image.nii.gz", volume())
    write_nifti(tmp_path / "flat" / "p1_mask.nii.gz", labels())
    write_nifti(tmp_path / "cases" / "p1" / "p1_ct.nii", volume())
    write_nifti(tmp_path / "cases" / "p1" / "p1_seg.nii", labels())
    write_nifti(tmp_path / "apart" / "x" / "p1.nii", volume())
    write_nifti(tmp_path / "apart" / "y" / "p1.nii", labels())
    masks = {"apart": tmp_path / "apart" / "y"}
    for name in ("msd", "flat", "cases", "apart"):
        path = tmp_path / name / "x" if name in masks else tmp_path / name
        (video,) = open_dataset(path, masks.get(name))
        assert video.video_id in ("BRATS_1", "p1")
        assert_is_the_stack(video)


def test_values_are_those_that_the_head_scales_to(tmp_path):
    write_nifti(tmp_path / "a_image.nii", volume(), scale=(2.0, -1000.0))
    write_nifti(tmp_path / "a_mask.nii", labels())
    (video,) = open_dataset(tmp_path, intensity_window=[-1000.0, -600.0])
    stored = nibabel.load(tmp_path / "a_image.nii").get_fdata().T
    expected = to_8_bits(stored[3], (-1000.0, -600.0))
    assert 0 < expected.mean() < 255
    assert torch.equal(video.read_frame(3)[0], torch.from_numpy(expected))


def test_labels_that_lie_elsewhere_in_space_are_named(tmp_path, log):
    write_nifti(tmp_path / "a_image.nii", volume())
    write_nifti(tmp_path / "a_mask.nii", labels(), affine=np.diag([-1, -1, 1, 1]))
    open_dataset(tmp_path)
    assert "a_mask.nii: by its head it lies elsewhere in space than a_image.nii" in " ".join(log)


def test_a_volume_of_several_channels_is_refused(tmp_path):
    write_nifti(tmp_path / "imagesTr" / "a.nii", np.stack([volume(), volume()]))
    write_nifti(tmp_path / "labelsTr" / "a.nii", labels())
    with pytest.raises(ValueError, match=r"shape \[30, 20, 5, 2\]; expected \[x, y, slices\]: gi"):
        open_dataset(tmp_path)


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    write_nifti(tmp_path / "a_image.nii", volume())
    write_nifti(tmp_path / "a_mask.nii", labels())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ValueError, match=r"need the package nibabel; pip install 'sam2-video-trai"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_tiff_files_of_several_pages_are_videos(tmp_path, dtype):
    write_tiff(tmp_path / "images" / "cell.tif", volume(dtype), compression="tiff_lzw")
    write_tiff(tmp_path / "masks" / "cell.tif", labels(np.uint16))
    for path, masks in ((tmp_path, None), (tmp_path / "images", tmp_path / "masks")):
        (video,) = open_dataset(path, masks)
        assert video.video_id == "cell"
        assert_is_the_stack(video, dtype)
    assert recognise_layout(tmp_path).name == "tiff"


def test_tiff_files_of_one_page_stay_frames(tmp_path):
    for i in range(2):
        write_tiff(tmp_path / f"{i}.tif", volume(np.uint8)[i : i + 1])
        write_tiff(tmp_path / "masks" / f"{i}.tif", labels()[1:2])
    (video,) = open_dataset(tmp_path)
    assert recognise_layout(tmp_path).name == "video_directory"
    assert video.object_ids == (1,)

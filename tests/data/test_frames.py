"""Tests of reading frames: order, reduced decoding, orientation, depth, damage."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.data.frames import list_images, read_rgb, read_size

GRADIENT = np.dstack([np.full((101, 203), 40), *np.mgrid[0:101, 0:203]]).astype(np.uint8)


def test_frames_come_in_natural_order(tmp_path):
    for name in ("f10.png", "f9.png", "f1.png", "F2.png"):
        cv2.imwrite(str(tmp_path / name), GRADIENT)
    assert [path.stem for path in list_images(tmp_path)] == ["f1", "F2", "f9", "f10"]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_lossless_frames_are_read_as_rgb(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    Image.fromarray(GRADIENT).save(path)
    assert torch.equal(read_rgb(path), torch.from_numpy(GRADIENT).permute(2, 0, 1))
    assert read_size(path) == (101, 203)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_frames_are_read_as_rgb(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    Image.fromarray(GRADIENT).save(path, quality=95)
    read = read_rgb(path).permute(1, 2, 0).numpy()
    assert np.abs(read.astype(int) - GRADIENT).mean() < 4


@pytest.mark.parametrize(
    ("at_least", "expected"),
    [((51, 102), (51, 102)), ((26, 50), (26, 51)), ((52, 102), (101, 203)), ((9, 9), (13, 26))],
)
def test_jpeg_is_decoded_smaller_but_never_below_the_asked_size(tmp_path, at_least, expected):
    path = tmp_path / "f.jpg"
    Image.fromarray(GRADIENT).save(path)
    assert read_rgb(path, (101, 203), at_least).shape[1:] == expected
    with pytest.raises(ValueError, match=r"expected 101x300 as its video has"):
        read_rgb(path, (101, 300), at_least)


def test_orientation_in_exif_does_not_turn_a_frame_away_from_its_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRADIENT).save(tmp_path / "f.jpg", exif=exif)
    assert read_rgb(tmp_path / "f.jpg").shape[1:] == (101, 203)
    assert read_size(tmp_path / "f.jpg") == (101, 203)
    assert read_rgb(tmp_path / "f.jpg", (101, 203), (50, 100)).shape[1:] == (51, 102)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_frames_of_16_bits_are_scaled_to_8(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    cv2.imwrite(str(path), cv2.cvtColor(GRADIENT, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)
    assert torch.equal(read_rgb(path), torch.from_numpy(GRADIENT).permute(2, 0, 1))
    assert read_size(path) == (101, 203)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_truncated_frames_are_named(tmp_path, suffix, kept):
    path = tmp_path / f"f{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(255, size=(60, 60, 3), dtype="u1")).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"f\{suffix}: the image cannot be read .*again") as error:
        read_rgb(path)
    assert "\n" not in str(error.value)


def test_truncated_jpeg_with_a_whole_thumbnail_is_named(tmp_path):
    thumbnail = cv2.imencode(".jpg", GRADIENT[:20, :20])[1].tobytes()
    exif_like = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = cv2.imencode(".jpg", GRADIENT)[1].tobytes()
    path = tmp_path / "f.jpg"
    path.write_bytes(content[:2] + exif_like + content[2:])
    assert read_rgb(path).shape == (3, 101, 203)
    path.write_bytes(content[:2] + exif_like + content[2:-40])
    with pytest.raises(ValueError, match="truncated"):
        read_rgb(path)


def test_unread_files_are_named_once(tmp_path, log):
    cv2.imwrite(str(tmp_path / "a.png"), GRADIENT)
    for name in ("notes.txt", "b.gif", ".hidden"):
        (tmp_path / name).write_text("x")
    list_images(tmp_path)
    assert len(log) == 1
    assert "b.gif, notes.txt" in log[0]


def test_two_files_of_one_frame_are_refused(tmp_path):
    for name in ("a.png", "a.bmp"):
        cv2.imwrite(str(tmp_path / name), GRADIENT)
    with pytest.raises(ValueError, match=r"a\.bmp and a\.png are one frame"):
        list_images(tmp_path)

"""JSON, tables, lists and images that no reader should follow to the end."""

import json
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from sam2_video.data.coco import open_coco
from sam2_video.data.davis import read_split_lists
from sam2_video.data.frames import read_rgb, read_size
from sam2_video.data.index import load_index
from sam2_video.data.masklets import read_facts
from sam2_video.data.meta_json import read_meta
from sam2_video.data.sav import open_sav
from sam2_video.data.ytvis import open_ytvis
from sam2_video.files import read_numbers
from sam2_video.image_file import open_image
from sam2_video.masks import read_mask_areas, read_mask_image
from sam2_video.training.metrics_log import MetricsCsv

OUTSIDE = (
    "../secret.png",
    "a/../../secret.png",
    "..\\secret.png",
    "/etc/passwd",
    "C:\\secret.png",
    "\\\\host\\share\\secret.png",
    "a\0.png",
    "\ud800.png",
    "x" * 5000 + ".png",
    "link.png",
    "linked/secret.png",
)


def coco(file_name="0.png", side=4, name="v", track_id=1):
    image = {"id": 1, "file_name": file_name, "width": side, "height": side, "video_id": 1}
    annotation = {
        "id": 1,
        "image_id": 1,
        "track_id": track_id,
        "segmentation": [[0, 0, 2, 0, 2, 2]],
    }
    return {
        "images": [image | {"order_in_video": 0}],
        "annotations": [annotation],
        "videos": [{"id": 1, "name": name}],
    }


def ytvis(file_name="0.png", side=4, name="v", track_id=1):
    video = {"id": 1, "file_names": [file_name], "width": side, "height": side, "name": name}
    annotation = {"id": track_id, "video_id": 1, "segmentations": [[[0, 0, 2, 0, 2, 2]]]}
    return {"videos": [video], "annotations": [annotation]}


@pytest.fixture
def folder(tmp_path):
    """A data set beside a file that it must not reach."""
    root = tmp_path / "data"
    root.mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    Image.new("RGB", (4, 4)).save(root / "0.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path, target_is_directory=True)
    return root


READERS = [(coco, open_coco), (ytvis, open_ytvis)]


def write(folder, content):
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("make", "read"), READERS)
@pytest.mark.parametrize("file_name", OUTSIDE)
def test_no_image_outside_the_folder_is_opened(folder, make, read, file_name):
    with pytest.raises(ValueError, match=r"a\.json") as error:
        read(write(folder, make(file_name)))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(("make", "read"), READERS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"side": 10**6},
        {"side": 10**400},
        {"side": 0},
        {"name": "x" * 1000},
        {"name": "a\0b"},
        {"name": "9" * 5000},
        {"track_id": 10**30},
        {"track_id": 2**31},
    ],
    ids=str,
)
def test_sizes_names_and_numbers_that_nothing_can_hold_are_refused(folder, make, read, wrong):
    with pytest.raises(ValueError, match=r"a\.json") as error:
        read(write(folder, make(**wrong)))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(("make", "read"), READERS)
def test_the_same_file_without_the_fault_is_read(folder, make, read):
    (video,) = read(write(folder, make()))
    assert video.visible_areas(0)


@pytest.mark.parametrize(("make", "read"), READERS)
def test_a_size_that_lies_is_found_before_masks_of_it_are_made(folder, make, read, monkeypatch):
    (video,) = read(write(folder, make(side=9000)))
    monkeypatch.setattr("sam2_video.data.coco_video.torch.zeros", None)
    for index in (0, 0):
        with pytest.raises(ValueError, match=r"0\.png: the frame is 4x4 .*of 9000x9000"):
            video.read_masks(index, [1])


def test_a_size_of_masklets_that_lies_is_found_before_masks_of_it_are_made(tmp_path, monkeypatch):
    (tmp_path / "v").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "v/0.png")
    content = {"video_frame_count": 1, "video_height": 9000, "video_width": 9000}
    masks = {"masklet_id": [1], "masklet": [[{"size": [9000, 9000], "counts": "0"}]]}
    (tmp_path / "v_manual.json").write_text(json.dumps(content | masks))
    (video,) = open_sav(tmp_path)
    monkeypatch.setattr("sam2_video.data.masklets.torch.zeros", None)
    with pytest.raises(ValueError, match=r"0\.png: the frame is 4x4 .*of 9000x9000"):
        video.read_masks(0, [1])


def test_what_stands_in_place_of_a_count_is_not_repeated_whole(tmp_path):
    path = tmp_path / "v_manual.json"
    path.write_text(json.dumps({"video_frame_count": ["9" * 40_000]}))
    with pytest.raises(ValueError, match=r"v_manual\.json: `video_frame_count` is ") as told:
        read_facts(path, is_auto=False)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize(
    "read",
    [open_coco, open_ytvis, lambda path: read_facts(path, is_auto=False)],
    ids=["coco", "ytvis", "sav"],
)
@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "[1", "\ufeff{}", "nan"])
def test_json_nested_without_end_is_refused(tmp_path, read, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.json"):
        read(path)
    (tmp_path / "meta.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match=r"meta\.json.*nested too deeply"):
        read_meta(tmp_path)


def test_an_object_of_meta_json_has_a_number_that_can_be_held(tmp_path):
    (tmp_path / "meta.json").write_text(
        json.dumps({"videos": {"v": {"objects": {"9" * 5000: {}}}}})
    )
    with pytest.raises(ValueError, match=r"meta\.json, video v: object '999"):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    "text", ["step\n1,2\n", "step\nfast\n", 'step\n"a\n', "step\n" + "9" * 200_000 + "\n"]
)
def test_a_table_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.csv: no table of numbers"):
        read_numbers(path)


@pytest.mark.parametrize("text", ["epoch\n1\n", "step,epoch\n,1\n", "step\nnan\n", "step\ninf\n"])
def test_a_run_does_not_go_on_from_a_table_without_steps(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.csv: a row has no `step`"):
        MetricsCsv(path, first_step=1)


def test_a_list_of_videos_that_is_no_text_is_named(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "ImageSets").mkdir()
    for name in ("train", "val"):
        (tmp_path / f"ImageSets/{name}.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"train\.txt: no list of videos"):
        read_split_lists(tmp_path)


def png(width, height, extra=b""):
    """A PNG whose header may lie about its pixels."""

    def chunk(name, body):
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((4 + 1) * 4))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"zTXt", b"k\0\0" + extra) if extra else b"")
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        png(100_000, 100_000),
        png(2**31 - 1, 2**31 - 1),
        png(4, 4, zlib.compress(bytes(10**8), 9)),
        png(4, 4)[:40],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n",
        b"",
    ],
    ids=["10^10 pixels", "2^62 pixels", "100 MB of text", "cut off", "PostScript", "empty"],
)
def test_an_image_that_unfolds_is_never_unfolded(tmp_path, content):
    path = tmp_path / "m.png"
    path.write_bytes(content)
    readers = [lambda: read_mask_image(path, (4, 4)), lambda: read_mask_areas(path, (4, 4))]
    # of a frame the text is passed over
    if b"zTXt" not in content:
        readers += [lambda: read_size(path), lambda: read_rgb(path)]
    for read in readers:
        with pytest.raises(ValueError, match=r"m\.png"):
            read()


@pytest.mark.parametrize("size", [(8, 4), (3000, 3000)])
def test_a_mask_of_another_size_is_refused_before_its_pixels_are_read(tmp_path, size, monkeypatch):
    path = tmp_path / "m.png"
    Image.new("L", size).save(path)
    loaded = []
    with open_image(path) as image:
        kind = type(image)
    monkeypatch.setattr(kind, "load", loaded.append)
    with pytest.raises(ValueError, match="but its frame is 4x4"):
        read_mask_image(path, (4, 4))
    assert loaded == []


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"((((",
        b"\xff",
    ],
)
def test_an_index_that_lies_is_as_good_as_none(tmp_path, header):
    path = tmp_path / "i.npz"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("version.npy", head + b"0")
    assert load_index(path) == {}

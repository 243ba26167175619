"""Test that every tree that docs/data.md shows is read by the command below it."""

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sam2_video.cli.check import run_check
from sam2_video.data.frames import IMAGE_SUFFIXES
from tests.data import test_sav
from tests.data.numbered import HEIGHT, WIDTH, write_numbered
from tests.data.stack_builders import labels, volume, write_nifti, write_npz, write_tiff

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
MASKS = ("masks", "drawn", "Annotations", "Annotations_6fps", "labelsTr")
POLYGON = [[10, 10, 40, 10, 40, 40, 10, 40]]


def shown_trees() -> list[tuple[str, list[str], str]]:
    """Return the layout, the tree and the command of each example of the page."""
    found, layout, blocks = [], "coco", re.split(r"^```\n", PAGE.read_text(), flags=re.MULTILINE)
    for place, block in enumerate(blocks):
        if place % 2 == 0:
            if "## Recipes" in block:
                layout = "coco"
            named = re.findall(r"^### .*: `(\w+)`", block, flags=re.MULTILINE)
            layout = named[-1] if named else layout
        elif block.startswith("sam2-video check"):
            found.append((layout, blocks[place - 2].split(), block.strip()))
    return found


TREES = shown_trees()


def write_image(path: Path) -> None:
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8))


def write_mask(path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[10:40, 10:40] = 1
    Image.fromarray(mask).save(path)


def describe(json_path: Path, images: list[Path], *, has_videos: bool) -> dict:
    """Return a COCO or a YTVIS file of images."""
    size = {"width": WIDTH, "height": HEIGHT}
    if json_path.parent.name == "ytvis":
        names = [f"{path.parent.name}/{path.name}" for path in images]
        videos = [{"id": 1, "file_names": names, **size}]
        return {
            "videos": videos,
            "annotations": [{"id": 1, "video_id": 1, "segmentations": [POLYGON for _ in names]}],
        }
    listed = []
    for number, path in enumerate(images):
        inside = path.is_relative_to(json_path.parent)
        name = str(path.relative_to(json_path.parent)) if inside else path.name
        video = {"video_id": 1, "order_in_video": number} if has_videos else {}
        listed.append({"id": number, "file_name": name, **size, **video})
    regions = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": POLYGON}
        for i in range(len(images))
    ]
    return {"images": listed, "annotations": regions}


STACKS = {
    ".npz": lambda path, _: write_npz(path),
    ".gz": write_nifti,
    ".tif": write_tiff,
}


def build(root: Path, tree: list[str], command: str) -> int:
    """Write the files of a tree, and return how many of them are images that are no masks."""
    paths = [root / line for line in tree]
    films = {path.with_suffix("") for path in paths if path.suffix == ".mp4"}
    images = []
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = bool({*path.parts} & {*MASKS}) or "_mask" in path.name
        if path.suffix in STACKS:
            STACKS[path.suffix](path, labels() if is_mask else volume())
        elif path.suffix == ".mp4":
            write_numbered(path, num_frames=45)
        elif path.suffix.lower() in IMAGE_SUFFIXES and (is_mask or path.with_suffix("") in films):
            write_mask(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            write_image(path)
            images.append(path)
    for path in paths:
        if path.suffix in (".json", ".txt"):
            path.write_text(text_of(path, images, has_videos="--video-pattern" not in command))
    return len(images)


def text_of(path: Path, images: list[Path], *, has_videos: bool) -> str:
    if path.suffix == ".txt":
        return "bear"
    if path.stem.endswith("_manual"):
        return json.dumps(test_sav.content())
    if path.name in ("meta.json", "dataset.json"):
        return "{}"
    return json.dumps(describe(path, images, has_videos=has_videos))


def test_the_page_shows_every_layout():
    layouts = {layout for layout, _, _ in TREES}
    assert layouts == {
        "video_directory",
        "davis",
        "objects",
        "sav",
        "coco",
        "ytvis",
        "npz",
        "nifti",
        "tiff",
        "images",
    }
    assert len(TREES) > 15


@pytest.mark.parametrize("number", range(len(TREES)), ids=[command for _, _, command in TREES])
def test_each_tree_is_read_by_its_command(tmp_path, monkeypatch, number):
    layout, tree, command = TREES[number]
    num_images = build(tmp_path, tree, command)
    monkeypatch.chdir(tmp_path)
    flags = ["--no-index", "--json", "found.json", "--image-size", "64", "96"]
    run_check([*shlex.split(command)[2:], *flags])
    found = json.loads((tmp_path / "found.json").read_text())
    errors = [one["message"] for one in found["findings"] if one["grade"] == "error"]
    assert [one for one in errors if "1 video with objects, which cannot be split" not in one] == []
    assert [one["layout"] for one in found["sets"]] == [layout]
    videos = [video for one in found["sets"] for video in one["videos"]]
    assert all(video["objects"] for video in videos)
    # no image is shown that is not read; of single images those without a mask are left out
    if num_images and layout != "images":
        assert sum(video["frames"] for video in videos) == num_images

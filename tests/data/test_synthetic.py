"""Tests of the generated videos and of the two forms in which they are written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video.data.synthetic import SyntheticVideo, render_video, write_dataset
from sam2_video.masks import decode_rle

SIZE = (64, 96)
SEEDS = range(30)


@pytest.fixture(scope="module")
def videos() -> list[SyntheticVideo]:
    return [render_video(seed, num_frames=12, size=SIZE, num_objects=3) for seed in SEEDS]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "set"
    write_dataset(folder, seed=1, num_videos=4, num_frames=6, size=SIZE, num_objects=(1, 3))
    return folder


def read_label_map(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def test_one_seed_gives_one_video_and_another_seed_another() -> None:
    first, again, other = (render_video(seed, 4, SIZE, 2) for seed in (7, 7, 8))
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.frames, other.frames)
    assert not torch.equal(first.masks, other.masks)


def test_global_random_state_plays_no_part() -> None:
    torch.manual_seed(0)
    first = render_video(3, 2, SIZE, 2)
    torch.manual_seed(1)
    assert torch.equal(first.frames, render_video(3, 2, SIZE, 2).frames)


def test_shapes_and_values(videos: list[SyntheticVideo]) -> None:
    for video in videos:
        assert video.frames.shape == (12, 3, *SIZE)
        assert video.masks.shape == (3, 12, *SIZE)
        assert video.masks.unique().tolist() == [0, 1]
        assert video.frames.float().std() > 10


def test_masks_are_disjoint(videos: list[SyntheticVideo]) -> None:
    assert all(int(video.masks.sum(dim=0).max()) == 1 for video in videos)


def test_objects_have_a_learnable_size(videos: list[SyntheticVideo]) -> None:
    shares = torch.cat([video.masks.float().mean(dim=(2, 3)).flatten() for video in videos])
    visible = shares[shares > 0]
    assert visible.max() < 0.25
    assert 0.03 < visible.median() < 0.12


@pytest.mark.parametrize("num_objects", [1, 3, 8])
def test_some_object_is_visible_on_the_first_frame(num_objects: int) -> None:
    for seed in range(60):
        video = render_video(seed, 6, SIZE, num_objects)
        assert int(video.masks[:, 0].sum(dim=(1, 2)).max()) >= 30, f"seed {seed}"


def test_some_objects_leave_and_come_back_and_some_come_late(videos: list[SyntheticVideo]) -> None:
    visible = torch.cat([video.masks.any(dim=-1).any(dim=-1) for video in videos])
    changes = visible.int().diff(dim=1)
    came_back = visible[:, 0] & (changes == -1).any(dim=1) & visible[:, -1]
    came_late = ~visible[:, 0] & visible.any(dim=1)
    assert 5 <= int(came_back.sum()) <= 45
    assert 1 <= int(came_late.sum()) <= 20


def test_objects_hide_one_another_on_their_way(videos: list[SyntheticVideo]) -> None:
    masks = torch.cat([video.masks for video in videos])
    areas = masks.sum(dim=(2, 3)).float()
    touches_border = masks[..., (0, -1)].any(-1).any(-1) | masks[:, :, (0, -1)].any(-1).any(-1)
    is_hidden = (areas > 0) & (areas < areas.median(dim=1, keepdim=True).values / 2)
    assert (is_hidden & ~touches_border).any(dim=1).sum() >= 8


def test_objects_move_and_deform(videos: list[SyntheticVideo]) -> None:
    moved = [(v.masks[:, 0] != v.masks[:, -1]).any(dim=-1).any(dim=-1) for v in videos]
    assert torch.stack(moved).float().mean() > 0.95


@pytest.mark.parametrize("size", [(48, 48), (40, 100)])
def test_a_single_frame_is_a_video(size: tuple[int, int]) -> None:
    video = render_video(0, 1, size, 1)
    assert video.frames.shape == (1, 3, *size)
    assert video.masks.any()


@pytest.mark.parametrize(
    ("num_frames", "size", "num_objects"),
    [(0, SIZE, 1), (1, SIZE, 0), (1, SIZE, 255), (1, (8, 64), 1)],
)
def test_impossible_videos_are_refused(
    num_frames: int, size: tuple[int, int], num_objects: int
) -> None:
    with pytest.raises(ValueError, match="a synthetic video needs"):
        render_video(0, num_frames, size, num_objects)


def test_the_coco_file_and_the_video_directory_hold_the_same_masks(dataset: Path) -> None:
    coco = json.loads((dataset / "coco.json").read_text(encoding="utf-8"))
    annotations: dict[int, list[dict]] = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    assert len(coco["images"]) == 4 * 6 == len(list(dataset.glob("masks/*/*.png")))
    for image in coco["images"]:
        path = dataset / image["file_name"]
        with Image.open(path) as frame:
            assert frame.size == (image["width"], image["height"]) == SIZE[::-1]
        labels = read_label_map(dataset / "masks" / path.parent.name / f"{path.stem}.png")
        from_coco = np.zeros_like(labels)
        for annotation in annotations[image["id"]]:
            assert isinstance(annotation["segmentation"]["counts"], str)
            mask = decode_rle(annotation["segmentation"]).numpy()
            assert annotation["area"] == mask.sum()
            left, top, width, height = annotation["bbox"]
            assert mask[top : top + height, left : left + width].sum() == mask.sum()
            assert mask[:, left].any()
            assert mask[top + height - 1].any()
            from_coco[mask] = annotation["instance_id"]
        assert np.array_equal(from_coco, labels)


def test_coco_names_every_frame_and_object_once(dataset: Path) -> None:
    coco = json.loads((dataset / "coco.json").read_text(encoding="utf-8"))
    places = {(image["video_id"], image["order_in_video"]) for image in coco["images"]}
    assert places == {(video["id"], order) for video in coco["videos"] for order in range(6)}
    identities = {(a["image_id"], a["track_id"]) for a in coco["annotations"]}
    assert len(identities) == len(coco["annotations"])
    assert {a["category_id"] for a in coco["annotations"]} == {c["id"] for c in coco["categories"]}


def test_a_data_set_is_a_function_of_its_seed(dataset: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        write_dataset(tmp_path / str(seed), seed, 4, 6, SIZE, (1, 3))
    files = sorted(path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file())
    same = [(dataset / f).read_bytes() == (tmp_path / "1" / f).read_bytes() for f in files]
    assert all(same)
    assert (dataset / "coco.json").read_bytes() != (tmp_path / "2" / "coco.json").read_bytes()


def test_an_existing_folder_is_refused_and_a_broken_one_is_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / ".set.partial" / "videos" / "video_009"
    leftover.mkdir(parents=True)
    write_dataset(tmp_path / "set", 1, 1, 2, SIZE, (1, 1))
    assert [path.name for path in tmp_path.rglob("video_*")] == ["video_000"] * 2
    with pytest.raises(FileExistsError, match="delete it or name another"):
        write_dataset(tmp_path / "set", 1, 1, 2, SIZE, (1, 1))

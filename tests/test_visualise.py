"""Tests of the pictures of a run: what they show, and that no data breaks them."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sam2_video.data.layout import open_dataset
from sam2_video.data.video import Video
from sam2_video.structures import PromptKind
from sam2_video.visualise import OBJECT_COLOURS, comparison, draw_comparison, draw_curves
from sam2_video.visualise.curves import curves_figure
from sam2_video.visualise.labels import label_extent, place_labels, place_prompt_labels
from sam2_video.visualise.paint import STRIPES, fit_masks, object_colour, paint_masks
from sam2_video.visualise.sheet import Cell, LegendItem, label_size, text_size

GREY = 128
HEIGHT, WIDTH = 90, 160


class MemoryVideo(Video):
    """Grey frames; `labels[frame]` is a label map, or None where the frame is unlabelled."""

    def __init__(self, labels: Sequence[Tensor | None]) -> None:
        names = [f"some/long/folder/of/frames/{i:05d}.jpg" for i in range(len(labels))]
        super().__init__("video", [Path(name) for name in names], names)
        self._labels = labels

    def is_labelled(self, index: int, object_id: int | None = None) -> bool:
        return self._labels[index] is not None

    def read_frame(self, index: int, max_size: tuple[int, int] | None = None) -> Tensor:
        return torch.full((3, *self.size), GREY, dtype=torch.uint8)

    def _label_map(self, index: int) -> Tensor:
        labels = self._labels[index]
        assert labels is not None
        return labels

    def _read_visible(self, index: int) -> tuple[int, ...]:
        return tuple(v for v in self._label_map(index).unique().tolist() if v not in (0, 255))

    def _read_masks(self, index: int, object_ids: Sequence[int]) -> Tensor:
        labels = self._label_map(index)
        masks = torch.stack([labels == name for name in object_ids]).to(torch.uint8)
        return masks.masked_fill(labels == 255, 255)

    def _read_size(self) -> tuple[int, int]:
        height, width = next(x for x in self._labels if x is not None).shape
        return height, width


def two_objects(*, is_swapped: bool = False) -> Tensor:
    """Return object 1 on the left and object 2 on the right, or the other way round."""
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[30:60, 10:50] = 2 if is_swapped else 1
    labels[30:60, 110:150] = 1 if is_swapped else 2
    return labels


def masks_of(labels: Tensor) -> Tensor:
    return torch.stack([labels == 1, labels == 2])


def many_objects(count: int, size: tuple[int, int]) -> Tensor:
    """Return objects on a grid of 10 columns."""
    labels = torch.zeros(size, dtype=torch.uint8)
    height, width = size[0] // math.ceil(count / 10), size[1] // 10
    for i in range(count):
        top, left = i // 10 * height, i % 10 * width
        labels[top : top + height - 1, left : left + width - 1] = i + 1
    return labels


class Recorded:
    """The arguments of the last sheet that was to be written."""

    def __call__(
        self,
        path: Path,
        title: str,
        legend: Sequence[LegendItem],
        column_titles: Sequence[tuple[str, str]],
        row_titles: Sequence[str],
        cells: Sequence[Sequence[Cell]],
    ) -> None:
        self.legend = [item.text for item in legend]
        self.row_titles = [title.replace("\n", " ") for title in row_titles]
        self.column_titles = column_titles
        self.cells = dict(zip(self.row_titles, cells, strict=True))

    def captions(self, row: str) -> list[str]:
        return [cell.caption for cell in self.cells[row]]

    def labels(self, row: str) -> list[list[str]]:
        return [[label.text for label in cell.labels] for cell in self.cells[row]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    record = Recorded()
    monkeypatch.setattr(comparison, "write_sheet", record)
    return record


def draw(video: Video, frames: Sequence[int], path: Path = Path("unused"), **changes: Any) -> None:
    first = {name: video.first_appearance(name) for name in video.object_ids}
    arguments: dict[str, Any] = {
        "prompt_frame_of": first,
        "before": None,
        "after": None,
        "similarities": None,
        "title": "video",
    }
    draw_comparison(path, video, frames=frames, **(arguments | changes))


def pixels_of(picture: np.ndarray, row: int) -> np.ndarray:
    """Return (y, x) of the pixels that have an object's colour exactly."""
    return np.argwhere((picture == object_colour(row)).all(axis=-1))


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.mark.parametrize("num_frames", [1, 8])
@pytest.mark.parametrize("size", [(32, 32), (400, 20), (20, 400), (2160, 3840), (640, 360)])
def test_sheet_is_a_png_of_sane_size_for_frames_of_any_size(
    tmp_path: Path, size: tuple[int, int], num_frames: int
) -> None:
    labels = torch.zeros(size, dtype=torch.uint8)
    labels[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    video = MemoryVideo([labels] * num_frames)
    masks = dict.fromkeys(range(num_frames), (labels == 1)[None])
    path = tmp_path / "new" / "sheet.png"
    draw(video, range(num_frames), path, before=masks, after=masks, title="a title " * 40)
    height, width, _ = read_png(path).shape
    assert 200 < height < 2200
    assert 600 < width < 2500
    assert [entry.name for entry in path.parent.iterdir()] == ["sheet.png"]


def test_objects_have_their_colour_at_their_place_in_the_written_file(tmp_path: Path) -> None:
    video = MemoryVideo([two_objects()])
    swapped = {0: masks_of(two_objects(is_swapped=True))}
    draw(video, [0], tmp_path / "sheet.png", after=swapped)
    picture = read_png(tmp_path / "sheet.png")
    last_row = picture[-320:]
    above = picture[len(picture) // 2 - 150 : len(picture) // 2 + 150]
    assert pixels_of(above, 0)[:, 1].mean() < pixels_of(above, 1)[:, 1].mean() - 100
    assert pixels_of(last_row, 0)[:, 1].mean() > pixels_of(last_row, 1)[:, 1].mean() + 100


def test_a_mask_is_a_translucent_fill_and_a_crisp_contour() -> None:
    picture = np.full((60, 80, 3), GREY, np.uint8)
    masks = np.zeros((2, 60, 80), bool)
    masks[1, 20:40, 20:60] = True
    painted = paint_masks(picture, masks)
    mixed = (np.array(object_colour(1)) + GREY) / 2
    assert np.abs(painted[30, 40] - mixed).max() <= 1
    assert tuple(painted[20, 40]) == object_colour(1)
    assert tuple(painted[5, 5]) == (GREY,) * 3
    outline = paint_masks(picture, masks, is_filled=False)
    assert tuple(outline[30, 40]) == (GREY,) * 3
    assert tuple(outline[20, 40]) == object_colour(1)
    assert (picture == GREY).all()


def test_object_colours_differ_and_cycle() -> None:
    assert len(set(OBJECT_COLOURS)) == len(OBJECT_COLOURS) >= 7
    assert object_colour(len(OBJECT_COLOURS)) == object_colour(0)


def test_an_object_keeps_its_colour_where_another_is_absent(recorded: Recorded) -> None:
    only_second = two_objects()
    only_second[only_second == 1] = 0
    draw(MemoryVideo([two_objects(), only_second]), [0, 1])
    both, second = recorded.cells["truth"]
    assert len(pixels_of(both.picture, 0)) > 100
    assert len(pixels_of(both.picture, 1)) > 100
    assert len(pixels_of(second.picture, 0)) == 0
    assert len(pixels_of(second.picture, 1)) > 100
    assert recorded.captions("truth") == ["2 of 2 visible", "1 of 2 visible"]


def test_an_object_below_a_pixel_is_still_seen() -> None:
    masks = torch.zeros(2, 2160, 3840, dtype=torch.bool)
    masks[0, 1000, 2000] = True
    fitted = fit_masks(masks, (270, 480))
    assert np.argwhere(fitted[0]).tolist() == [[125, 250]]
    assert not fitted[1].any()


def test_rows_without_predictions_are_left_out(recorded: Recorded) -> None:
    video, masks = MemoryVideo([two_objects()]), {0: masks_of(two_objects())}
    draw(video, [0])
    assert recorded.row_titles == ["frame and prompt", "truth"]
    draw(video, [0], after=masks)
    assert recorded.row_titles == ["frame and prompt", "truth", "after training"]
    draw(video, [0], before=masks, after=masks)
    assert recorded.row_titles[2:] == ["before training", "after training"]


def test_an_unlabelled_frame_says_so_and_shows_no_object(recorded: Recorded) -> None:
    masks = {frame: masks_of(two_objects()) for frame in range(2)}
    draw(MemoryVideo([two_objects(), None]), [0, 1], after=masks)
    cell = recorded.cells["truth"][1]
    assert [label.text for label in cell.labels] == ["no label"]
    assert len(pixels_of(cell.picture, 0)) == 0
    assert recorded.captions("after training") == ["prompt given", "no label"]


def test_ignored_pixels_are_hatched_and_explained(recorded: Recorded) -> None:
    labels = two_objects()
    draw(MemoryVideo([labels]), [0])
    assert not any("ignored" in text for text in recorded.legend)
    labels[70:90] = 255
    draw(MemoryVideo([labels]), [0])
    assert any("ignored" in text for text in recorded.legend)
    region = recorded.cells["truth"][0].picture[-40:]
    assert set(region.flatten().tolist()) == set(STRIPES)


def test_each_prompt_is_drawn_on_its_own_frame_only(recorded: Recorded) -> None:
    only_first = two_objects()
    only_first[only_first == 2] = 0
    masks = {frame: masks_of(two_objects()) for frame in range(3)}
    draw(MemoryVideo([only_first, two_objects(), two_objects()]), [0, 1, 2], after=masks)
    first, second, third = (cell.picture for cell in recorded.cells["frame and prompt"])
    assert len(pixels_of(first, 0)) > 100
    assert len(pixels_of(first, 1)) == 0
    assert len(pixels_of(second, 0)) == 0
    assert len(pixels_of(second, 1)) > 100
    assert (third == GREY).all()
    assert recorded.captions("frame and prompt") == ["1 mask prompt", "1 mask prompt", ""]
    assert recorded.labels("frame and prompt") == [["prompt 1"], ["prompt 2"], []]
    assert recorded.legend == ["object 1 (prompt: frame 0)", "object 2 (prompt: frame 1)"]


def test_a_single_object_is_a_prompt_without_a_number(recorded: Recorded) -> None:
    labels = two_objects()
    labels[labels == 2] = 0
    draw(MemoryVideo([labels]), [0])
    assert recorded.labels("frame and prompt") == [["prompt"]]
    assert recorded.labels("truth") == [[]]


@pytest.mark.parametrize("kind", [PromptKind.BOX, PromptKind.POINT])
def test_boxes_and_points_are_drawn_where_they_were_given(
    recorded: Recorded, kind: PromptKind
) -> None:
    draw(MemoryVideo([two_objects()]), [0], prompt_kind=kind, num_points=2)
    cell = recorded.cells["frame and prompt"][0]
    scale = cell.picture.shape[1] / WIDTH
    places = pixels_of(cell.picture[: round(62 * scale)], 0) / scale
    assert cell.caption == f"2 {kind} prompts"
    assert places.min(axis=0).tolist() >= [28, 8]
    assert places.max(axis=0).tolist() <= [62, 52]
    spread = places.max(axis=0) - places.min(axis=0)
    assert (spread > 25).all() == (kind is PromptKind.BOX)


def test_similarity_is_computed_of_objects_prompted_earlier(recorded: Recorded) -> None:
    late = two_objects()
    late[late == 2] = 0
    half = masks_of(two_objects())
    half[0, :, 30:] = False
    masks = dict.fromkeys(range(4), half)
    empty = torch.zeros_like(late)
    draw(MemoryVideo([empty, late, two_objects(), two_objects()]), [0, 1, 2, 3], after=masks)
    assert recorded.captions("after training") == [
        "before the prompt",
        "prompt given",
        "J 0.50",
        "J 0.75",
    ]


def test_given_similarities_are_shown_and_missing_ones_are_not(recorded: Recorded) -> None:
    masks = {frame: masks_of(two_objects()) for frame in range(3)}
    given: Mapping[str, Mapping[int, float]] = {"before": {1: 0.25}, "after": {1: math.nan}}
    video = MemoryVideo([two_objects()] * 3)
    draw(video, [0, 1, 2], before=masks, after=masks, similarities=given)
    assert recorded.captions("before training") == ["prompt given", "J 0.25", "not scored"]
    assert recorded.captions("after training") == ["prompt given", "not scored", "not scored"]


def test_columns_are_named_by_frame_and_file(recorded: Recorded) -> None:
    draw(MemoryVideo([two_objects()] * 3), [0, 2])
    names = [f"some/long/folder/of/frames/{i:05d}.jpg" for i in (0, 2)]
    assert recorded.column_titles == [("frame 0", names[0]), ("frame 2", names[1])]


@pytest.mark.parametrize("place", [place_labels, place_prompt_labels])
@pytest.mark.parametrize("seed", range(5))
def test_labels_lie_inside_the_picture_and_never_on_one_another(seed: int, place: Any) -> None:
    random = np.random.default_rng(seed)
    masks = np.zeros((3 + 10 * seed, 120, 200), bool)
    for mask in masks:
        top, left = random.integers(0, 110), random.integers(0, 190)
        mask[top : top + random.integers(1, 60), left : left + random.integers(1, 60)] = True
    labels = place(masks, [str(i + 1) for i in range(len(masks))], 12)
    assert labels
    extents = [label_extent(label, 12) for label in labels]
    for left, top, right, bottom in extents:
        assert left >= -0.5
        assert top >= -0.5
        assert right <= 200.5
        assert bottom <= 120.5
    for a, b in combinations(extents, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_label_beside_its_object_does_not_cover_another() -> None:
    masks = np.zeros((2, 120, 200), bool)
    masks[0, 60:64, 100:104] = True
    masks[1, 10:60, 80:130] = True
    small = next(label for label in place_labels(masks, ["1", "2"], 12) if label.text == "1")
    assert small.y > 64


def test_sixty_objects_are_drawn_and_listed(tmp_path: Path, recorded: Recorded) -> None:
    labels = many_objects(60, (240, 400))
    video = MemoryVideo([labels, labels])
    masks = dict.fromkeys(range(2), torch.stack([labels == i + 1 for i in range(60)]))
    draw(video, [0, 1], after=masks)
    assert recorded.legend == [str(i + 1) for i in range(60)]
    assert recorded.captions("frame and prompt") == ["60 mask prompts", ""]
    assert recorded.captions("after training") == ["prompt given", "J 1.00"]
    size = label_size(text_size(480, 2))
    assert len(recorded.labels("truth")[1]) == 60, f"labels of {size} px fit into 48 x 48 px"


def test_the_legend_of_sixty_objects_wraps_inside_the_sheet(tmp_path: Path) -> None:
    labels = many_objects(60, (120, 200))
    draw(MemoryVideo([labels]), [0], tmp_path / "sheet.png")
    picture = read_png(tmp_path / "sheet.png")
    assert picture.shape[1] < 800
    assert (picture[:, -4:] == 255).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": []}, "0 frames and 2 objects"),
        ({"after": {}}, r"frame 0: masks after training: got none, expected \(2, 90, 160\)"),
        ({"before": {0: torch.zeros(1, 90, 160, dtype=torch.bool)}}, r"before .* got \(1, 90"),
        ({"prompt_frame_of": {7: 0}}, r"prompts of objects \[7\]; its objects are \[1, 2\]"),
        ({"prompt_frame_of": {1: 1}, "frames": [1]}, "without their annotation"),
        ({"similarities": {"best": {}}}, r"\['best'\]; expected \['before', 'after'\]"),
    ],
)
def test_what_does_not_fit_the_video_is_refused(changes: dict[str, Any], message: str) -> None:
    video = MemoryVideo([two_objects(), None])
    with pytest.raises(ValueError, match=message):
        draw(video, changes.pop("frames", [0]), **changes)


def test_a_failed_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")

    def fail(image: Image.Image, target: Path, **options: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        draw(MemoryVideo([two_objects()]), [0], path)
    assert path.read_bytes() == b"old"


def test_real_clips_with_void_and_without_labels_are_drawn(
    tmp_path: Path, shared_data: Path
) -> None:
    videos = {video.video_id: video for video in open_dataset(shared_data / "davis_edge")}
    for name, frames in (("tennis-void255", [0, 1]), ("caps", [0, 20, 33])):
        video = videos[name]
        empty = torch.zeros(len(video.object_ids), *video.size, dtype=torch.bool)
        path = tmp_path / f"{name}.png"
        draw(video, frames, path, before=dict.fromkeys(frames, empty))
        assert len(pixels_of(read_png(path), 0)) > 500


def metric_rows(num_steps: int, validate_every: int | None = 10) -> list[dict[str, float | int]]:
    rows = []
    for step in range(num_steps):
        row: dict[str, float | int] = {
            "step": step,
            "epoch": step // 10,
            "train/loss": 2.0 / (step + 1),
            "train/dice": 1.0 / (step + 1),
            "train/temporal": 0.0,
            "train/J": step / num_steps,
            "lr-AdamW/pg1": 1e-4,
            "lr-AdamW/pg2": 1e-4,
        }
        if validate_every and step % validate_every == 0:
            row["val/J"] = 0.2 + step / num_steps / 2
        rows.append(row)
    return rows


def legends(rows: Sequence[Mapping[str, float | int]]) -> list[str]:
    texts = []
    for axes in curves_figure(rows).axes:
        legend = axes.get_legend()
        texts += [text.get_text() for text in legend.get_texts()] if legend else ["empty panel"]
    return texts


@pytest.mark.parametrize(
    "rows",
    [
        metric_rows(100),
        metric_rows(25, validate_every=None),
        metric_rows(1),
        [],
        [{"step": 5, "train/loss": math.nan}, {"step": 6, "val/J": 0.5}],
    ],
    ids=["long", "no validation", "one row", "no rows", "holes"],
)
def test_curves_are_drawn_of_any_rows(tmp_path: Path, rows: list[dict[str, float | int]]) -> None:
    path = tmp_path / "new" / "curves.png"
    draw_curves(path, rows)
    height, width, _ = read_png(path).shape
    assert 800 < height < 1600
    assert 800 < width < 1600
    assert [entry.name for entry in path.parent.iterdir()] == ["curves.png"]


def test_the_untrained_score_the_best_and_the_last_are_named() -> None:
    rows = metric_rows(40)
    rows[30]["val/J"] = 0.1
    assert {"before training: 0.200", "best: 0.450 at step 20", "last: 0.100"} <= set(legends(rows))


def test_a_first_validation_after_step_0_is_not_called_untrained() -> None:
    rows = metric_rows(40)
    del rows[0]["val/J"]
    assert not any("before training" in text for text in legends(rows))


def test_what_was_not_logged_is_said() -> None:
    assert legends([]) == ["empty panel"] * 3
    assert "no validation" in legends(metric_rows(5, validate_every=None))
    assert "temporal (not above 0)" in legends(metric_rows(5))


def test_equal_learning_rates_are_one_curve_and_different_ones_are_named() -> None:
    rows = metric_rows(5)
    assert "all parameters" in legends(rows)
    rows[3]["lr-AdamW/pg2"] = 2e-4
    assert {"lr-AdamW/pg1", "lr-AdamW/pg2"} <= set(legends(rows))


def test_curves_go_by_step_even_if_rows_do_not() -> None:
    losses = curves_figure(list(reversed(metric_rows(20)))).axes[0]
    total = next(line for line in losses.lines if line.get_label() == "total")
    assert np.asarray(total.get_xdata()).tolist() == list(range(20))
    assert np.asarray(total.get_ydata())[0] == 2.0


def test_matplotlib_settings_stay_as_they_were(tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    draw_curves(tmp_path / "curves.png", metric_rows(3))
    assert dict(mpl.rcParams) == settings

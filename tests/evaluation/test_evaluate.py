"""A data set is evaluated: the numbers are those of the written masks, and so are the files."""

import json
import math
import shutil

import pytest
from PIL import Image

from sam2_video import evaluate, score
from sam2_video.colours import mask_palette
from sam2_video.data.layout import open_dataset
from sam2_video.evaluation import run
from sam2_video.inference import write_mask
from sam2_video.model.export import export
from tests.evaluation.conftest import NAMES, numbers


def test_score_gives_the_same_numbers_for_the_written_label_maps(whole, data):
    scored = score(data / "masks", whole.out / "masks")
    assert numbers(scored) == numbers(whole.report)
    assert 0 < whole.report.overall.jf < 1
    assert [video.video for video in whole.report.videos] == NAMES


@pytest.mark.parametrize("count", [False, True])
def test_score_gives_the_same_numbers_for_the_written_objects(evaluated, data, tmp_path, count):
    found = evaluated(
        data_path=data / "coco.json",
        masks_path=None,
        out=tmp_path / "out",
        save_masks=True,
        count_first_and_last=count,
        prompt="box",
    )
    first = found.report.videos[0]
    folders = sorted(p.name for p in (tmp_path / "out/masks/video_000").iterdir())
    assert folders == sorted(str(item.object_id) for item in first.objects)
    truth = tmp_path / "truth"
    # the truth of the same objects, apart as the prediction is
    evaluated_truth(data, truth)
    scored = score(truth, tmp_path / "out/masks", count_first_and_last=count)
    assert numbers(scored) == numbers(found.report)


def evaluated_truth(data, folder):
    """Write the masks of the COCO file in the layout of objects."""
    for video in open_dataset(data / "coco.json"):
        for index in range(video.num_frames):
            masks = video.read_masks(index, video.object_ids)
            for name, mask in zip(video.object_ids, masks, strict=True):
                path = folder / video.video_id / str(name) / f"{video.frame_names[index]}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_mask(path, mask.numpy(), mask_palette({1: 0}))


def test_real_videos_with_absences_and_few_labels_score_as_their_masks(
    evaluated, shared_data, tmp_path
):
    names = ["caps", "ct-lesion-2", "dogs-jump-crop", "tennis-void255"]
    found = evaluated(
        data_path=shared_data / "davis_edge",
        masks_path=None,
        videos=names,
        out=tmp_path / "out",
        save_masks=True,
    )
    truth = shared_data / "davis_edge/Annotations/480p"
    scored = score(truth, tmp_path / "out/masks", missing="skip")
    assert numbers(scored) == numbers(found.report)
    assert found.report.overall.num_returning_objects > 0
    assert found.report.overall.num_absent_frames > 0
    # two annotated frames, of which neither counts
    assert [item.video for item in found.report.left_out] == ["tennis-void255"]


def test_the_folder_holds_json_csv_and_a_table(whole):
    content = json.loads((whole.out / "scores.json").read_text())
    assert content == json.loads(json.dumps(whole.as_dict()))
    assert content["overall"]["JF"] == whole.report.overall.jf
    assert content["settings"]["image_size"] == [64, 64]
    assert content["frames"] == whole.num_frames == 18
    rows = (whole.out / "scores.csv").read_text().splitlines()
    table = (whole.out / "scores.txt").read_text().splitlines()
    num_objects = whole.report.overall.num_objects
    assert len(rows) == len(table) == 1 + 1 + 3 + num_objects
    assert f"{100 * whole.report.overall.jf:.1f}" in table[1]


@pytest.mark.parametrize("prompt", ["mask", "box", "point"])
def test_every_prompt_can_be_asked_for(evaluated, prompt):
    found = evaluated(prompt=prompt, num_points=2, videos=["video_000"])
    assert math.isfinite(found.report.overall.jf)
    assert found.out is None


def test_what_was_exported_scores_the_same(evaluated, checkpoint, whole, tmp_path):
    export(checkpoint, "transformers", tmp_path / "folder", "micro", (64, 64))
    again = evaluated(checkpoint=tmp_path / "folder", image_size=None, videos=["video_001"])
    assert again.settings.image_size == (64, 64)
    assert again.settings.weights == whole.settings.weights
    expected = numbers(whole.report)["videos"]["video_001"]
    assert numbers(again.report)["videos"]["video_001"] == expected


def test_videos_are_chosen_by_name_or_by_a_list(evaluated, tmp_path):
    (tmp_path / "val.txt").write_text("video_002\n\nvideo_000\n")
    found = evaluated(videos=[str(tmp_path / "val.txt")])
    assert [video.video for video in found.report.videos] == ["video_000", "video_002"]
    with pytest.raises(ValueError, match=r"no video 'video_01'; perhaps you meant video_0"):
        evaluated(videos=["video_01"])


def test_objects_without_a_score_are_noted(evaluated, data, tmp_path):
    masks = shutil.copytree(data / "masks/video_000", tmp_path / "masks/video_000")
    with Image.open(masks / "frame_005.png") as image:
        last = image.copy()
    last.putpalette(mask_palette({}))
    last.putpixel((0, 0), 77)
    last.save(masks / "frame_005.png")
    found = evaluated(masks_path=tmp_path / "masks", videos=["video_000"])
    assert len(found.report.notes) == 1
    assert "without a score: 77" in found.report.notes[0]


def test_settings_that_make_no_sense_are_refused(evaluated, monkeypatch):
    with pytest.raises(ValueError, match="processes: got 0"):
        evaluated(processes=0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="accelerator: got gpu"):
        evaluated(accelerator="gpu")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        evaluated(data_path="nowhere")
    assert run.evaluate is evaluate

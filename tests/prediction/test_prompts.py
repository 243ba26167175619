"""Prompts: every spelling that is understood, and every mistake told, all at once."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_video import ObjectPrompt
from sam2_video.masks import encode_rle
from sam2_video.prediction.prompt_file import read_prompt_file
from sam2_video.prediction.prompts import collect_prompts
from sam2_video.prediction.requests import PromptRequest, from_prompt, read_flags

SIZE = (40, 60)
NUM_FRAMES = 5


def collect(masks=(), boxes=(), points=(), negatives=()):
    return collect_prompts(read_flags(masks, boxes, points, negatives), SIZE, NUM_FRAMES)


def write_mask(path, *, mode="L", **areas):
    values = np.zeros(SIZE, dtype=np.uint8)
    for place, (value, rows) in enumerate((int(key[1:]), rows) for key, rows in areas.items()):
        values[:rows, 10 * place : 10 * place + 5] = value
    image = Image.fromarray(values)
    (image if mode == "L" else image.convert(mode)).save(path)
    return path


def test_boxes_and_clicks_of_an_object_on_a_frame_are_one_prompt():
    prompts = collect(
        boxes=["2:10,5,30,25.5", "1,2,3,4@3"],
        points=["2:15,10", "3:1, 1@4"],
        negatives=["2:0,0"],
    )
    assert prompts == [
        ObjectPrompt(
            2, 0, box=(10.0, 5.0, 30.0, 25.5), points=[(15.0, 10.0), (0.0, 0.0)], labels=[1, 0]
        ),
        ObjectPrompt(1, 3, box=(1.0, 2.0, 3.0, 4.0)),
        ObjectPrompt(3, 4, points=[(1.0, 1.0)], labels=[1]),
    ]


def test_each_value_of_a_label_map_is_an_object(tmp_path):
    path = write_mask(tmp_path / "later.png", v3=10, v7=20)
    prompts = collect([f"2={path}"])
    assert [(prompt.object_id, prompt.frame) for prompt in prompts] == [(3, 2), (7, 2)]
    assert [int(prompt.mask.sum()) for prompt in prompts] == [50, 100]


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA"])
def test_a_drawing_in_black_and_white_is_object_1(tmp_path, mode):
    path = write_mask(tmp_path / "drawn.png", mode=mode, v255=10)
    (prompt,) = collect([str(path)])
    assert (prompt.object_id, int(prompt.mask.sum())) == (1, 50)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, r"^no prompt: say what to track"),
        ({"points": ["1:60,5"]}, r"--point 1:60,5: the point \(60, 5\) is outside .* 60 x 40"),
        ({"points": ["1:-1,5"]}, r"the point \(-1, 5\) is outside"),
        ({"boxes": ["1:1,1,61,5"]}, r"leaves the frame, which is 60 x 40"),
        ({"boxes": ["1:10,10,5,20"]}, r"is empty; .* \(not width and height\)"),
        ({"boxes": ["1:1,1,5,5@5"]}, r"frame 5 is not in the video, .* frames 0 to 4"),
        ({"boxes": ["0:1,1,5,5"]}, r"object 0: expected a number from 1 to 254"),
        ({"boxes": ["1:1,1,5,5", "1:2,2,6,6"]}, r"object 1 on frame 0 .*: 2 boxes; expected one"),
        ({"negatives": ["1:5,5"]}, r"object 1 on frame 0 .*: no point on the object"),
        ({"boxes": ["1:1,1,5"]}, r"--box 1:1,1,5: expected OBJECT:X0,Y0,X1,Y1"),
        ({"negatives": ["a:5,5"]}, r"--negative-point a:5,5: expected OBJECT:X,Y"),
        ({"masks": ["gone.png"]}, r"--mask gone.png: gone.png: no such mask"),
    ],
)
def test_each_mistake_is_told(given, says):
    with pytest.raises(ValueError, match=says):
        collect(**given)


def test_mistakes_with_masks(tmp_path):
    drawn = write_mask(tmp_path / "drawn.png", v1=10)
    empty = write_mask(tmp_path / "empty.png")
    large = tmp_path / "large.png"
    Image.fromarray(np.ones((80, 60), dtype=np.uint8)).save(large)
    soft = tmp_path / "soft.png"
    Image.fromarray(np.arange(40 * 60).reshape(SIZE).astype(np.uint8)).save(soft)
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", SIZE[::-1]).save(photo)
    cases = {
        empty: r"empty.png: the mask is empty",
        large: r"the mask is 80x60 \(height x width\) but its frame is 40x60",
        soft: r"a drawing with soft edges, not a mask",
        photo: r"a JPEG mask has lost its exact values",
    }
    for path, says in cases.items():
        with pytest.raises(ValueError, match=says):
            collect([str(path)])
    with pytest.raises(ValueError, match=r"object 1 on frame 0 .*: a mask and something else"):
        collect([str(drawn)], boxes=["1:1,1,5,5"])


def test_all_mistakes_come_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"^3 prompts cannot be used:") as told:
        collect(["gone.png"], boxes=["1:1,1,90,5", "2:1,1,5,5@9", "3:1,1,5,5"])
    assert len(str(told.value).splitlines()) == 4


def test_a_file_of_prompts(tmp_path):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[:4, :5] = True
    (tmp_path / "masks").mkdir()
    write_mask(tmp_path / "masks/first.png", v5=10, v6=20)
    (tmp_path / "prompts.json").write_text(
        json.dumps(
            {
                "prompts": [
                    {"object_id": 1, "box": [1, 2, 3, 4]},
                    {"object_id": 2, "frame": 3, "points": [[5, 6], [7, 8]], "labels": [1, 0]},
                    {"object_id": 3, "points": [[5, 6]]},
                    {"object_id": 4, "mask": dict(encode_rle(mask))},
                    {"mask": "masks/first.png"},
                    {"mask": "masks/first.png", "object_id": 5, "frame": 2},
                ]
            }
        )
    )
    requests = read_prompt_file(tmp_path / "prompts.json")
    found = collect_prompts(requests, SIZE, NUM_FRAMES)
    by_place = {(prompt.frame, prompt.object_id): prompt for prompt in found}
    assert list(by_place) == [(0, 1), (0, 3), (0, 4), (0, 5), (0, 6), (2, 5), (3, 2)]
    assert by_place[0, 1].box == (1, 2, 3, 4)
    assert by_place[3, 2].labels == [1, 0]
    assert by_place[0, 3].labels == [1]
    assert torch.equal(by_place[0, 4].mask.bool(), mask)
    assert int(by_place[2, 5].mask.sum()) == 50


def test_mistakes_of_a_file_are_told_at_once_with_their_places(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(
        json.dumps(
            {
                "prompts": [
                    {"object_id": 1, "box": [1, 2, 3]},
                    {"object_id": 0, "points": [[1, "x"]]},
                    {"object_id": 1, "points": [[1, 2]], "labels": [2]},
                    {"object": 1, "frame": -1, "mask": 7},
                ]
            }
        )
    )
    with pytest.raises(ValueError, match=r"prompts cannot be used") as told:
        read_prompt_file(path)
    text = str(told.value)
    for place in (
        "prompts[0].box[3]: is missing",
        "prompts[1].object_id:",
        "prompts[1].points[0][1]:",
        "prompts[2].labels[0]:",
        "prompts[3].frame:",
        "prompts[3].object: no such key",
        "prompts[3].mask:",
    ):
        assert f"{path}: {place}" in text, text
    assert "_RunLengths" not in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", r"prompts.json: no valid JSON"),
        ("[]", r"the file: .*, got '\[\]'"),
        ("{}", r"prompts.json: prompts: is missing"),
        ('{"prompts": [{"object_id": 1}]}', r"prompts\[0\]: got no mask, box or points"),
        ('{"prompts": [{"box": [1,2,3,4]}]}', r"prompts\[0\]: `object_id` is missing"),
        (
            '{"prompts": [{"object_id": 1, "points": [[1, 2]], "labels": [1, 0]}]}',
            r"got 1 points and 2 labels",
        ),
        (
            '{"prompts": [{"object_id": 1, "mask": {"size": [40, 60], "counts": "zz"}}]}',
            r"the RLE is damaged",
        ),
        ('{"prompts": [{"object_id": 1, "mask": "m.png", "box": [1,2,3,4]}]}', r"a mask beside"),
    ],
)
def test_each_mistake_of_a_file(tmp_path, content, says):
    (tmp_path / "prompts.json").write_text(content)
    with pytest.raises(ValueError, match=says):
        read_prompt_file(tmp_path / "prompts.json")


def test_prompts_of_python_are_held_against_the_video_too():
    wrong = ObjectPrompt(1, 0, mask=torch.ones(30, 30))
    requests = [from_prompt(wrong), from_prompt(ObjectPrompt(2, 9, box=(1.0, 1.0, 5.0, 5.0)))]
    with pytest.raises(ValueError, match=r"2 prompts cannot") as told:
        collect_prompts(requests, SIZE, NUM_FRAMES)
    assert "prompt of object 1 on frame 0: the mask is 30x30" in str(told.value)
    with pytest.raises(ValueError, match=r"the mask of object 1 is empty"):
        collect_prompts([PromptRequest("here", 0, 1, mask=torch.zeros(SIZE))], SIZE, NUM_FRAMES)

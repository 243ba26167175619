"""What a report says, read out of its HTML."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sam2_video.config import TrainConfig, TrainerConfig
from sam2_video.configuration import save
from sam2_video.report import embedded, write_report
from tests.report.conftest import write_picture

MakeRun = Callable[..., Path]
BEFORE = {"a": 0.25, "b": 0.5, "c": 0.75}
AFTER = {"a": 0.5, "b": 0.5, "c": 0.625}
VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """The text of a page by element, its tags, and whether all of them are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data


def read(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def headline(page: Page) -> str:
    return page.texts["h1"][0]


def all_text(page: Page) -> str:
    return " ".join(page.texts["body"][0].split())


def test_a_run_that_helped_says_by_how_much(make_run: MakeRun) -> None:
    page = read(make_run(BEFORE, AFTER))
    assert headline(page) == "Training helped: J rose by 0.200."
    assert "zero-shot J 0.400" in all_text(page).replace("J0", "J 0")
    assert "Of 3 videos, 1 became better and 1 worse." in all_text(page)
    assert "step 20" in all_text(page)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            (0.4, 0.3, 0.2),
            "Training did not help: no validation was better than zero-shot (0.400).",
        ),
        ((0.4, 0.402, 0.3), "Training hardly changed J: +0.002."),
        ((None, 0.3, 0.2), "The best J is 0.300; none was measured before training."),
        ((0.4,), "Training has not been validated yet."),
        ((None, None), "Nothing was validated, so whether training helped is not known."),
        ((), "Nothing was validated, so whether training helped is not known."),
    ],
)
def test_the_headline_says_plainly_what_happened(
    make_run: MakeRun, values: tuple[float | None, ...], said: str
) -> None:
    scores = (BEFORE, AFTER) if any(values) else ({}, {})
    assert headline(read(make_run(*scores, values))) == said


def test_weights_that_became_worse_at_last_are_told(make_run: MakeRun) -> None:
    text = all_text(read(make_run(BEFORE, AFTER, (0.4, 0.6, 0.3))))
    assert "The last weights (0.300) are worse than zero-shot." in text


def test_an_interrupted_run_says_how_it_goes_on(make_run: MakeRun) -> None:
    folder = make_run(BEFORE, AFTER, is_finished=False)
    text = all_text(read(folder))
    assert f"The run was interrupted at step 20: go on with --resume {folder}" in text
    assert "Environment" not in text


def test_a_run_that_left_only_its_configuration_has_a_report(tmp_path: Path) -> None:
    save(TrainConfig(), tmp_path / "config.yaml")
    assert headline(read(tmp_path)).startswith("Nothing was validated")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no run in .* has no config.yaml"):
        write_report(tmp_path)


def test_the_table_has_a_line_a_video_with_both_scores(make_run: MakeRun) -> None:
    page = read(make_run({"only": 0.25}, {"only": 0.5}))
    values = [
        attrs["data-value"] for tag, attrs in page.tags if tag == "td" and "data-value" in attrs
    ]
    assert values == ["1", "0.25", "0.5", "0.25"]


def test_a_video_that_cannot_be_scored_has_no_value(make_run: MakeRun) -> None:
    page = read(make_run({"a": None, "b": 0.5}, {"a": None, "b": 0.5}))
    values = [
        attrs["data-value"] for tag, attrs in page.tags if tag == "td" and "data-value" in attrs
    ]
    assert values[:4] == ["0", "", "", ""]


HOSTILE = "</td><script>alert(1)</script><img src=http://x/y onerror=alert(2)>'\""


def test_names_of_videos_cannot_become_parts_of_the_page(make_run: MakeRun) -> None:
    page = read(make_run({HOSTILE: 0.25}, {HOSTILE: 0.5}))
    assert len(page.texts["script"]) == 1
    assert HOSTILE in all_text(page)
    assert not any("onerror" in attrs for _, attrs in page.tags)


def test_the_page_asks_for_nothing(make_run: MakeRun) -> None:
    page = read(make_run(BEFORE, AFTER, num_pictures=3))
    links = [
        value
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "poster", "action", "data")
    ]
    assert len(links) == 5
    assert all(value is not None and value.startswith("data:") for value in links)
    style = page.texts["style"][0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_only_what_fits_is_inside_and_that_is_said(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(BEFORE, AFTER, num_pictures=3)
    write_picture(folder / "pictures" / "data.png", (900, 1600))
    monkeypatch.setattr(embedded, "MOST_BYTES", 700_000)
    page = read(folder)
    shown = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert shown == [embedded.CAPTIONS["validation_worst"], embedded.CAPTIONS["clips_first"]]
    assert "Some pictures had no room here" in all_text(page)
    assert (folder / "report.html").stat().st_size < 800_000


def test_settings_that_differ_come_first_and_all_are_there(make_run: MakeRun) -> None:
    config = replace(TrainConfig(), seed=7, trainer=TrainerConfig(lr=5e-4))
    page = read(make_run(BEFORE, AFTER, config=config))
    tables = page.texts["table"][1:]
    changed = re.findall(r"(trainer\.lr|seed)\s*([\w.-]+)", tables[0])
    assert sorted(name for name, _ in changed) == ["seed", "trainer.lr"]
    assert "dataset.batch_size" not in tables[0]
    assert "dataset.batch_size" in tables[1]


def test_warnings_are_told_once_with_all_their_lines(make_run: MakeRun) -> None:
    items = read(make_run(BEFORE, AFTER)).texts["li"]
    warnings = [text for text in items if "again" in text or "warning" in text]
    assert warnings == ["two lines\nof <b>warning</b>", "again"]


def test_speed_memory_and_machine_are_told(make_run: MakeRun) -> None:
    text = all_text(read(make_run(BEFORE, AFTER)))
    for part in ("1:01:11", "1.50 clips/s", "2.25 GB", "2.13.0", "<i>GPU</i>"):
        assert part in text


def test_a_report_is_the_same_each_time(make_run: MakeRun) -> None:
    folder = make_run(BEFORE, AFTER, num_pictures=3)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_j_and_f_together_decide_where_they_are_measured(make_run: MakeRun) -> None:
    folder = make_run(BEFORE, AFTER)
    rows = "step,epoch,val/F,val/J,val/JF\n0,0,0.5,0.3,0.4\n9,1,0.9,0.5,0.7\n"
    (folder / "metrics.csv").write_text(rows)
    page = read(folder)
    assert headline(page) == "Training helped: J&F rose by 0.300."
    chart = next(a["aria-label"] for t, a in page.tags if t == "svg" and a.get("role") == "img")
    assert chart == "Scores: zero-shot, validation J&F, validation J, validation F"

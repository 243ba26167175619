"""Tests of the curves of a run."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pytest

from sam2_video.visualise import draw_curves
from sam2_video.visualise.curves import curves_figure


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
def test_curves_are_drawn_of_any_rows(rows: list[dict[str, float | int]]) -> None:
    height, width, _ = draw_curves(rows).shape
    assert 800 < height < 1600
    assert 800 < width < 1600


def test_every_score_is_drawn_and_j_and_f_together_decide() -> None:
    rows = metric_rows(40)
    for row in rows:
        if "val/J" in row:
            row |= {"val/F": row["val/J"] + 0.2, "val/JF": row["val/J"] + 0.1}
    found = set(legends(rows))
    assert {f"{name} of validation videos" for name in ("J&F", "J", "F")} <= found
    assert "zero-shot: 0.300" in found


def test_the_untrained_score_the_best_and_the_last_are_named() -> None:
    rows = metric_rows(40)
    rows[30]["val/J"] = 0.1
    rows[35]["val/J"] = math.nan
    assert {"zero-shot: 0.200", "best: 0.450 at step 20", "last: 0.100"} <= set(legends(rows))


def test_a_first_validation_after_step_0_is_not_called_untrained() -> None:
    rows = metric_rows(40)
    del rows[0]["val/J"]
    assert not any("zero-shot" in text for text in legends(rows))


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


def test_matplotlib_settings_stay_as_they_were() -> None:
    settings = dict(mpl.rcParams)
    draw_curves(metric_rows(3))
    assert dict(mpl.rcParams) == settings

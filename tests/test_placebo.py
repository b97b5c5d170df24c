"""The benchmark of placebos: that it judges by the study's functions, and names what misses."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import placebo
from benchmarks.placebo_drawn import Cell, auroc_study, cells, drawn_patients
from benchmarks.placebo_judged import measure
from benchmarks.placebo_page import missed


def row(**changed: Any) -> dict[str, Any]:
    good = {
        "cell": {"score": "mean", "patients": 30, "seeds": 3, "training_sd": 1.0, "arm_sd": 0.0,
                 "humps": 1, "positives": 0},
        "shown": [0.05, 0.7, 0.9], "placebo_shown": 0.05, "covered": 0.95, "covered_single": 0.95,
        "two_arms_shown": [0.05, 0.1, 0.2], "two_arms_covered": 0.95,
        "two_arms_covered_single": 0.95, "oracle": [0.75, 0.95], "error": 1.1,
    }  # fmt: skip
    return good | changed


def test_every_kind_of_study_that_is_asked_for_is_there() -> None:
    every = cells()
    means = {
        (c.patients, c.seeds, c.training_sd, c.arm_sd, c.humps) for c in every if not c.positives
    }
    assert len(means) == 4 * 2 * 4 * 2 * 2
    aurocs = [cell for cell in every if cell.score == "auroc"]
    assert {cell.training_sd for cell in aurocs} == {0.0, 0.5, 1.0, 2.0}
    assert {(cell.patients, cell.positives) for cell in aurocs} >= {(500, 100), (100, 50), (40, 20)}


def test_a_mean_and_an_auroc_are_measured() -> None:
    mean = measure(Cell("mean", 10, 3, 1.0, 5.0, 2), 60)
    auroc = measure(Cell("auroc", 40, 3, 1.0, positives=20), 40)
    for found in (mean, auroc):
        assert len(found["shown"]) == len(found["two_arms_shown"]) == 3
        assert 0 <= found["shown"][0] <= 0.2
        assert found["shown"][0] <= found["shown"][1] <= found["shown"][2] <= 1
        assert found["covered"] > 0.8
        assert found["covered_single"] > 0.8
    # sqrt(2 (1 + 25 / 10) / 3 + 25 / 10): what the z test is told.
    assert mean["error"] == pytest.approx(np.sqrt(2 * 3.5 / 3 + 2.5))


def test_drawn_aurocs_are_those_asked_for() -> None:
    studies, truths = auroc_study(
        Cell("auroc", 400, 5, 1.0, positives=200), np.random.default_rng(0), 60
    )
    for arms, truth in zip(studies, truths, strict=True):
        assert arms[1].scores.mean() == pytest.approx(truth, abs=0.006)
    assert truths == pytest.approx([0.9, 0.93, 0.95], abs=0.002)
    patients = drawn_patients(np.random.default_rng(1), (200_000,), 2)
    assert (patients.mean(), patients.std()) == pytest.approx((0, 1), abs=0.02)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"shown": [0.07, 0.7, 0.9]}, "0.070 shown, at most 0.06"),
        ({"two_arms_shown": [0.07, 0.1, 0.2]}, "0.070 shown of two arms"),
        ({"covered": 0.92}, "0.920 of differences covered, 0.93 asked"),
        ({"two_arms_covered_single": 0.9}, "0.900 of single arms of two arms covered"),
        ({"shown": [0.0, 0.0, 0.0]}, "power at 3 points 0.00, 0.75 with all known"),
    ],
)
def test_what_misses_its_bar_is_named(changed: dict[str, Any], sentence: str) -> None:
    assert missed(row()) == []
    assert any(found.startswith(sentence) for found in missed(row(**changed)))


@pytest.mark.parametrize(("shown", "status"), [(0.05, 0), (0.07, 1)])
def test_the_status_is_1_where_a_figure_is_missed(
    shown: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    auroc = row()["cell"] | {"score": "auroc", "positives": 10}
    rows = [row(shown=[shown, 0.7, 0.9]), row(cell=auroc)]
    monkeypatch.setattr(placebo, "run", lambda studies, workers: rows)
    out, page = tmp_path / "placebo.json", tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["placebo.py", "--out", str(out), "--page", str(page)])
    with pytest.raises(SystemExit) as raised:
        placebo.main()
    assert raised.value.code == status
    assert ("MISSED" in capsys.readouterr().out) == bool(status)
    assert json.loads(out.read_text()) == rows
    assert "| 30 | 0 | 1 | 3 | 1 | " in page.read_text()

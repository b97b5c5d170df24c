"""Curves of interrupted runs, and the time left."""

from pathlib import Path

import pytest

from display.numbers import duration
from studies.run.attempt import JobOutcome
from studies.run.curves import MOST_POINTS, read_curves
from studies.run.progress import StudyProgress


def test_a_resumed_run_counts_every_step_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "images_seen,epoch,name,value\n8,0,train/loss,1.0\n16,0,train/loss,0.9\n"
        "16,0,train/loss,0.8\n8,0,val/iou,nan\n24,1,val/iou,0.5\n32,1,train/lo"
    )
    assert read_curves(path) == {"train/loss": [(8, 1.0), (16, 0.8)], "val/iou": [(24, 0.5)]}
    assert read_curves(tmp_path / "none.csv") == {}


def test_long_curves_are_averaged_not_sampled(tmp_path: Path) -> None:
    rows = [f"{i},0,train/loss,{i % 2}" for i in range(10 * MOST_POINTS)]
    path = tmp_path / "metrics.csv"
    path.write_text("\n".join(["images_seen,epoch,name,value", *rows]))
    curve = read_curves(path)["train/loss"]
    assert len(curve) == MOST_POINTS
    assert {value for _, value in curve} == {0.5}
    assert curve[-1][0] == 10 * MOST_POINTS - 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (34, "34 s"), (320, "5 min 20 s"), (3 * 3600 + 300, "3 h 05 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_time_left_goes_by_kind_and_by_workers() -> None:
    lines: list[str] = []
    kinds = {"a": "light", "b": "light", "c": "heavy", "d": "heavy"}
    progress = StudyProgress(kinds, 2, lines.append)
    assert "after the first run" in progress.time_left()
    progress.end(JobOutcome("a", "done", 10.0), "done")
    progress.end(JobOutcome("c", "done", 60.0), "done")
    # b 10 s and d 60 s on two workers: d alone decides.
    assert progress.time_left() == "about 60 s left"
    assert lines[0] == "[1/4] a: done (10 s) · about 15 s left"


def test_time_left_is_the_sum_over_the_jobs_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some running, some failed before they began, and a kind of which none has ended yet."""
    now = [100.0]
    monkeypatch.setattr("studies.run.progress.time.monotonic", lambda: now[0])
    kinds = {f"{kind} {number}": kind for kind in ("a", "b", "c") for number in range(4)}
    progress = StudyProgress(kinds, 2, lambda _: None)
    progress.begin("a 0")
    progress.begin("b 0")
    progress.end(JobOutcome("a 0", "done", 20.0), "done")
    progress.begin("a 1")
    progress.end(JobOutcome("b 0", "done", 60.0), "done")
    progress.begin("b 1")
    progress.end(JobOutcome("b 2", "failed", 0.0), "failed")  # its generator had failed
    now[0] += 25.0
    # a 1 is late by 5 s, b 1 has 35 s left; 20 s for each a, 60 for b 3, and the mean for each c.
    left = 0 + 35 + 2 * 20 + 60 + 4 * 40
    assert progress.time_left() == f"about {duration(left / 2)} left"

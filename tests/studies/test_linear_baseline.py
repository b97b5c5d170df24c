"""A linear model beside the classifiers of a study, measured once for its data."""

import json
from collections.abc import Callable
from pathlib import Path

import fake_verbs
import numpy as np
import pytest

from metrics.ranking import auroc
from studies.report.write import build_report
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")

PLAN = {
    "name": "small", "title": "Small", "question": "Does it help?", "seeds": [0],
    "metric": {"name": "auroc", "title": "AUROC", "percent": False},
    "scenarios": [{"id": "plain"}],
    "models": [{"name": "vgg16", "config": "configs/vgg.yaml"}],
    "baseline_scenario": "plain",
}  # fmt: skip


def run(root: Path, out: Path, **changes: object) -> list[str]:
    said: list[str] = []
    specification = parse_specification(PLAN | changes, "plan")
    run_study(specification, root, out, fake_verbs.load_verbs, workers=0, say=said.append)
    return said


def test_it_is_measured_once_and_shown(
    home: Path, film_cache: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = {f"patient_{i:012x}": ("train", "val", "test")[i % 3] for i in range(90)}
    root, out = film_cache(home / "films", patients), home / "out"
    run(root, out)
    path = out / "linear_baseline.json"
    frame, squares = json.loads(path.read_text())["views"]
    assert (frame["inputs"], squares["inputs"]) == (240, 256)
    assert len(frame["images"]) == 90  # three of each of 30 test patients
    expected = {}
    for one in (frame, squares):
        probabilities = np.array([row["probability"] for row in one["images"]])
        labels = np.array([row["label"] for row in one["images"]])
        expected[one["view"]] = auroc(probabilities, labels)
    before = path.stat().st_mtime_ns
    run(root, out)
    assert path.stat().st_mtime_ns == before
    html = build_report(out).read_text()
    assert "What a linear model reaches" in html
    assert "says nothing about disease" in html
    rows = json.loads((out / "report.json").read_text())["linear"]
    for row in rows:
        assert row["value"] == pytest.approx(expected[row["view"]])
        if row["value"] < 1:  # no interval where every film is ranked rightly
            assert row["low"] < row["value"] < row["high"]
        assert row["num_patients"] == 30


def test_other_settings_of_the_data_are_another_baseline(
    home: Path, film_cache: Callable[..., Path]
) -> None:
    """The flags that choose the baseline's real films choose the linear model's."""
    patients = {f"patient_{i:012x}": ("train", "val", "test")[i % 3] for i in range(60)}
    root = film_cache(home / "films", patients, labels=("normal", "normal", "abnormal"))
    run(root, home / "a")
    run(root, home / "b", arguments=["--data.imbalance", "4"])
    first, second = (
        json.loads((home / name / "linear_baseline.json").read_text()) for name in ("a", "b")
    )
    assert (first["about"]["imbalance"], second["about"]["imbalance"]) == (None, 4.0)
    assert first["views"][1]["images"] != second["views"][1]["images"]


def test_studies_that_it_is_not_about_have_none(
    home: Path, film_cache: Callable[..., Path]
) -> None:
    run(home / "data", home / "out")  # slices
    models = [{"name": "unet_light", "config": "configs/unet.yaml"}]
    metric = {"name": "iou_mean", "title": "IoU"}
    run(film_cache(home / "films"), home / "other", models=models, metric=metric)
    assert not list(home.glob("*/linear_baseline.json"))


def test_films_that_cannot_be_halved_to_32_pixels_are_said(
    home: Path, film_cache: Callable[..., Path]
) -> None:
    said = run(film_cache(home / "films", image_size=40, stored_size=42), home / "out")
    assert said[-1].startswith("No linear model stands beside the classifiers: --data.resolution")

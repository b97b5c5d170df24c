"""A study of classifiers: AUROC decides, with DeLong's test, ROC curves and pretrained cells."""

import json
from pathlib import Path

import fake_verbs
import numpy as np
import pytest

from provenance import UserError
from studies.report.sheets import _averaged
from studies.report.write import build_report
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.read import parse_specification


@pytest.fixture
def plan() -> dict:
    return {
        "name": "classifiers",
        "title": "Classifiers",
        "seeds": [0, 1],
        "metric": {"name": "auroc", "title": "AUROC", "percent": False},
        "generator": {
            "config": "configs/gan.yaml",
            "num_images": 8,
            "per_class": ["normal", "abnormal"],
        },
        "scenarios": [
            {"id": "real", "name": "real films"},
            {"id": "good", "name": "added", "synthetic": True},
        ],
        "models": [{"name": "vgg16", "title": "VGG-16", "config": "configs/vgg.yaml"}],
        "baseline_scenario": "real",
    }


def go(plan: dict, home: Path) -> StudyOutcome:
    specification = parse_specification(plan, "classifiers.yaml")
    return run_study(
        specification,
        home / "data",
        home / "out",
        fake_verbs.load_verbs,
        workers=0,
        say=lambda line: None,
    )


def test_auroc_decides_and_is_drawn(plan: dict, home: Path) -> None:
    outcome = go(plan, home)
    assert not outcome.failed
    html = build_report(home / "out").read_text()
    content = json.loads((home / "out/report.json").read_text())
    (comparison,) = content["comparisons"]
    assert comparison["verdict"] == "better, without control"
    assert comparison["isolates_synthetic"]
    real, good = content["groups"]
    assert 0.5 < real["value"] < good["value"] <= 1
    assert content["answer"]["headline"].endswith(
        "scores are better for VGG-16 (good against real)."
    )
    for text in (
        "ROC curves",
        "Grad-CAM, VGG-16, added",
        "trainings as readers, nested in scenarios",
        "Log loss, averaged over scenarios",
    ):
        assert text in html, text


def test_one_generator_per_class_makes_one_set(plan: dict, home: Path) -> None:
    go(plan, home)
    record = json.loads((home / "out/generators/generator__seed1.json").read_text())
    normal, abnormal, generate = record["commands"]
    assert "--data.only_label normal" in normal
    assert f"--run_folder {home}/out/generators/seed_1__normal" in normal
    assert "--data.only_label abnormal" in abnormal
    checkpoints = [f"{home}/out/generators/seed_1__{name}" for name in ("normal", "abnormal")]
    joined = " ".join(f"{folder}/checkpoints/last.ckpt" for folder in checkpoints)
    assert f"--checkpoint {joined} --num-images 8" in generate
    assert [part["name"] for part in record["parts"]] == ["normal", "abnormal"]
    assert record["timings"]["images_seen"] == 2 * 768


def test_a_pretrained_cell_starts_from_its_first_training(plan: dict, home: Path) -> None:
    plan["scenarios"][1]["pretrain"] = ["--data.real_films", "false"]
    plan["scenarios"][1]["arguments"] = ["--model.learning_rate", "0.001"]
    go(plan, home)
    record = json.loads((home / "out/cells/good__vgg16__seed0.json").read_text())
    first, second, _ = record["commands"]
    assert "--data.real_films false" in first
    assert "--data.synthetic" in first
    assert "--model.learning_rate" not in first
    start = f"{home}/out/runs/good__vgg16__seed0__pretrain/checkpoints/best.ckpt"
    assert f"--model.start_from {start}" in second
    assert "--data.synthetic" not in second
    assert "--model.learning_rate 0.001" in second
    assert record["parts"] == [
        {"name": "pretrain", "checkpoint_sha256": record["parts"][0]["checkpoint_sha256"]}
    ]
    # neither training is repeated when the record alone is lost
    (home / "out/cells/good__vgg16__seed0.json").unlink()
    go(plan, home)
    events = fake_verbs.events()
    assert events.count("fit good__vgg16__seed0") == 1
    assert events.count("fit good__vgg16__seed0__pretrain") == 1


def test_a_failed_pretraining_is_gone_on_with(plan: dict, home: Path) -> None:
    plan["scenarios"][1]["pretrain"] = ["--data.real_films", "false"]
    fake_verbs.order("good__vgg16__seed0", "fail")
    assert [name for name, _ in go(plan, home).failed] == ["good__vgg16__seed0"]
    fake_verbs.order("good__vgg16__seed0", "")
    assert go(plan, home).done == ["good__vgg16__seed0"]
    assert fake_verbs.events().count("fit good__vgg16__seed0__pretrain") == 1


def test_pretraining_needs_synthetic_images(plan: dict) -> None:
    plan["scenarios"][0]["pretrain"] = []
    with pytest.raises(UserError, match="scenario real pretrains on synthetic images"):
        parse_specification(plan, "a.yaml")


@pytest.mark.usefixtures("unrendered")
def test_a_pretrained_scenario_answers_only_against_a_control_that_the_study_names(
    plan: dict, home: Path
) -> None:
    plan["scenarios"][1]["pretrain"] = ["--data.real_films", "false"]
    plan["scenarios"].append({"id": "twice", "name": "real, twice as long"})
    plan["extra_comparisons"] = [["good", "twice"]]
    go(plan, home)
    build_report(home / "out")
    content = json.loads((home / "out/report.json").read_text())
    isolating = [
        (c["scenario"], c["against"]) for c in content["comparisons"] if c["isolates_synthetic"]
    ]
    assert isolating == [("good", "twice")]
    assert [line["pair"] for line in content["answer"]["lines"]] == ["scenario good against twice"]


def test_real_films_are_shown_at_the_size_of_the_synthetic_ones() -> None:
    film = np.kron(np.arange(16).reshape(4, 4), np.ones((4, 4))).astype(np.uint8) * 10
    assert np.array_equal(_averaged(film, 4), np.arange(16).reshape(4, 4) * 10)
    framed = np.pad(film, 1)  # stored with a margin, as a cache does
    assert np.array_equal(_averaged(framed, 4), np.arange(16).reshape(4, 4) * 10)
    sixteen_bits = film.astype(np.uint16) * 257
    assert np.array_equal(_averaged(sixteen_bits, 4), _averaged(film, 4))

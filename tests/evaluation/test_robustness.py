"""evaluate.py --corruptions: clean scores as ever, paired losses, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import command_line
import evaluate
from augmentations.corruptions import PARAMETERS
from display.numbers import interval, number
from evaluation.checkpoint import open_checkpoint
from evaluation.printed_lines import lines_of
from evaluation.robustness.conditions import Condition, CorruptedCheckpoint, conditions_of
from evaluation.robustness.scores import ConditionScores, classifier_scores
from evaluation.robustness.trivial import (
    nothing_to_lose,
    trivial_classifier,
    trivial_segmenter,
)
from metrics.auroc_intervals import score_difference
from metrics.intervals import Interval, patient_interval
from metrics.jackknife import jackknife_mean
from provenance import UserError
from tests.conftest import write_film_cache
from tests.evaluation.test_classification import write_checkpoint as write_classifier
from tests.evaluation.test_segmentation import write_checkpoint as write_segmenter

FILES = ["corrupted.png", "corruptions.csv", "evaluation.json", "report.html", "severity.png"]
CHOSEN = ["gaussian_noise", "jpeg", "contrast_down"]
PATIENTS = {
    f"patient_{i:012x}": s for i, s in enumerate(["train"] * 2 + ["val"] * 2 + ["test"] * 44)
}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    films = write_film_cache(tmp_path_factory.mktemp("films") / "cache", PATIENTS)
    return write_classifier(tmp_path_factory.mktemp("run") / "checkpoints/best.ckpt", films)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory, small_cache: Path) -> Path:
    return write_segmenter(tmp_path_factory.mktemp("run") / "checkpoints/best.ckpt", small_cache)


@pytest.fixture(scope="module")
def of_classifier(
    classifier: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("evaluations") / "out"
    return out, evaluate.evaluate(classifier, out, corruptions=CHOSEN, show_progress=False)


def run(*words: Any) -> int:
    return command_line.run_verb("evaluate.py", lambda: evaluate.main([str(w) for w in words]))


def test_clean_scores_are_those_of_the_plain_evaluation(
    classifier: Path, of_classifier: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    plain = evaluate.evaluate(classifier, tmp_path / "plain", show_progress=False)
    for name in ("auroc", "accuracy"):
        assert of_classifier[1]["summary"][name] == plain["summary"][name]


def test_what_an_evaluation_holds(of_classifier: tuple[Path, dict[str, Any]]) -> None:
    out, result = of_classifier
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads((out / "evaluation.json").read_text()) == json.loads(json.dumps(result))
    assert result["corruptions"] == ["gaussian_noise", "contrast_down", "jpeg"], "the table's order"
    assert [each["corruption"] for each in result["conditions"][:7]] == [
        None, *["gaussian_noise"] * 5, "contrast_down"
    ]  # fmt: skip
    rows = list(csv.DictReader((out / "corruptions.csv").open()))
    assert len(rows) == 2 * 16
    clean = result["summary"]["auroc"]["value"]
    corrupted = [each["scores"]["auroc"]["value"] for each in result["conditions"][1:]]
    assert result["summary"]["auroc_corrupted"]["value"] == pytest.approx(np.mean(corrupted))
    lost = result["summary"]["auroc_lost"]
    assert lost["value"] == pytest.approx(clean - np.mean(corrupted))
    assert lost["low"] < lost["value"] < lost["high"]
    noise = result["corruption_scores"]["gaussian_noise"]["lost"]["auroc"]["value"]
    assert noise == pytest.approx(clean - np.mean(corrupted[:5]))
    assert result["trivial"]["scores"]["accuracy"] >= 0.5
    page = (out / "report.html").read_text()
    assert result["trivial"]["what"].capitalize() in page
    assert "corruption seed 0" in page
    assert "arXiv:2406.17536" in page
    lines, _ = lines_of(result)
    assert "3 corruptions at five severities, seed 0" in lines[0]
    assert any(line.startswith("    jpeg") for line in lines)


def test_the_loss_of_one_condition_is_the_paired_difference(
    classifier: Path, of_classifier: tuple[Path, dict[str, Any]]
) -> None:
    """As metrics.auroc_intervals has it, for AUROC; as the mean of differences, for accuracy."""
    from evaluation.robustness.conditions import rows_of

    opened = open_checkpoint(classifier, None, "test", 16, 0, "cpu")
    passes = [rows_of(opened, each, 0, None) for each in (Condition(), Condition("jpeg", 5))]
    area, accuracy = classifier_scores(passes)
    patients = [row["patient_id"] for row in passes[0]]
    probabilities = [[row["probability"] for row in rows] for rows in passes]
    expected = score_difference(*probabilities, [row["label"] for row in passes[0]], patients)
    found = area.mean([1], minus_clean=True)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    lost = [a["correct"] - b["correct"] for a, b in zip(*passes, strict=True)]
    expected, found = patient_interval(lost, patients), accuracy.mean([1], minus_clean=True)
    assert (found.value, found.low) == pytest.approx((expected.value, expected.low))
    # In batches of another size, the JSON holds the same.
    held = of_classifier[1]["conditions"][-1]
    assert held["corruption"] == "jpeg"
    assert held["lost"]["accuracy"]["value"] == pytest.approx(found.value)


def test_corruption_depends_on_seed_and_image_alone(classifier: Path) -> None:
    opened = open_checkpoint(classifier, None, "test", 16, 0, "cpu")
    samples = opened.datamodule.evaluation_set("test")
    batch = opened.datamodule.collate([samples[index] for index in range(4)])
    alone = opened.datamodule.collate([samples[2]])
    seen = CorruptedCheckpoint.of(opened, Condition("gaussian_noise", 3), 0)
    images = seen.unit_images(batch)
    assert torch.equal(images[2:3], seen.unit_images(alone))
    noise = images - opened.unit_images(batch)
    assert (noise[0] - noise[1]).abs().max() > 0.1, "every image has its own noise"
    other = CorruptedCheckpoint.of(opened, Condition("gaussian_noise", 3), 1)
    assert not torch.equal(other.unit_images(batch), images)


def test_losses_may_be_required(classifier: Path, tmp_path: Path) -> None:
    """Of all corruptions together, and of one."""
    out = tmp_path / "out"
    words = ["--checkpoint", classifier, "--corruptions", "jpeg", "brightness_up", "--out", out]
    rules = "auroc_lost<=0.9, auroc_lost:jpeg<=0.9, accuracy_lost:brightness_up<=-0.9"
    assert run(*words, "--require", rules) == 3
    verdicts = [
        row["verdict"] for row in json.loads((out / "evaluation.json").read_text())["require"]
    ]
    assert verdicts == ["holds", "holds", "does not hold"]
    assert "auroc_lost:jpeg" in (out / "report.html").read_text()
    assert run("gate", out, "--require", "auroc_corrupted>=0.01") == 0


def test_a_grey_film_in_three_channels_is_corrupted_as_one(classifier: Path) -> None:
    opened = open_checkpoint(classifier, None, "test", 4, 0, "cpu")
    samples = opened.datamodule.evaluation_set("test")
    batch = opened.datamodule.collate([samples[0], samples[1]])
    condition = Condition("gaussian_noise", 4)
    alone = CorruptedCheckpoint.of(opened, condition, 0).unit_images(batch)
    opened.datamodule.channels = 3
    three = CorruptedCheckpoint.of(opened, condition, 0).unit_images(batch)
    assert torch.equal(three, alone.repeat(1, 3, 1, 1))


def test_three_classes_and_one(tmp_path: Path) -> None:
    three = write_film_cache(tmp_path / "three", PATIENTS, labels=("normal", "a", "b"))
    path = write_classifier(tmp_path / "run/checkpoints/best.ckpt", three, classes=3)
    result = evaluate.evaluate(path, tmp_path / "out", corruptions=["jpeg"], show_progress=False)
    plain = evaluate.evaluate(path, tmp_path / "plain", show_progress=False)
    assert result["summary"]["auroc"] == plain["summary"]["auroc"]
    assert result["summary"]["auroc_lost"]["low"] is not None
    few = {"patient_a": "train", "patient_b": "test"}
    one = write_film_cache(tmp_path / "one", few, films=1, by="image")
    alone = write_classifier(tmp_path / "other/checkpoints/best.ckpt", one)
    result = evaluate.evaluate(alone, tmp_path / "few", corruptions=["jpeg"], show_progress=False)
    assert result["primary"] == "accuracy", "there is nothing to rank"
    assert result["summary"]["accuracy_lost"]["low"] is None


def test_segmenter(segmenter: Path, tmp_path: Path) -> None:
    words = ["--checkpoint", segmenter, "--corruptions", "jpeg", "occlusion", "--out"]
    assert run(*words, tmp_path / "out", "--absent-class", "one") == 0
    result = json.loads((tmp_path / "out/evaluation.json").read_text())
    plain = evaluate.evaluate(
        segmenter, tmp_path / "plain", absent_class="one", show_progress=False
    )
    names = ["iou_foreground", "iou_mean", *(f"dice_{n}" for n in result["class_names"][1:])]
    for name in names:
        for key in ("value", "low", "high"):
            assert result["summary"][name][key] == pytest.approx(plain["summary"][name][key]), name
        assert result["summary"][f"{name}_lost"]["num_patients"] == 2
    assert result["primary"] == "iou_foreground"
    assert result["corruptions"] == ["jpeg", "occlusion"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_a_model_without_skill_has_nothing_to_lose() -> None:
    """One class called for all films; background everywhere; and models that have learnt."""
    films = [{"label": label} for label in [0] * 8 + [1] * 2]
    trivial = trivial_classifier(films, ["normal", "abnormal"])
    assert trivial == {"what": "always normal", "scores": {"auroc": 0.5, "accuracy": 0.8}}
    failed = {"auroc": {"value": 0.52}, "accuracy": {"value": 0.8}}
    sentences = nothing_to_lose(failed, trivial)
    assert len(sentences) == 2
    assert (
        "accuracy is 0.800 clean, and always normal scores 0.800: there is nothing" in sentences[1]
    )
    learnt = {"auroc": {"value": 0.9}, "accuracy": {"value": 0.85}}
    assert nothing_to_lose(learnt, trivial) == []
    slices = [
        {"confusion": np.array([[90, 0], [8, 2]])},
        {"confusion": np.array([[80, 0], [10, 10]])},
    ]
    background = trivial_segmenter(slices, ["background", "kidney"], "skip")
    assert background["scores"] == {
        "iou_foreground": 0, "iou_mean": pytest.approx((0.9 + 0.8) / 4), "dice_kidney": 0
    }  # fmt: skip
    missed = {"iou_foreground": {"value": 0.02}, "dice_kidney": {"value": 0.03}}
    assert "dice_kidney is 0.030 clean" in nothing_to_lose(missed, background)[1]
    assert nothing_to_lose({"dice_kidney": {"value": 0.5}}, background) == []


def test_a_loss_of_nothing_has_no_sign() -> None:
    assert number(-0.0001) == "0.000"
    assert number(-0.0004, "+.3f") == "0.000"
    assert number(-0.001) == "-0.001"
    assert interval(-0.0, 0.002) == "0.000 to 0.002"


def test_all_corruptions_are_one_word() -> None:
    assert len(conditions_of(["all"])) == 1 + 5 * len(PARAMETERS)
    assert conditions_of(["jpeg"])[1:] == [Condition("jpeg", each) for each in range(1, 6)]


def test_means_of_conditions_by_hand() -> None:
    """Three patients with one value each; the mean of two conditions is their own mean."""
    values = np.array([[1.0, 2.0, 3.0], [0.0, 2.0, 1.0], [0.0, 0.0, 2.0]])
    clean = Interval(2.0, None, None, 3, 3)
    jackknife = jackknife_mean(values, np.ones(3))
    scores = ConditionScores("score", [clean] * 3, jackknife)
    expected = patient_interval((values[0] - values[1:].mean(axis=0)).tolist(), ["a", "b", "c"])
    found = scores.mean([1, 2], minus_clean=True)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    nothing = scores.mean([0], minus_clean=True)
    assert nothing.value == 0


def test_wrong_input_is_a_sentence(classifier: Path, segmenter: Path, tmp_path: Path) -> None:
    def sentence(path: Path, **flags: Any) -> str:
        with pytest.raises(UserError) as refused:
            evaluate.evaluate(path, tmp_path / "never", show_progress=False, **flags)
        return str(refused.value)

    assert "--corruptions snow: expected all, or some of gaussian_noise" in sentence(
        classifier, corruptions=["snow"]
    )
    misspelt = sentence(classifier, corruptions=["gausian_noise"])
    assert misspelt.endswith("Did you mean gaussian_noise?")
    twice = sentence(classifier, corruptions=["jpeg", "jpeg"])
    assert twice == "--corruptions jpeg jpeg: names jpeg twice. Give each once, or all alone."
    assert "all holds the others already" in sentence(classifier, corruptions=["all", "jpeg"])
    assert sentence(classifier, corruptions=["jpeg"], corruption_seed=-1) == (
        "--corruption-seed -1: must be 0 or more."
    )
    assert "(nothing)" in sentence(classifier, corruptions=[])
    assert "Give one of the two" in sentence(classifier, corruptions=["jpeg"], compare=[tmp_path])
    assert "Give both, or neither" in sentence(segmenter, corruption_seed=1)
    assert "is a setting of segmenters" in sentence(
        classifier, corruptions=["jpeg"], absent_class="one"
    )
    assert not (tmp_path / "never").exists()


def test_another_evaluation_is_not_overwritten(
    classifier: Path, of_classifier: tuple[Path, dict[str, Any]]
) -> None:
    out, result = of_classifier
    before = (out / "evaluation.json").read_bytes()
    for other in ({"corruption_seed": 1}, {"corruptions": ["jpeg"]}, {"corruptions": None}):
        with pytest.raises(UserError):
            evaluate.evaluate(
                classifier, out, show_progress=False, **{"corruptions": CHOSEN, **other}
            )
    assert (out / "evaluation.json").read_bytes() == before
    again = evaluate.evaluate(classifier, out, corruptions=CHOSEN, show_progress=False)
    assert {**again, "seconds": 0} == {**result, "seconds": 0}

"""AUROC as a study's metric: groups, pairs and the whole analysis, from cells' records."""

from typing import Any

import numpy as np
import pytest

from metrics.classification import calibration_error
from metrics.delong import auroc_test, delong_test
from metrics.ranking import auroc
from provenance import UserError
from studies.report.downstream import analyse
from studies.specification.read import parse_specification
from studies.statistics.per_image import scores_per_image
from studies.statistics.results import (
    GroupResult,
    PairedResult,
    groups_of,
    holds_score,
    known_scores,
    pairs_of,
)
from studies.statistics.whole_set import predictions_of, shared_ids


def record(
    scenario: str, seed: int, skill: float, patients: int = 40, classes: int = 2
) -> dict[str, Any]:
    """A classifier's cell: two films a patient, better with more skill."""
    random = np.random.default_rng([seed, int(100 * skill)])
    ease = np.random.default_rng(0).normal(0, 1, patients)
    images = []
    for film in range(2 * patients):
        patient = film // 2
        label = patient % classes
        logits = random.normal(0, 1, classes)
        logits[label] += skill + ease[patient]
        shares = np.exp(logits) / np.exp(logits).sum()
        image = {
            "id": f"film_{film}",
            "patient_id": f"patient_{patient}",
            "label": label,
            "prediction": int(shares.argmax()),
            "probability": float(shares[1]),
            "correct": int(shares.argmax() == label),
            "log_loss": float(-np.log(shares[label])),
            "brier": float((shares[1] - label) ** 2),
        }
        images.append(image | ({"probabilities": shares.tolist()} if classes > 2 else {}))
    names = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "ece")
    return {
        "name": f"{scenario}__vgg__seed{seed}",
        "scenario": scenario,
        "model": "vgg",
        "seed": seed,
        "curves": {},
        "evaluation": {
            "task": "classification",
            "split_by": "patient",
            "images": images,
            "summary": {name: {"value": 0.5} for name in (*names, "log_loss", "brier")},
        },
    }


def plan(metric: str, **more: Any) -> Any:
    return parse_specification(
        {
            "name": "small", "title": "Small", "question": "Does it help?", "seeds": [0, 1],
            "metric": {"name": metric, "title": metric, **more},
            "scenarios": [{"id": "a", "name": "plain"}, {"id": "b", "name": "changed"}],
            "models": [{"name": "vgg", "title": "VGG", "config": "configs/vgg.yaml"}],
            "baseline_scenario": "a",
        },
        "plan",
    )  # fmt: skip


def arrays(*records: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = [one["evaluation"]["images"] for one in records]
    table = np.array([[image["probability"] for image in each] for each in images])
    labels = np.array([image["label"] for image in images[0]])
    return table, labels, [image["patient_id"] for image in images[0]]


def group(records: list[dict[str, Any]], metric: str, scenario: str = "a") -> GroupResult:
    return groups_of(plan(metric, percent=False), records, "vgg", metric)[scenario]


def pair(records: list[dict[str, Any]], metric: str) -> PairedResult:
    return pairs_of(plan(metric, percent=False), records, [("b", "a")], "vgg")[0]


def test_a_group_is_the_mean_over_seeds_with_both_intervals() -> None:
    records = [record("a", seed, 0.5) for seed in range(2)]
    found = group(records, "auroc")
    table, labels, patients = arrays(*records)
    assert found.seed_means == {s: pytest.approx(auroc(table[s], labels)) for s in (0, 1)}
    assert found.interval.value == pytest.approx(np.mean(list(found.seed_means.values())))
    assert found.seed_spread == pytest.approx(np.std(list(found.seed_means.values()), ddof=1))
    low, high = found.patients_only
    assert found.interval.low < low < found.interval.value < high < found.interval.high < 1
    # DeLong's standard error of the mean over trainings is the jackknife's, nearly.
    error = auroc_test(table, labels, patients).standard_error
    slope = found.interval.value * (1 - found.interval.value)
    ends = np.log([low / (1 - low), high / (1 - high)])
    assert (ends[1] - ends[0]) / 2 * slope == pytest.approx(2.03 * error, rel=0.05)
    ece = group(records, "ece")
    expected = np.mean([calibration_error(row, labels) for row in table])
    assert ece.interval.value == pytest.approx(expected)
    assert (ece.interval.low, ece.interval.num_patients) == (None, 40)
    assert group([], "auroc").interval.value is None


def test_a_pairs_trainings_are_nested_whatever_their_seeds() -> None:
    treated = [record("b", seed, 1.5) for seed in (0, 1)]
    control = [record("a", seed, 0.2) for seed in (0, 1)]
    found = pair(treated + control, "auroc")
    first, labels, patients = arrays(*treated)
    second = arrays(*control)[0]
    expected = delong_test(first, second, labels, patients)
    assert found.interval.value == pytest.approx(expected.value)
    assert (found.trainings, found.interval.num_patients) == ((2, 2), 40)
    assert found.interval.low < found.patients_only[0]
    assert found.p_value > expected.p_value
    assert found.per_seed == {
        seed: pytest.approx(auroc(first[seed], labels) - auroc(second[seed], labels))
        for seed in (0, 1)
    }
    swapped = [{**one, "seed": 1 - one["seed"]} for one in treated]
    assert pair(swapped + control, "auroc").p_value == pytest.approx(found.p_value)
    precision = pair(treated + control, "average_precision")
    assert precision.interval.low < precision.interval.value < precision.interval.high
    assert precision.p_value is not None
    assert pair(treated, "auroc").interval.value is None


def test_more_classes_are_averaged() -> None:
    records = [
        record(scenario, seed, 1.0, patients=90, classes=3) for scenario in "ab" for seed in (0, 1)
    ]
    found = group(records, "auroc")
    assert found.interval.low < found.interval.value < found.interval.high
    assert found.interval.value == pytest.approx(np.mean(list(found.seed_means.values())))
    same = [{**one, "scenario": "b"} for one in records[:2]]
    twin = pair(records[:2] + same, "auroc")
    assert (twin.interval.value, twin.p_value) == (0.0, pytest.approx(1.0))
    # The mean over classes is no mean of `correct` over images of one class.
    assert not holds_score(records[0]["evaluation"], "sensitivity")
    assert scores_per_image(records[0], "sensitivity") == {}
    assert len(scores_per_image(records[0], "accuracy")) == 180


def test_a_study_of_auroc() -> None:
    records = [record(s, seed, skill) for s, skill in (("a", 0.2), ("b", 2.0)) for seed in (0, 1)]
    content = analyse(plan("auroc", percent=False), records, [])
    comparison = content["comparisons"][0]
    assert (comparison["verdict"], comparison["significant"]) == ("helps", True)
    assert comparison["p_holm"] == comparison["p"]
    assert comparison["num_patients"] == 40
    assert {group["num_values"] for group in content["groups"]} == {80}
    further = {one["metric"]: one for one in content["further"]}
    assert all(g["value"] is not None for one in further.values() for g in one["groups"])
    assert further["accuracy"]["percent"]
    assert not further["log_loss"]["percent"]
    images = records[0]["evaluation"]["images"]
    right = [image["correct"] for image in images if image["label"] == 1]
    seed = further["sensitivity"]["groups"][0]["seed_means"]["0"]
    assert seed == pytest.approx(np.mean(right))
    assert content["worst_by"]["metric"] == "log_loss"
    losses = [worst["value"] for worst in content["worst"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 1


def test_accuracy_goes_the_way_of_every_mean() -> None:
    records = [record(s, seed, skill) for s, skill in (("a", 0.2), ("b", 3.0)) for seed in (0, 1)]
    content = analyse(plan("accuracy"), records, [])
    group, comparison = content["groups"][0], content["comparisons"][0]
    correct = [i["correct"] for r in records[:2] for i in r["evaluation"]["images"]]
    assert group["value"] == pytest.approx(np.mean(correct))
    assert comparison["verdict"] == "helps"
    assert len(comparison["patients"]) == 40


def test_few_patients_of_a_class_are_too_few() -> None:
    records = [
        record(s, seed, skill, patients=8)
        for s, skill in (("a", 0.0), ("b", 4.0))
        for seed in (0, 1)
    ]
    content = analyse(plan("auroc"), records, [])
    comparison = content["comparisons"][0]
    assert (comparison["p"], comparison["low"]) == (None, None)
    assert comparison["verdict"] == "too few patients to tell"
    assert content["answer"]["headline"].startswith("Undecided: too few test patients")
    reason = "No interval and no test: too few: 4 patients of a class, 20 needed."
    assert reason in content["answer"]["limits"]
    assert all(group["low_patients"] is None for group in content["groups"])


def test_which_scores_a_study_can_decide_by() -> None:
    classified = record("a", 0, 0.5)["evaluation"]
    for metric in ("auroc", "average_precision", "accuracy", "sensitivity", "log_loss", "brier"):
        assert holds_score(classified, metric)
        assert metric in known_scores(classified)
    assert not holds_score(classified, "iou_mean")
    segmented = {"images": [{"id": "x", "iou_mean": 0.5}], "patients": [{"dice_kidney": 0.7}]}
    assert known_scores(segmented) == ["dice_kidney", "iou_mean"]
    assert not holds_score(segmented, "auroc")


def test_what_cannot_be_is_said() -> None:
    segmented = {"name": "1__unet__seed0", "evaluation": {"images": [{"id": "x", "iou_mean": 1}]}}
    with pytest.raises(UserError, match="scores of classifiers"):
        predictions_of(segmented)
    changed = record("a", 1, 0.5)
    changed["evaluation"]["images"][0]["label"] = 1
    sets = {0: predictions_of(record("a", 0, 0.5)), 1: predictions_of(changed)}
    with pytest.raises(UserError, match="disagree about the class"):
        shared_ids(list(sets.values()))

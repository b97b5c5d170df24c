"""AUROC as a study's metric: groups, pairs and the whole analysis, from cells' records."""

from typing import Any

import numpy as np
import pytest

from metrics.auroc_intervals import bootstrap_difference, bootstrap_score
from metrics.classification import calibration_error
from metrics.delong import delong_test
from metrics.ranking import auroc
from provenance import UserError
from studies.report.downstream import analyse
from studies.specification.read import parse_specification
from studies.statistics.per_image import scores_per_image
from studies.statistics.results import holds_score, known_scores
from studies.statistics.whole_set import group_of_sets, pair_of_sets, predictions_of


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
            "baseline_scenario": "a", "num_resamples": 300,
        },
        "plan",
    )  # fmt: skip


def arrays(*records: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = [one["evaluation"]["images"] for one in records]
    table = np.array([[image["probability"] for image in each] for each in images])
    labels = np.array([image["label"] for image in images[0]])
    return table, labels, [image["patient_id"] for image in images[0]]


def test_a_group_is_the_mean_over_seeds_with_its_bootstrap() -> None:
    records = [record("a", seed, 0.5) for seed in range(2)]
    sets = {one["seed"]: predictions_of(one) for one in records}
    group = group_of_sets(sets, "auroc", 0.95, 300)
    table, labels, patients = arrays(*records)
    assert group.interval == bootstrap_score(table, labels, patients, 300)
    assert group.seed_means == {s: pytest.approx(auroc(table[s], labels)) for s in (0, 1)}
    assert group.seed_spread == pytest.approx(np.std(list(group.seed_means.values()), ddof=1))
    ece = group_of_sets(sets, "ece", 0.95, 300)
    expected = np.mean([calibration_error(row, labels) for row in table])
    assert ece.interval.value == pytest.approx(expected)
    assert (ece.interval.low, ece.interval.num_patients) == (None, 40)
    assert group_of_sets({}, "auroc", 0.95, 300).interval.value is None


def test_a_pair_has_delongs_p_over_shared_seeds() -> None:
    treated = {seed: predictions_of(record("b", seed, 1.5)) for seed in (0, 1, 2)}
    control = {seed: predictions_of(record("a", seed, 0.2)) for seed in (1, 2, 3)}
    pair = pair_of_sets(treated, control, "auroc", 0.95, 300)
    first = arrays(*(record("b", seed, 1.5) for seed in (1, 2)))[0]
    second, labels, patients = arrays(*(record("a", seed, 0.2) for seed in (1, 2)))
    assert pair.interval == bootstrap_difference(first, second, labels, patients, 300)
    test = delong_test(first, second, labels, patients)
    assert pair.p_value == pytest.approx(max(test.p_value, 2 / 2**20))
    assert (pair.smallest_p, pair.num_patients, pair.test) == (2 / 2**20, 20, "delong")
    assert pair.per_seed == {
        seed: pytest.approx(auroc(first[i], labels) - auroc(second[i], labels))
        for i, seed in enumerate((1, 2))
    }
    precision = pair_of_sets(treated, control, "average_precision", 0.95, 300)
    assert (precision.p_value, precision.test) == (None, None)
    assert precision.interval.low < precision.interval.value < precision.interval.high
    assert pair_of_sets(treated, {}, "auroc", 0.95, 300).interval.value is None


def test_more_classes_are_averaged_and_not_tested() -> None:
    records = [record("a", seed, 1.0, classes=3) for seed in range(2)]
    sets = {one["seed"]: predictions_of(one) for one in records}
    group = group_of_sets(sets, "auroc", 0.95, 200)
    assert group.interval.low < group.interval.value < group.interval.high
    assert group.interval.value == pytest.approx(np.mean(list(group.seed_means.values())))
    pair = pair_of_sets(sets, sets, "auroc", 0.95, 200)
    assert (pair.interval.value, pair.p_value) == (0.0, None)
    # The mean over classes is no mean of `correct` over images of one class.
    assert not holds_score(records[0]["evaluation"], "sensitivity")
    assert scores_per_image(records[0], "sensitivity") == {}
    assert len(scores_per_image(records[0], "accuracy")) == 80


def test_a_study_of_auroc() -> None:
    records = [record(s, seed, skill) for s, skill in (("a", 0.2), ("b", 1.5)) for seed in (0, 1)]
    content = analyse(plan("auroc", percent=False), records, [])
    comparison = content["comparisons"][0]
    assert (comparison["verdict"], comparison["significant"]) == ("helps", True)
    assert comparison["p_holm"] == comparison["p"]
    assert content["tests"]["method"] == "delong"
    assert (comparison["num_patients"], content["tests"]["num_patients"]) == (40, 20)
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
    assert (comparison["test"], comparison["verdict"]) == ("sign_flip", "helps")
    assert len(comparison["patients"]) == 40


def test_few_patients_of_a_class_are_too_few() -> None:
    records = [
        record(s, seed, skill, patients=8)
        for s, skill in (("a", 0.0), ("b", 4.0))
        for seed in (0, 1)
    ]
    content = analyse(plan("auroc"), records, [])
    comparison = content["comparisons"][0]
    assert comparison["p"] >= comparison["smallest_p"] == 2 / 2**4
    assert comparison["verdict"] == "too few patients to tell"
    assert not content["tests"]["can_be_significant"]


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
        group_of_sets(sets, "auroc", 0.95, 100)

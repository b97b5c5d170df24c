"""Scores of several findings as a study's metrics: of each finding, and their mean."""

from typing import Any

import numpy as np
import pytest

from metrics.findings import finding_score, macro_interval, macro_score
from studies.report.downstream import analyse
from studies.report.downstream.target import target_metric
from studies.specification.read import parse_specification
from studies.statistics.results import groups_of, holds_score, known_scores, pairs_of
from studies.statistics.score_names import FINDINGS, score_names

NAMES = ["Edema", "Pleural Effusion"]


def record(scenario: str, seed: int, skill: float) -> dict[str, Any]:
    """A cell: two films of each of 60 patients, of which some findings are unknown."""
    random = np.random.default_rng([seed, int(100 * skill)])
    truth = (np.random.default_rng(0).random((120, 2)) < 0.5).astype(float)
    truth[np.random.default_rng(1).random((120, 2)) < 0.1] = np.nan
    shares = 1 / (
        1 + np.exp(-skill * (2 * np.nan_to_num(truth, nan=0.5) - 1) - random.normal(size=(120, 2)))
    )
    images = [
        {
            "id": f"film_{film}",
            "patient_id": f"patient_{film // 2}",
            "findings": [None if np.isnan(value) else int(value) for value in truth[film]],
            "probabilities": shares[film].tolist(),
            "log_loss": 0.5,
            "brier": 0.2,
        }
        for film in range(120)
    ]  # fmt: skip
    names = [name for name in score_names(FINDINGS, NAMES) if not name.startswith("sens")]
    return {
        "name": f"{scenario}__resnet__seed{seed}",
        "scenario": scenario,
        "model": "resnet",
        "seed": seed,
        "curves": {},
        "evaluation": {
            "task": "findings",
            "split_by": "patient",
            "class_names": NAMES,
            "images": images,
            "summary": {name: {"value": 0.5} for name in names if not name.startswith("spec")},
        },
    }


def plan(metric: str, **more: Any) -> Any:
    return parse_specification(
        {
            "name": "small", "title": "Small", "question": "Does it help?", "seeds": [0, 1],
            "metric": {"name": metric, "title": metric, "percent": False},
            "scenarios": [{"id": "a", "name": "plain"}, {"id": "b", "name": "changed"}],
            "models": [{"name": "resnet", "title": "ResNet", "config": "configs/resnet.yaml"}],
            "baseline_scenario": "a", **more,
        },
        "plan",
    )  # fmt: skip


RECORDS = [record(name, seed, skill) for name, skill in (("a", 0.4), ("b", 1.2)) for seed in (0, 1)]


def arrays(cell: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = cell["evaluation"]["images"]
    scores = np.array([image["probabilities"] for image in images])
    truth = np.array([image["findings"] for image in images], float)
    return scores, truth, [image["patient_id"] for image in images]


def test_the_metric_is_the_mean_over_findings_or_one_of_them() -> None:
    cells = RECORDS[:2]
    macro = groups_of(plan("auroc"), RECORDS, "resnet", "auroc")["a"]
    expected = [macro_score(*arrays(cell)[:2]) for cell in cells]
    assert list(macro.seed_means.values()) == pytest.approx(expected)
    assert macro.interval.low is not None
    scores, truth, patients = arrays(cells[0])
    alone = groups_of(plan("auroc"), cells[:1], "resnet", "auroc")["a"]
    own = macro_interval(scores, truth, patients, NAMES)
    assert alone.patients_only == pytest.approx((own.low, own.high))
    name = "auroc_Pleural Effusion"
    one = groups_of(plan(name), RECORDS, "resnet", name)["a"]
    expected = [finding_score(a[:, 1], b[:, 1]) for a, b, _ in map(arrays, cells)]
    assert list(one.seed_means.values()) == pytest.approx(expected)
    assert one.interval.num_values == int((~np.isnan(truth[:, 1])).sum())


def test_a_better_classifier_of_findings_is_seen_by_pairs() -> None:
    for metric in ("auroc", "auroc_Edema", "sensitivity_Edema"):
        (found,) = pairs_of(plan(metric), RECORDS, [("b", "a")], "resnet")
        assert found.interval.value is not None
        assert found.interval.value > 0.1
        assert found.interval.low is not None
        assert found.interval.low > 0


def test_names_are_known_before_and_held_after() -> None:
    names = score_names(FINDINGS, NAMES)
    evaluation = RECORDS[0]["evaluation"]
    assert sorted(names) == known_scores(evaluation)
    for metric in ("ece", "sensitivity", "auroc_Mass", "accuracy"):
        assert not holds_score(evaluation, metric), metric


def test_a_finding_is_a_studys_target_by_its_sensitivity() -> None:
    specification = plan("auroc", target="Edema")
    metric = target_metric(specification, RECORDS)
    assert metric is not None
    assert metric.name == "sensitivity_Edema"
    content = analyse(specification, RECORDS, [])
    first = content["target"]["groups"][0]
    scores, truth, _ = arrays(RECORDS[0])
    having = truth[:, 0] == 1
    assert first["seed_means"]["0"] == pytest.approx((scores[having, 0] >= 0.5).mean())
    lacking = content["target"]["specificity"][0]["seed_means"]["0"]
    assert lacking == pytest.approx((scores[truth[:, 0] == 0, 0] < 0.5).mean())
    further = {entry["metric"]: entry for entry in content["further"]}
    assert not further["auroc_Edema"]["percent"]

"""Scores of classifiers against torchmetrics, hand-made values and invariances."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
    binary_roc,
    binary_specificity,
    multiclass_auroc,
    multiclass_average_precision,
)

from metrics.classification import calibration_error, reliability, sensitivity_specificity
from metrics.ranking import auroc, average_precision, roc_curve
from metrics.thresholds import RULES, OperatingPoint, chosen_thresholds, operating_point


def films(seed: int, num: int = 60, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with some sense in them, and labels of both classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, num)
    labels[:2] = 0, 1
    probabilities = (random.random(num) + 0.5 * labels) / 1.5
    return (probabilities.round(1) if ties else probabilities), labels


def threshold_table(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, OperatingPoint]:
    """Every rule chosen and scored on the same films."""
    chosen = chosen_thresholds(probabilities, labels)
    return {rule: operating_point(probabilities, labels, chosen[rule]) for rule in chosen}


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_torchmetrics(seed: int, ties: bool) -> None:
    probabilities, labels = films(seed, ties=ties)
    scores, truth = torch.tensor(probabilities), torch.tensor(labels)
    assert auroc(probabilities, labels) == pytest.approx(float(binary_auroc(scores, truth)))
    expected = float(binary_average_precision(scores, truth))
    assert average_precision(probabilities, labels) == pytest.approx(expected)
    false, true, thresholds = roc_curve(probabilities, labels)
    theirs = binary_roc(scores, truth)
    assert false == pytest.approx(theirs[0].numpy())
    assert true == pytest.approx(theirs[1].numpy())
    assert thresholds[1:] == pytest.approx(theirs[2].numpy()[1:])
    assert thresholds[0] == np.inf
    _, specificity = sensitivity_specificity(probabilities, labels, 0.55)
    assert specificity == pytest.approx(float(binary_specificity(scores, truth, 0.55)))
    if not ties:  # a probability on the edge of a bin is theirs in float32, ours in float64
        for bins in (5, 15):
            expected = float(binary_calibration_error(scores, truth, bins))
            assert calibration_error(probabilities, labels, bins) == pytest.approx(expected)


def test_macro_agrees_with_torchmetrics() -> None:
    random = np.random.default_rng(0)
    table = random.dirichlet([1, 1, 1], 50)
    labels = random.integers(0, 3, 50)
    scores, truth = torch.tensor(table), torch.tensor(labels)
    assert auroc(table, labels) == pytest.approx(float(multiclass_auroc(scores, truth, 3)))
    expected = float(multiclass_average_precision(scores, truth, 3))
    assert average_precision(scores, truth) == pytest.approx(expected)
    assert auroc(table, np.minimum(labels, 1)) is None
    two = np.stack([1 - table[:, 0], table[:, 0]], axis=1)
    binary = (labels == 0).astype(int)
    assert auroc(two, binary) == pytest.approx(auroc(table[:, 0], binary))


def test_hand_made_values() -> None:
    # One of four pairs is wrong; the precision is 1 at recall 1/2 and 2/3 at recall 1.
    probabilities, labels = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    assert auroc(probabilities, labels) == 0.75
    assert average_precision(probabilities, labels) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert sensitivity_specificity(probabilities, labels, 0.4) == (0.5, 0.5)
    assert auroc([0.5] * 4, labels) == 0.5
    # Two bins: forecast 0.2 and came 0 of 2, forecast 0.8 and came 1 of 2.
    assert calibration_error([0.1, 0.3, 0.7, 0.9], [0, 0, 0, 1], 2) == pytest.approx(0.25)
    low, high = reliability([0.1, 0.3, 0.7, 1.0], [0, 0, 0, 1], 2)
    assert (low.count, low.mean_probability, low.share_positive) == (2, pytest.approx(0.2), 0)
    assert (high.low, high.high, high.share_positive) == (0.5, 1.0, 0.5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, torch.float16, torch.bfloat16])
def test_tensors_and_arrays_of_any_precision(kind: object) -> None:
    values = [0.125, 0.5, 0.25, 0.75]
    scores = (
        torch.tensor(values, dtype=kind, requires_grad=True)
        if isinstance(kind, torch.dtype)
        else np.array(values, kind)  # type: ignore[call-overload]
    )
    assert auroc(scores, torch.tensor([0, 0, 1, 1])) == 0.75


def test_what_does_not_matter() -> None:
    probabilities, labels = films(7)
    order = np.random.default_rng(1).permutation(len(labels))
    for score in (auroc, average_precision):
        plain = score(probabilities, labels)
        assert score(np.exp(3 * probabilities) - 7, labels) == pytest.approx(plain, abs=1e-12)
        assert score(probabilities[order], labels[order]) == pytest.approx(plain, abs=1e-12)
        assert score(np.tile(probabilities, 3), np.tile(labels, 3)) == pytest.approx(plain)
    assert auroc(-probabilities, labels) == pytest.approx(1 - auroc(probabilities, labels))
    false, true, _ = roc_curve(probabilities, labels)
    assert np.trapezoid(true, false) == pytest.approx(auroc(probabilities, labels))


def test_a_missing_class_is_none_and_never_a_number() -> None:
    for labels in ([0, 0], [1, 1], []):
        scores = [0.2, 0.9][: len(labels)]
        assert auroc(scores, labels) is None
        assert average_precision(scores, labels) is None
        with pytest.raises(ValueError, match="both classes"):
            roc_curve(scores, labels)
        assert list(threshold_table(scores, labels)) == ["default"]
    assert sensitivity_specificity([0.2, 0.9], [1, 1]) == (0.5, None)
    assert calibration_error([], []) is None


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        auroc([0.1, float("nan")], [0, 1])
    with pytest.raises(ValueError, match="expected 0 and 1"):
        auroc([0.1, 0.2], [0, 2])
    with pytest.raises(ValueError, match=r"\(N,\) each"):
        auroc([0.1, 0.2], [0, 1, 1])
    with pytest.raises(ValueError, match="logits"):
        calibration_error([-3.0, 2.0], [0, 1])
    with pytest.raises(ValueError, match="outside 0 to 1"):
        auroc([[0.1, 0.9]], [2])


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_do_what_their_rule_says(seed: int) -> None:
    probabilities, labels = films(seed, 80)
    table = threshold_table(probabilities, labels)
    assert list(table) == list(RULES)
    every = [operating_point(probabilities, labels, t) for t in [*np.unique(probabilities), 2.0]]
    best = max(point.sensitivity + point.specificity for point in every)
    youden = table["youden"]
    assert youden.sensitivity + youden.specificity == pytest.approx(best)
    for percent in (90, 95):
        point = table[f"sensitivity_{percent}"]
        enough = [one for one in every if one.sensitivity >= percent / 100]
        assert point.threshold == max(one.threshold for one in enough)
        point = table[f"specificity_{percent}"]
        enough = [one for one in every if one.specificity >= percent / 100]
        assert point.sensitivity == max(one.sensitivity for one in enough)
    for point in table.values():
        called = probabilities >= point.threshold
        assert point.accuracy == pytest.approx((called == labels).mean())
        assert point.true_positives + point.false_negatives == labels.sum()
        if called.any():
            assert point.ppv == pytest.approx(labels[called].mean())


def test_nobody_positive_is_a_threshold_too() -> None:
    # The highest score is a negative's: only calling nobody positive is 90 % specific.
    chosen = chosen_thresholds([0.9, 0.2, 0.8], [0, 0, 1])
    point = operating_point([0.9, 0.2, 0.8], [0, 0, 1], chosen["specificity_90"])
    assert (point.specificity, point.sensitivity, point.ppv) == (1.0, 0.0, None)

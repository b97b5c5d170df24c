"""Scores without one patient at a time, against scoring anew."""

import numpy as np
import pytest

from metrics.jackknife import jackknife_auroc, jackknife_mean, jackknife_statistic
from metrics.ranking import WeightedRanking, auroc


def without(values: np.ndarray, owner: np.ndarray) -> list[np.ndarray]:
    return [values[owner != patient] for patient in range(owner.max() + 1)]


@pytest.mark.parametrize("ties", [False, True])
def test_aurocs_without_each_patient_are_those_scored_anew(ties: bool) -> None:
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(12), 3))
    labels = rng.integers(0, 2, 36)
    scores = rng.integers(0, 9, (4, 36)) if ties else rng.normal(size=(4, 36))
    found = jackknife_auroc(scores, labels == 1, owner)
    for row, value, pseudo in zip(scores, found.value, found.pseudo, strict=True):
        assert value == pytest.approx(auroc(row, labels))
        left = [auroc(row[owner != k], labels[owner != k]) for k in range(12)]
        assert pseudo == pytest.approx(12 * value - 11 * np.array(left))


def test_a_patient_who_holds_a_class_alone_leaves_no_score() -> None:
    found = jackknife_auroc([0.9, 0.2, 0.4], [True, False, False], [0, 1, 2])
    assert found.value == 1.0
    assert np.isnan(found.pseudo).tolist() == [True, False, False]


def test_means_of_images_are_those_taken_anew() -> None:
    rng = np.random.default_rng(1)
    owner, values = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6]), rng.normal(size=21)
    sums, counts = (np.bincount(owner, weights) for weights in (values, None))
    found = jackknife_mean(sums, counts)
    assert found.value == pytest.approx(values.mean())
    left = [part.mean() for part in without(values, owner)]
    assert found.pseudo == pytest.approx(6 * values.mean() - 5 * np.array(left))


def test_pseudo_values_of_patients_means_are_the_means() -> None:
    values = np.random.default_rng(2).normal(size=(3, 8))
    found = jackknife_mean(values, 1)
    assert (found.pseudo == values).all()
    # A patient without a value pulls the mean nowhere.
    gap = jackknife_mean([2.0, 4.0, 0.0], [1, 1, 0])
    assert (gap.value, gap.pseudo[2]) == (3.0, 3.0)


def test_any_score_of_weights_goes_the_same_way() -> None:
    rng = np.random.default_rng(3)
    owner, labels = np.repeat(np.arange(10), 2), rng.integers(0, 2, 20)
    scores = rng.normal(size=20)
    closed = jackknife_auroc(scores, labels == 1, owner)
    weighed = jackknife_statistic(WeightedRanking(scores, labels).auroc, owner)
    assert weighed.value == pytest.approx(closed.value)
    assert weighed.pseudo == pytest.approx(closed.pseudo)

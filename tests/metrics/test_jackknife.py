"""Scores without one patient at a time, against scoring anew."""

import time

import numpy as np
import pytest

from metrics.jackknife import jackknife_auroc, jackknife_average_precision, jackknife_mean
from metrics.ranking import auroc, average_precision


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


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("films", [[1] * 40, [3] * 13 + [1], [1, 2, 3, 4, 5, 6, 7, 12], [30, 1, 9]])
def test_average_precisions_without_each_patient_are_those_scored_anew(
    ties: bool, films: list[int]
) -> None:
    """Also of a patient with more films than others are looked up for, who is scored anew."""
    rng = np.random.default_rng(sum(films) + ties)
    owner = rng.permutation(np.repeat(np.arange(len(films)), films))
    for _ in range(20):
        labels = rng.integers(0, 2, len(owner))
        scores = rng.integers(0, 5, len(owner)) if ties else rng.normal(size=len(owner))
        found = jackknife_average_precision(scores, labels == 1, owner)
        value = average_precision(scores, labels)
        assert found.value == pytest.approx(value)
        left = [
            average_precision(scores[owner != k], labels[owner != k]) for k in range(len(films))
        ]
        number, expected = len(films), np.array([np.nan if one is None else one for one in left])
        assert found.pseudo == pytest.approx(number * value - (number - 1) * expected, nan_ok=True)


def test_without_the_last_patient_of_a_class_there_is_no_average_precision() -> None:
    found = jackknife_average_precision([0.9, 0.2, 0.4], [True, False, False], [0, 1, 2])
    assert np.isnan(found.pseudo).tolist() == [True, False, False]
    found = jackknife_average_precision([0.9, 0.2, 0.4], [True, False, True], [0, 1, 2])
    assert np.isnan(found.pseudo).tolist() == [False, True, False]
    assert np.isnan(jackknife_average_precision([0.9, 0.2], [True, True], [0, 1]).value)


def test_the_cost_of_leaving_out_patients_grows_with_the_films() -> None:
    """Forty times as many took 1,600 times as long; now a number of passes that stays the same."""
    rng = np.random.default_rng(4)
    owner, labels = np.arange(200_000) // 2, rng.integers(0, 2, 200_000)
    scores = rng.normal(size=200_000) + labels
    started = time.process_time()
    precision = jackknife_average_precision(scores, labels == 1, owner)
    area = jackknife_auroc(scores, labels == 1, owner)
    assert time.process_time() - started < 20
    for found in (precision, area):
        assert found.pseudo.mean() == pytest.approx(found.value, abs=1e-4)

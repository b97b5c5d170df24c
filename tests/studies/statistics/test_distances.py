"""Distances over trainings: limits that are known, and coverage."""

import numpy as np
import pytest
from scipy import stats

from studies.statistics.distances import (
    Trainings,
    all_differences,
    difference_between,
    distance_interval,
)

NAME = "frechet_random_vgg"


def trained(*values: float, deviation: float = 0.0) -> Trainings:
    return Trainings(values, [deviation] * len(values))


def test_without_scatter_over_images_it_is_students_t() -> None:
    values, other = (10.0, 12.0, 11.5), (14.0, 13.0, 15.5)
    low, high = distance_interval(NAME, trained(*values))
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-3)
    found = difference_between(trained(*values), trained(*other))
    expected = stats.ttest_ind(values, other)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    ends = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-3)
    assert found.value == pytest.approx(np.mean(values) - np.mean(other))


def test_scatter_over_images_widens_it_and_does_not_shrink_with_trainings() -> None:
    values = (10.0, 12.0, 11.5)
    narrow, wide = (distance_interval(NAME, trained(*values, deviation=sd)) for sd in (0.0, 3.0))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    many = distance_interval(NAME, trained(*values * 30, deviation=3.0))
    assert many[1] - many[0] > 2 * 1.96 * 3.0


def test_an_interval_ends_where_the_score_does() -> None:
    low, high = distance_interval(NAME, trained(79.0, 164.0, 85.0))
    assert low == 0.0
    assert high > 200
    assert distance_interval("recall_random_vgg", trained(0.1, 0.9, 0.5)) == (0.0, 1.0)


def test_one_training_has_neither() -> None:
    assert distance_interval(NAME, trained(3.0, deviation=0.5)) is None
    two = trained(4.0, 5.0, deviation=0.5)
    assert difference_between(trained(3.0, deviation=0.5), two) is None


def test_where_nothing_varies_there_is_no_interval() -> None:
    """A recall of 0 in every training: 0 to 0 would claim that all others have it too."""
    assert distance_interval(NAME, trained(0.0, 0.0)) is None
    assert difference_between(trained(3.0, 3.0), trained(4.0, 4.0)) is None


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held, alarms = [], []
    for _ in range(400):
        real = rng.normal(0, 2)  # shared by all trainings
        first, second = (
            trained(*(20 + real + rng.normal(0, 1.5, 3)), deviation=2.0) for _ in range(2)
        )
        low, high = distance_interval(NAME, first)
        held.append(low <= 20 <= high)
        alarms.append(difference_between(first, second).p < 0.05)
    assert np.mean(held) > 0.93
    assert np.mean(alarms) < 0.06


def test_the_nearest_of_five_equal_methods_is_seldom_told_apart_from_another() -> None:
    """Which one is nearest the distances decide, so each of its pairs alone is no fair test."""
    rng = np.random.default_rng(0)
    corrected, alone = [], []
    for _ in range(300):
        methods = [trained(*rng.normal(150, 20, 3), deviation=3.0) for _ in range(5)]
        nearest = int(np.argmin([np.mean(method.values) for method in methods]))
        others = [method for place, method in enumerate(methods) if place != nearest]
        differences = all_differences(methods)
        corrected.append(any(d.p < 0.05 for pair, d in differences.items() if nearest in pair))
        alone.append(any(difference_between(methods[nearest], o).p < 0.05 for o in others))
    assert np.mean(corrected) < 0.07  # 0.05 and two standard deviations of 300 draws
    assert np.mean(alone) > 0.15


def test_methods_without_an_interval_are_outside_the_family() -> None:
    first, second = trained(10.0, 12.0, 11.5), trained(20.0, 21.0, 23.0)
    found = all_differences([first, None, second, trained(9.0)])
    assert found == {(0, 2): difference_between(second, first)}

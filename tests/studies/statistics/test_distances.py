"""Distances over trainings: limits that are known, and coverage."""

import numpy as np
import pytest
from scipy import stats

from studies.statistics.distances import difference_p, distance_interval


def test_without_scatter_over_images_it_is_students_t() -> None:
    values, other = [10.0, 12.0, 11.5], [14.0, 13.0, 15.5]
    low, high = distance_interval(values, [0.0] * 3)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-3)
    p_value = difference_p((values, [0.0] * 3), (other, [0.0] * 3))
    assert p_value == pytest.approx(stats.ttest_ind(values, other).pvalue, rel=1e-3)


def test_scatter_over_images_widens_it_and_does_not_shrink_with_trainings() -> None:
    values = [10.0, 12.0, 11.5]
    narrow, wide = (distance_interval(values, [sd] * 3) for sd in (0.0, 3.0))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    many = distance_interval(values * 30, [3.0] * 90)
    assert many[1] - many[0] > 2 * 1.96 * 3.0


def test_one_training_has_neither() -> None:
    assert distance_interval([3.0], [0.5]) is None
    assert difference_p(([3.0], [0.5]), ([4.0, 5.0], [0.5, 0.5])) is None
    assert difference_p(([3.0] * 2, [0.0] * 2), ([3.0] * 2, [0.0] * 2)) == 1.0


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held, alarms = [], []
    for _ in range(400):
        real = rng.normal(0, 2)  # shared by all trainings
        first, second = (20 + real + rng.normal(0, 1.5, 3) for _ in range(2))
        low, high = distance_interval(first, [2.0] * 3)
        held.append(low <= 20 <= high)
        alarms.append(difference_p((first, [2.0] * 3), (second, [2.0] * 3)) < 0.05)
    assert np.mean(held) > 0.93
    assert np.mean(alarms) < 0.06

"""Patient bootstrap: known values, scipy as reference, invariances, coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from metrics.intervals import Interval, patient_bootstrap


def test_mean_is_over_values_not_over_patients() -> None:
    interval = patient_bootstrap([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert interval.value == 0.75
    assert (interval.num_patients, interval.num_values) == (2, 4)
    # Draws are aa, ab, bb: means 1, 0.75, 0, each well above 2.5 % likely.
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_undefined_values_and_their_patients_are_left_out() -> None:
    with_gaps = patient_bootstrap([0.2, None, 0.6, math.nan, None], ["a", "a", "b", "b", "c"])
    assert with_gaps == patient_bootstrap([0.2, 0.6], ["a", "b"])
    assert with_gaps.num_patients == 2


def test_constant_values_give_a_point() -> None:
    interval = patient_bootstrap([0.5] * 6, list("aabbcc"))
    assert (interval.value, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_nothing_and_one_patient_claim_no_spread() -> None:
    assert patient_bootstrap([None], ["a"]) == Interval(None, None, None, 0, 0)
    assert patient_bootstrap([], []) == Interval(None, None, None, 0, 0)
    assert patient_bootstrap([0.25, 0.75], ["a", "a"]) == Interval(0.5, None, None, 1, 2)


def test_agrees_with_scipy_when_each_patient_has_one_value() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 25)
    ours = patient_bootstrap(values.tolist(), [str(i) for i in range(25)], num_resamples=20000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=2e-3)
    assert ours.high == pytest.approx(theirs.high, abs=2e-3)


def test_agrees_with_drawing_whole_patients() -> None:
    """Independent reference: draw patients by index and join their values, one at a time."""
    rng = np.random.default_rng(5)
    groups = [rng.normal(rng.normal(), 0.1, size=rng.integers(1, 9)) for _ in range(8)]
    values = [float(v) for group in groups for v in group]
    ids = [f"p{i}" for i, group in enumerate(groups) for _ in group]
    ours = patient_bootstrap(values, ids, num_resamples=20000)
    means = [
        np.concatenate([groups[i] for i in rng.integers(0, 8, size=8)]).mean() for _ in range(20000)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    assert ours.low == pytest.approx(low, abs=0.03)
    assert ours.high == pytest.approx(high, abs=0.03)


def test_order_of_images_and_names_of_patients_do_not_matter() -> None:
    rng = np.random.default_rng(7)
    values = rng.random(30).tolist()
    ids = [f"p{i % 6}" for i in range(30)]
    shuffled = rng.permutation(30)
    assert patient_bootstrap(values, ids) == patient_bootstrap(
        [values[i] for i in shuffled], [ids[i] for i in shuffled]
    )
    assert patient_bootstrap(values, ids) == patient_bootstrap(values, [f"x{i}" for i in ids])


def test_correlated_slices_widen_the_interval_and_cover_the_truth() -> None:
    rng = np.random.default_rng(11)
    covered, repeats, patients, slices = 0, 200, 30, 10
    for repeat in range(repeats):
        values = (rng.normal(0, 1, (patients, 1)) + rng.normal(0, 0.2, (patients, slices))).ravel()
        ids = [str(i) for i in range(patients) for _ in range(slices)]
        interval = patient_bootstrap(values.tolist(), ids, num_resamples=500, seed=repeat)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / repeats <= 0.99
    naive = patient_bootstrap(values.tolist(), [str(i) for i in range(len(values))])
    assert interval.high - interval.low > 2 * (naive.high - naive.low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], []), "1 values but 0 patient ids"),
        (([math.inf], ["p7"]), "patient p7.*infinite"),
        (([1.0], ["a"], 0), "num_resamples is 0"),
        (([1.0], ["a"], 10, 1.5), "confidence is 1.5"),
    ],
)
def test_errors_name_the_fault(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        patient_bootstrap(*arguments)

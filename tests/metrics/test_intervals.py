"""Means with intervals over patients: known values, scipy as reference, invariances, coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from metrics.intervals import Interval, difference_of_independent, ends, patient_interval


def test_mean_is_over_values_not_over_patients() -> None:
    interval = patient_interval([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert interval.value == 0.75
    assert (interval.num_patients, interval.num_values) == (2, 4)


def test_undefined_values_and_their_patients_are_left_out() -> None:
    with_gaps = patient_interval([0.2, None, 0.6, math.nan, None], ["a", "a", "b", "b", "c"])
    assert with_gaps == patient_interval([0.2, 0.6], ["a", "b"])
    assert with_gaps.num_patients == 2


def test_constant_values_give_a_point() -> None:
    interval = patient_interval([0.5] * 6, list("aabbcc"))
    assert (interval.value, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_nothing_and_one_patient_claim_no_spread() -> None:
    assert patient_interval([None], ["a"]) == Interval(None, None, None, 0, 0)
    assert patient_interval([], []) == Interval(None, None, None, 0, 0)
    alone = patient_interval([0.25, 0.75], ["a", "a"])
    assert (alone.value, alone.low, alone.num_patients) == (0.5, None, 1)
    assert alone.no_interval == "one patient: no interval"


def test_one_value_a_patient_is_students_t() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 12)
    ours = patient_interval(values.tolist(), [str(i) for i in range(12)])
    theirs = stats.ttest_1samp(values, 0).confidence_interval()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_shares_stay_between_0_and_1_and_have_an_interval_where_all_are_alike() -> None:
    ids = [str(i) for i in range(40)]
    near = patient_interval([1.0] * 38 + [0.0] * 2, ids, share=True)
    assert 0 < near.low < near.value == 0.95 < near.high < 1
    assert near.value - near.low > near.high - near.value
    every = patient_interval([1.0] * 40, ids, share=True)
    exact = stats.binomtest(40, 40).proportion_ci(method="exact")
    assert (every.low, every.high) == pytest.approx((exact.low, exact.high))
    none = patient_interval([0.0] * 40, ids, share=True)
    assert (none.low, none.high) == pytest.approx((0, 1 - exact.low))


def test_the_logits_interval_is_symmetrical_there() -> None:
    low, high = ends(np.array(0.9), np.array(0.05), "logit")
    logits = [math.log(p / (1 - p)) for p in (low, 0.9, high)]
    assert logits[2] - logits[1] == pytest.approx(logits[1] - logits[0])
    assert logits[2] - logits[1] == pytest.approx(0.05 / 0.09)
    assert np.isnan(ends(np.array(1.0), np.array(0.0), "logit")).all()


def test_order_of_images_and_names_of_patients_do_not_matter() -> None:
    rng = np.random.default_rng(7)
    values = rng.random(30).tolist()
    ids = [f"p{i % 6}" for i in range(30)]
    shuffled = rng.permutation(30)
    assert patient_interval(values, ids) == patient_interval(
        [values[i] for i in shuffled], [ids[i] for i in shuffled]
    )
    assert patient_interval(values, ids) == patient_interval(values, [f"x{i}" for i in ids])


def test_correlated_slices_widen_the_interval_and_cover_the_truth() -> None:
    rng = np.random.default_rng(11)
    covered, repeats, patients, slices = 0, 200, 30, 10
    for _ in range(repeats):
        values = (rng.normal(0, 1, (patients, 1)) + rng.normal(0, 0.2, (patients, slices))).ravel()
        ids = [str(i) for i in range(patients) for _ in range(slices)]
        interval = patient_interval(values.tolist(), ids)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0 <= interval.high
    assert 0.91 <= covered / repeats <= 0.99
    naive = patient_interval(values.tolist(), [str(i) for i in range(len(values))])
    assert interval.high - interval.low > 2 * (naive.high - naive.low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], []), "1 values but 0 patient ids"),
        (([math.inf], ["p7"]), "patient p7.*infinite"),
        (([1.0], ["a"], 1.5), "confidence is 1.5"),
    ],
)
def test_errors_name_the_fault(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        patient_interval(*arguments)


def two_humps(rng: np.random.Generator, patients: int) -> np.ndarray:
    low = rng.random(patients) < 0.3
    return np.where(low, -14.0, 6.0) + 4 * rng.normal(size=patients)


@pytest.mark.parametrize(("patients", "least"), [(10, 0.91), (30, 0.92)])
def test_few_patients_in_two_humps_are_covered(patients: int, least: float) -> None:
    rng = np.random.default_rng(patients)
    ids = [str(i) for i in range(patients)]
    found = [patient_interval(two_humps(rng, patients).tolist(), ids) for _ in range(800)]
    assert np.mean([one.low <= 0 <= one.high for one in found]) >= least


def wilson(found: int, of: int) -> Interval:
    """A share with Wilson's interval, as Newcombe takes it."""
    low, high = stats.binomtest(found, of).proportion_ci(method="wilson")
    return Interval(found / of, low, high, of, of)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((0, 10), (0, 20), -0.1611, 0.2775),
    ],
)
def test_a_difference_of_shares_has_newcombes_interval(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Table II, method 10."""
    found = difference_of_independent(wilson(*one), wilson(*other))
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    back = difference_of_independent(wilson(*other), wilson(*one))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert found.num_patients == min(one[1], other[1])


def test_a_difference_without_a_spread_claims_none() -> None:
    alone = Interval(0.5, None, None, 1, 3, "one patient: no interval")
    found = difference_of_independent(wilson(5, 10), alone)
    assert (found.value, found.low, found.high) == (0.0, None, None)
    assert found.no_interval == "one patient: no interval"
    nothing = Interval(None, None, None, 0, 0)
    assert difference_of_independent(nothing, alone).value is None

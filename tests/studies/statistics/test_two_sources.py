"""Variance of patients and trainings: published numbers, limits that are known, and coverage."""

import numpy as np
import pytest
from scipy import stats
from van_dyke import DISSECTED, ratings

from metrics.jackknife import jackknife_auroc, jackknife_mean
from studies.statistics.calibration import VarianceParts, critical_ratios, p_values
from studies.statistics.estimates import difference, patients_only, single
from studies.statistics.two_sources import Arm, over_patients, parts_of

STRATA = DISSECTED.astype(np.intp)


def van_dyke(way: str) -> Arm:
    found = jackknife_auroc(ratings(way), DISSECTED, np.arange(114))
    return Arm(found.value, found.pseudo)


def arm(table: np.ndarray) -> Arm:
    found = jackknife_mean(table, 1)
    return Arm(found.value, found.pseudo)


def drawn(
    rng: np.random.Generator, studies: int, arms: int, trainings: int, patients: int, sd: float
) -> list[Arm]:
    """Equal arms: patients of sd 10, trainings of `sd`, training x patient of sd 5."""
    table = 5 * rng.standard_normal((studies, arms, trainings, patients))
    table += 10 * rng.standard_normal((studies, 1, 1, patients))
    table += sd * rng.standard_normal((studies, arms, trainings, 1))
    return [arm(table[:, index]) for index in range(arms)]


@pytest.mark.parametrize(
    ("way", "mean", "between", "covariance", "error", "freedom"),
    [
        ("spin echo", 0.89703704, 0.00308263, 0.00048396, 0.03317360, 12.74),
        ("cinematic", 0.94083736, 0.0013046, 0.00020419, 0.02156637, 12.71),
    ],
)
def test_the_published_analysis_of_van_dykes_readers_comes_out(
    way: str, mean: float, between: float, covariance: float, error: float, freedom: float
) -> None:
    """OR-DBM MRMC 2.51's tables for one modality, random readers and cases."""
    readers = van_dyke(way)
    parts = parts_of([readers], strata=STRATA)
    assert readers.value == pytest.approx(mean, abs=5e-9)
    assert readers.between_trainings == pytest.approx(between, abs=5e-9)
    cov2 = parts.patients - parts.both
    assert cov2 == pytest.approx(covariance, abs=5e-9)
    assert parts.standard_error == pytest.approx(error, abs=5e-9)
    hillis = (between + 5 * cov2) ** 2 / (between**2 / 4)
    assert hillis == pytest.approx(freedom, abs=5e-3)
    if way == "spin echo":
        reach = stats.t.ppf(0.975, hillis) * parts.standard_error
        assert readers.value - reach == pytest.approx(0.82522360, abs=5e-8)
        assert readers.value + reach == pytest.approx(0.96885048, abs=5e-8)


def test_the_readers_aurocs_and_the_interval_for_these_readers_are_the_published_ones() -> None:
    readers = van_dyke("spin echo")
    published = [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066]
    assert readers.scores == pytest.approx(published, abs=5e-9)
    variance, freedom = over_patients([readers], STRATA)
    assert np.sqrt(variance) == pytest.approx(0.02428971, abs=5e-9)
    assert 44 < freedom < 112  # Welch's, over two classes of 45 and 69


def test_a_pairs_variance_is_obuchowskis_and_rockettes_with_readers_nested() -> None:
    arms = [van_dyke("cinematic"), van_dyke("spin echo")]
    centred = np.concatenate([one.pseudo - one.scores[:, None] for one in arms])
    covariance = centred @ centred.T / (114 * 113)
    within = [covariance[:5, :5], covariance[5:, 5:]]
    cov2 = [(block.sum() - np.trace(block)) / 20 for block in within]
    # Over all pairs of one reader of each arm: nested, so equal numbers are no pair.
    cov3 = covariance[:5, 5:].mean()
    between = sum(one.scores.var(ddof=1) for one in arms) / 5
    parts = parts_of(arms, strata=STRATA)
    expected = between + max(sum(cov2) - 2 * cov3, 0)
    assert parts.variance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("freedom", [2.0, 4.0, 8.0, 30.0])
def test_with_trainings_as_the_only_source_the_test_is_students_t(freedom: float) -> None:
    none = np.zeros(1)
    parts = VarianceParts(np.ones(1), none, none, none + freedom, none + 9, none + 9)
    for confidence in (0.9, 0.95, 0.99):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert critical_ratios(parts, confidence) == pytest.approx(expected, rel=1e-3)
    for ratio in (0.5, 2.0, 5.0):
        expected = 2 * stats.t.sf(ratio, freedom)
        assert p_values(np.full(1, ratio), parts) == pytest.approx(expected, rel=2e-3)


def test_with_patients_as_the_only_source_it_is_students_t_over_patients() -> None:
    none = np.zeros(1)
    parts = VarianceParts(none, np.ones(1), none, none + 4, none + 9, none + 36)
    assert critical_ratios(parts, 0.95) == pytest.approx(stats.t.ppf(0.975, 9), rel=1e-3)


def test_patients_alone_are_a_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1, 12))
    low, high = patients_only([arm(first), arm(second)])
    expected = stats.ttest_rel(first[0], second[0]).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_an_interval_leaves_out_zero_where_p_is_below_the_level() -> None:
    arms = drawn(np.random.default_rng(1), 300, 4, 3, 20, 2.0)
    found = difference(arms[1], arms[0], arms[2:])
    out = (found.low > 0) | (found.high < 0)
    assert (out == (found.p_value < 0.05)).all()


def test_equal_arms_whatever_the_unit_and_the_sign() -> None:
    arms = drawn(np.random.default_rng(2), 5, 2, 3, 20, 1.0)
    found = difference(arms[1], arms[0])
    turned = difference(arms[0], arms[1])
    scaled = difference(*(Arm(7 * a.scores, 7 * a.pseudo) for a in (arms[1], arms[0])))
    assert turned.value == pytest.approx(-found.value)
    assert (turned.p_value, scaled.p_value) == (
        pytest.approx(found.p_value), pytest.approx(found.p_value),
    )  # fmt: skip
    assert scaled.high == pytest.approx(7 * found.high)


def test_nothing_that_varies_gives_no_interval() -> None:
    same = arm(np.full((3, 10), 0.4))
    found = difference(same, same)
    assert found.value == 0.0
    assert np.isnan([found.low, found.high, found.p_value]).all()


def test_an_unstable_arm_is_judged_by_its_own_trainings() -> None:
    rng = np.random.default_rng(3)
    spread = np.array([-3.0, 2.0, 0.0, 4.0, -4.0])[:, None]
    calm = [arm(0.1 * spread + rng.normal(0, 0.01, (5, 40))) for _ in range(6)]
    wild = arm(spread + rng.normal(0, 0.01, (5, 40)))
    alone = parts_of([wild, calm[0]])
    together = parts_of([wild, calm[0]], calm[1:])
    assert together.trainings == alone.trainings
    assert together.freedom_trainings == alone.freedom_trainings == 8
    pooled = parts_of(calm[:2], calm[2:])
    assert pooled.freedom_trainings == 24


@pytest.mark.parametrize(("patients", "sd"), [(10, 0.0), (30, 1.0), (100, 2.0)])
def test_false_alarms_and_coverage_in_small(patients: int, sd: float) -> None:
    arms = drawn(np.random.default_rng([patients, int(sd)]), 1500, 4, 3, patients, sd)
    found = difference(arms[1], arms[0], arms[2:])
    assert (found.p_value < 0.05).mean() < 0.065
    one = single(arms[0], arms[1:])
    assert ((one.low < 0) & (one.high > 0)).mean() > 0.93


def test_patients_only_are_too_sure_where_trainings_vary() -> None:
    arms = drawn(np.random.default_rng(5), 1000, 2, 3, 100, 2.0)
    low, high = patients_only(arms)
    assert ((low > 0) | (high < 0)).mean() > 0.4

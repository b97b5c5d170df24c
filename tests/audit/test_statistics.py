"""Thresholds, bounds and permutations: known values, coverage, and patients as units."""

import numpy as np
import pytest
from scipy.stats import binom

import audit.statistics
from audit.statistics import (
    Scale,
    by_chance,
    effective_number,
    held_out_flags,
    largest_share,
    smallest_share_shown,
    threshold_of,
)


def draws(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2))


def of_patients(patients: int, each: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Images of a patient are almost the same."""
    values = draws(patients, seed).repeat(each, 0) + 0.01 * draws(patients * each, seed + 1000)
    return values, [f"patient {index // each}" for index in range(patients * each)]


def test_scale_puts_the_median_at_0_and_the_90th_percentile_at_1() -> None:
    values = np.stack([np.arange(101.0), 1000 + 10 * np.arange(101.0)], 1)
    scores = Scale.of(values).scores(values)
    assert scores[50] == pytest.approx(0)
    assert scores[90] == pytest.approx(1)
    assert Scale.of(values).scores(np.array([[50.0, 2400.0]]))[0] == pytest.approx(90 / 40)


def test_a_constant_likeness_makes_no_infinite_score() -> None:
    assert np.isfinite(Scale.of(np.zeros((9, 2))).scores(np.ones((3, 2)))).all()


def test_at_most_one_of_a_hundred_lies_above_the_threshold() -> None:
    scores = np.arange(1000.0)
    assert 5 <= (scores > threshold_of(scores)).sum() <= 10
    assert (np.arange(50.0) > threshold_of(np.arange(50.0))).sum() == 0


def test_held_out_rate_is_near_one_percent_and_judged_by_other_patients() -> None:
    rates = [
        held_out_flags(draws(400, seed), [str(i) for i in range(400)], seed).mean()
        for seed in range(60)
    ]
    assert 0.008 < np.mean(rates) < 0.02
    # One patient's hundred images, all far out: they cannot excuse one another.
    values, patients = of_patients(40, 10, 0)
    values[:10] += 50
    flags = held_out_flags(values, patients, 0)
    assert flags[:10].all()


def test_p_values_are_even_without_copies_also_for_patients_with_many_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit.statistics, "PERMUTATIONS", 200)
    low = []
    for seed in range(60):
        held_out, patients = of_patients(30, 8, seed)
        audited, owners = of_patients(30, 8, seed + 500)
        chance = by_chance(audited, owners, held_out, patients, seed)
        low.append([chance.flagged <= 0.1, chance.above_all <= 0.1])
    assert np.mean(low, 0).max() < 0.2  # 0.1, of 60


def test_copies_are_no_chance() -> None:
    audited, held_out = draws(300, 1), draws(300, 2)
    audited[:12] += 20
    names = [str(index) for index in range(300)]
    chance = by_chance(audited, names, held_out, names, 0)
    assert chance.flagged < 0.01
    assert chance.above_all < 0.01


def test_independent_images_count_fully_and_equal_ones_once() -> None:
    assert effective_number(draws(50)[:, 0], [str(i) for i in range(50)]) == 50
    values, patients = of_patients(40, 5, 0)
    assert effective_number(values[:, 0], patients) == pytest.approx(40, rel=0.02)
    pairs = [str(index // 2) for index in range(800)]
    unrelated = np.random.default_rng(0).normal(size=800)
    assert effective_number(unrelated, pairs) == pytest.approx(800, rel=0.1)


@pytest.mark.parametrize("number", [200, 1000])
def test_no_flag_is_the_rule_of_three(number: int) -> None:
    bound = largest_share(0, number, 0.01, 1.0)
    assert bound == pytest.approx(1 - 0.05 ** (1 / number), rel=0.01)
    assert largest_share(0, number, 0.0, 0.5) == pytest.approx(2 * bound, rel=0.02)


def test_upper_bound_holds_the_truth() -> None:
    random = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.1):
        rate = 0.01 + share * (0.9 - 0.01)
        flagged = random.binomial(500, rate, size=300)
        held = [largest_share(count, 500, 0.01, 0.9) >= share for count in flagged]
        assert np.mean(held) >= 0.93


def test_a_test_that_finds_nothing_bounds_nothing() -> None:
    assert largest_share(0, 500, 0.01, 0.01) == 1.0
    assert smallest_share_shown(500, 0.01, 0.01) is None
    assert smallest_share_shown(2, 0.2, 0.9) is None


def test_smallest_share_shown_by_the_definition() -> None:
    share = smallest_share_shown(1000, 0.01, 0.95)
    assert share is not None
    needed = next(k for k in range(1000) if binom.sf(k - 1, 1000, 0.01) <= 0.01)
    power = binom.sf(needed - 1, 1000, 0.01 + share * 0.94)
    assert power == pytest.approx(0.95, abs=1e-6)
    larger = smallest_share_shown(200, 0.01, 0.95)
    assert larger is not None
    assert larger > share

"""Arms with a collapsed training: found, named alone, and kept from hiding the others."""

import numpy as np
import pytest
from scipy import stats

from metrics.jackknife import jackknife_mean
from studies.statistics.estimates import difference, single
from studies.statistics.two_sources import Arm, parts_of
from studies.statistics.unsteady import LEVEL, unsteady


def arm(table: np.ndarray) -> Arm:
    found = jackknife_mean(table, 1)
    return Arm(found.value, found.pseudo)


def drawn(sds: list[float], studies: int, seed: int) -> list[Arm]:
    rng = np.random.default_rng(seed)
    table = 5 * rng.standard_normal((studies, len(sds), 3, 100))
    table += np.array(sds)[:, None, None] * rng.standard_normal((studies, len(sds), 3, 1))
    return [arm(table[:, index]) for index in range(len(sds))]


def test_one_variance_is_found_exactly_where_cochrans_table_says() -> None:
    """C of 8 variances of 2 degrees of freedom: the largest over their sum, at 0.01."""
    limit = 1 / (1 + 7 / stats.f.isf(LEVEL / 8, 2, 14))
    assert limit == pytest.approx(0.6152, abs=5e-5)  # Eisenhart et al. 1947, table 15.1
    largest = 7 * limit / (1 - limit)
    for factor, found in ((1.001, [True]), (0.999, [False])):
        squares = np.array([*np.ones(7), largest * factor])
        assert unsteady(squares, np.full(8, 2.0)).tolist() == [False] * 7 + found


def test_alike_arms_are_named_as_often_as_the_level_says() -> None:
    squares = np.random.default_rng(0).chisquare(2, (8, 40_000)) / 2
    named = unsteady(squares, np.full(8, 2.0)).any(0).mean()
    assert named == pytest.approx(LEVEL, abs=0.004)


def test_two_do_not_hide_each_other_and_no_more_than_half_are_named() -> None:
    free = np.full(8, 2.0)
    found = unsteady(np.array([1.0, 400.0, 1.2, 0.8, 900.0, 1.0, 0.9, 1.1]), free)
    assert np.flatnonzero(found).tolist() == [1, 4]
    most = unsteady(np.array([1.0, 1e6, 1e6, 1e6, 1e6, 1e6, 1.0, 1.0]), free)
    assert most.sum() <= 4


def test_a_collapsed_training_elsewhere_hides_nothing() -> None:
    calm = drawn([1.0] * 7, 1, 1)
    with_wild = [*calm, drawn([30.0], 1, 2)[0]]
    plain, beside = parts_of(calm[:2], calm[2:]), parts_of(calm[:2], with_wild[2:])
    assert beside.trainings == pytest.approx(plain.trainings, rel=1e-12)
    assert beside.freedom_trainings == plain.freedom_trainings == 14
    assert single(with_wild[0], with_wild[1:]).high == single(calm[0], calm[1:]).high


def test_the_collapsed_arm_is_judged_by_its_own_trainings() -> None:
    calm, wild = drawn([1.0] * 6, 1, 1), drawn([30.0], 1, 2)[0]
    alone, beside = parts_of([wild, calm[0]]), parts_of([wild, calm[0]], calm[1:])
    assert beside.trainings == alone.trainings
    assert beside.freedom_trainings == 4


def test_what_calm_arms_show_and_show_falsely_beside_a_wild_one() -> None:
    arms = drawn([1.0, 1.0, 20.0, 1.0, 1.0, 1.0, 1.0], 1500, 3)
    found = difference(arms[1], arms[0], arms[2:])
    assert (found.p_value < 0.05).mean() < 0.065
    assert (found.low + 3 > 0).mean() > 0.75  # of a z test that knows all, 0.91

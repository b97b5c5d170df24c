"""What a study can show, against studies that are drawn."""

import numpy as np
import pytest

from metrics.jackknife import jackknife_mean
from studies.statistics.estimates import difference
from studies.statistics.reach import (
    Spread,
    patients_needed,
    smallest_difference,
    spread_of,
    trainings_needed,
)
from studies.statistics.two_sources import Arm, parts_of


def drawn(spread: Spread, trainings: int, patients: int, studies: int, seed: int) -> list[Arm]:
    """Arms of equal studies; the last one differs from patient to patient."""
    rng = np.random.default_rng(seed)
    shape = (studies, 2 + spread.other_arms, trainings, patients)
    table = spread.both * rng.standard_normal(shape)
    table += spread.trainings * rng.standard_normal((*shape[:3], 1))
    table[:, -1] += spread.patients * rng.standard_normal((studies, 1, patients))
    found = jackknife_mean(table, 1)
    return [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(shape[1])]


@pytest.mark.parametrize(
    ("spread", "trainings", "patients"),
    [
        (Spread(1.0, 0.0, 5.0, 6), 3, 100),
        (Spread(2.0, 5.0, 5.0), 5, 30),
        (Spread(0.5, 5.0, 5.0, 2), 3, 30),
    ],
)
def test_four_of_five_studies_show_the_smallest_difference(
    spread: Spread, trainings: int, patients: int
) -> None:
    true = smallest_difference(spread, trainings, patients)
    assert true is not None
    arms = drawn(spread, trainings, patients, 1500, 0)
    found = difference(arms[-1], arms[0], arms[1:-1])
    shown = np.mean(found.low + true > 0)
    assert shown == pytest.approx(0.8, abs=0.06)


def test_more_of_either_show_less_and_what_is_needed_is_the_least_that_does() -> None:
    spread = Spread(1.0, 3.0, 5.0)
    seeds = [smallest_difference(spread, number, 50) for number in (2, 3, 5, 10)]
    assert seeds == sorted(seeds, reverse=True)
    helped = smallest_difference(Spread(1.0, 3.0, 5.0, other_arms=4), 3, 50)
    assert helped < seeds[1]
    needed = trainings_needed(spread, 2.0, 50)
    assert (
        smallest_difference(spread, needed, 50) <= 2.0 < smallest_difference(spread, needed - 1, 50)
    )
    # However many patients, three trainings of two arms cannot show what trainings hide.
    assert patients_needed(spread, 1.0, 3) is None
    enough = patients_needed(Spread(0.1, 3.0, 5.0), 1.0, 3)
    assert smallest_difference(Spread(0.1, 3.0, 5.0), 3, enough) <= 1.0
    assert smallest_difference(spread, 3, 50, level=0.01) > seeds[1]
    assert smallest_difference(spread, 1, 50) is None


def test_the_spread_of_many_trainings_and_patients_is_found_again() -> None:
    spread = Spread(1.0, 4.0, 5.0)
    arms = drawn(spread, 60, 800, 1, 1)
    parts = parts_of([Arm(one.scores[0], one.pseudo[0]) for one in arms])
    found = spread_of(parts, (60, 60), 800)
    assert (found.trainings, found.patients, found.both) == pytest.approx((1, 4, 5), rel=0.15)

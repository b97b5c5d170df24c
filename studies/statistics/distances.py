"""Distances of image sets over several trainings: their intervals, and which are told apart.

Each training's distance comes with a standard deviation over draws of images and patients. The
real images are the same for all trainings, so that part of it is shared, by how much is not known:
it is taken for shared whole, which makes intervals rather too long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from metrics.score_ranges import within_range
from studies.statistics.calibration import VarianceParts, critical_ratios, p_values
from studies.statistics.significance import holm

# Of a standard deviation over 20 halves of the images.
_FREEDOM_OF_HALVES = 19.0


@dataclass(frozen=True)
class Trainings:
    """What the trainings of one method came to.

    Attributes:
        values: Distance of each training.
        deviations: Its standard deviation over draws of images and patients.
    """

    values: Sequence[float]
    deviations: Sequence[float]


@dataclass(frozen=True)
class Difference:
    """Between the mean distances of two methods.

    Attributes:
        value: First minus second.
        low: Lower end of its interval, for other images, patients and trainings.
        high: Upper end.
        p: Two-sided, of "equal mean distances".
    """

    value: float
    low: float
    high: float
    p: float


def trainings(values: Sequence[float], deviations: Sequence[float | None]) -> Trainings | None:
    """These trainings; None where the deviation of one of them is not known."""
    known = [deviation for deviation in deviations if deviation is not None]
    return Trainings(values, known) if len(known) == len(values) else None


def distance_interval(
    name: str, trained: Trainings, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Ends of the mean distance for other images, patients and trainings.

    None with one training, and where nothing varied: an interval of no length would claim that
    other trainings come out the same.

    Args:
        name: Of the distance, or of another score of sets; its range cuts the interval off.
        trained: The trainings.
        confidence: Coverage.
    """
    if len(trained.values) < 2:
        return None
    parts = _parts([trained])
    if not parts.standard_error[0]:
        return None
    mean, reach = float(np.mean(trained.values)), float(critical_ratios(parts, confidence)[0])
    margin = reach * float(parts.standard_error[0])
    return within_range(name, mean - margin, mean + margin)


def difference_between(
    first: Trainings, second: Trainings, confidence: float = 0.95
) -> Difference | None:
    """The difference of two mean distances; None with one training, or where nothing varied.

    Source: as `two_sources`; what both share by being measured on the same real images is not
    taken off, so p and the interval are rather too large.
    """
    if min(len(first.values), len(second.values)) < 2:
        return None
    parts = _parts([first, second])
    if not parts.standard_error[0]:
        return None
    value = float(np.mean(first.values) - np.mean(second.values))
    margin = float(critical_ratios(parts, confidence)[0] * parts.standard_error[0])
    p_value = float(p_values(value / parts.standard_error, parts)[0])
    return Difference(value, value - margin, value + margin, p_value)


def all_differences(methods: Sequence[Trainings | None]) -> dict[tuple[int, int], Difference]:
    """Every pair of methods, by (place, later place): the later one minus the earlier one.

    Each p is corrected by Holm over all pairs, though a reader may look at those of the nearest
    method only: which one that is, the same distances decide. Without the correction, some method
    would be called farther in about 20 of 100 studies of five equal methods.

    Args:
        methods: None for one that has no interval; its pairs are not in the family.
    """
    found = {}
    for pair in combinations(range(len(methods)), 2):
        earlier, later = methods[pair[0]], methods[pair[1]]
        between = difference_between(later, earlier) if earlier and later else None
        if between is not None:
            found[pair] = between
    adjusted = holm([between.p for between in found.values()])
    return {
        pair: replace(between, p=p)
        for (pair, between), p in zip(found.items(), adjusted, strict=True)
    }


def _parts(sides: Sequence[Trainings]) -> VarianceParts:
    trainings = sum(float(np.var(side.values, ddof=1)) / len(side.values) for side in sides)
    images = sum(float(np.mean(np.square(side.deviations))) for side in sides)
    return VarianceParts(
        trainings=np.array([trainings]),
        patients=np.array([images]),
        both=np.zeros(1),
        freedom_trainings=np.array([float(sum(len(side.values) - 1 for side in sides))]),
        freedom_patients=np.array([_FREEDOM_OF_HALVES * len(sides)]),
        freedom_both=np.ones(1),
    )

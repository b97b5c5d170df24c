"""Distances of image sets over several trainings: their intervals, and which are told apart.

Each training's distance comes with a standard deviation over draws of images and patients. The
real images are the same for all trainings, so that part of it is shared, by how much is not known:
it is taken for shared whole, which makes intervals rather too long.
"""

from collections.abc import Sequence

import numpy as np

from studies.statistics.calibration import VarianceParts, critical_ratios, p_values

# Of a standard deviation over 20 halves of the images.
_FREEDOM_OF_HALVES = 19.0


def distance_interval(
    values: Sequence[float], deviations: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Ends of the mean distance for other images, patients and trainings; None with one training.

    Args:
        values: Distance of each training.
        deviations: Its standard deviation over draws of images and patients.
        confidence: Coverage.
    """
    if len(values) < 2:
        return None
    parts = _parts([(values, deviations)])
    mean, reach = float(np.mean(values)), float(critical_ratios(parts, confidence)[0])
    margin = reach * float(parts.standard_error[0])
    return mean - margin, mean + margin


def difference_p(
    first: tuple[Sequence[float], Sequence[float]], second: tuple[Sequence[float], Sequence[float]]
) -> float | None:
    """Two-sided p of "equal mean distances", of (values, deviations) each; None with one training.

    Source: as `two_sources`; what both share by being measured on the same real images is not
    taken off, so p is rather too large.
    """
    if min(len(first[0]), len(second[0])) < 2:
        return None
    parts = _parts([first, second])
    difference = np.mean(first[0]) - np.mean(second[0])
    if not parts.standard_error[0]:
        return 1.0 if difference == 0 else None
    return float(p_values(difference / parts.standard_error, parts)[0])


def _parts(sides: Sequence[tuple[Sequence[float], Sequence[float]]]) -> VarianceParts:
    trainings = sum(float(np.var(values, ddof=1)) / len(values) for values, _ in sides)
    images = sum(float(np.mean(np.square(deviations))) for _, deviations in sides)
    return VarianceParts(
        trainings=np.array([trainings]),
        patients=np.array([images]),
        both=np.zeros(1),
        freedom_trainings=np.array([float(sum(len(values) - 1 for values, _ in sides))]),
        freedom_patients=np.array([_FREEDOM_OF_HALVES * len(sides)]),
        freedom_both=np.ones(1),
    )

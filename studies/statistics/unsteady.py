"""Arms whose trainings vary far more than the others', such as one with a collapsed training."""

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray

# Probability of naming any of several arms whose trainings vary alike.
LEVEL = 0.01


def unsteady(squares: FloatArray, freedom: FloatArray) -> NDArray[np.bool_]:
    """Which of the arms (arms, ...) vary too much to say how the others' trainings vary.

    The largest variance is held against the mean of the rest, then the next largest against the
    rest without it, up to half of the arms; all down to the last one that is too large are named,
    so that two of them do not hide each other.

    Args:
        squares: (arms, ...) variance between the trainings of each.
        freedom: (arms,) its degrees of freedom, 1 or more.

    Source: Cochran 1941, doi:10.1111/j.1469-1809.1941.tb02271.x, for the largest of several
    variances; Rosner 1983, doi:10.1080/00401706.1983.10487848, for several of them.
    """
    from scipy.special import fdtrc

    order = np.argsort(-squares, axis=0, kind="stable")
    ranked, free = np.take_along_axis(squares, order, 0), freedom[order]
    # Of all arms that come after one in the order.
    rest = np.cumsum((free * ranked)[::-1], axis=0)[::-1] - free * ranked
    rest_freedom = np.cumsum(free[::-1], axis=0)[::-1] - free
    number = np.zeros(squares.shape[1:], np.intp)
    for place in range(len(squares) // 2):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = ranked[place] * rest_freedom[place] / np.maximum(rest[place], 0.0)
        chance = (len(squares) - place) * fdtrc(free[place], rest_freedom[place], ratio)
        number = np.where(chance < LEVEL, place + 1, number)
    places = np.arange(len(squares)).reshape(-1, *[1] * number.ndim)
    found = np.zeros(squares.shape, np.bool_)
    np.put_along_axis(found, order, places < number, axis=0)
    return found

"""A test and an interval for an estimate whose variance is a sum of estimated parts.

A t distribution does not fit |estimate| / standard error where the variance is a sum of parts of
which some may be 0: then it is never small, and t asks for too much; or its largest part rests on
four degrees of freedom while others rest on hundreds. So the distribution is computed: how often
would the ratio be so large, were the parts as estimated and re-estimated from as many trainings and
patients? That is the parametric bootstrap of mixed models, with the mean squares' chi-square
distributions integrated on a grid in place of drawing.

Plugging in estimates makes such tests a little too bold, the more so the fewer degrees of freedom.
Therefore parts are plugged in at a quantile of what they may be: the middle where there are twenty
degrees of freedom or more, and further up where there are fewer (`_doubt`).

Source: Halekoh and Hojsgaard 2014, doi:10.18637/jss.v059.i09, for the parametric bootstrap;
`benchmarks/placebo.py` measures what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray

# Nodes of the grid for trainings, patients, and both.
_NODES = (12, 8, 3)
# Estimates handled at once, each on the whole grid.
_AT_ONCE = 4096
_MOST_STEPS = 60
# A part of f degrees of freedom is plugged in as if its chi-square were at the quantile f / 40.
_SURE_FROM = 40


@dataclass(frozen=True)
class VarianceParts:
    """Variance of an estimate, apart by where it comes from: (...) each.

    Attributes:
        trainings: Variance if trainings were the only source, `both` included.
        patients: Variance if patients were, `both` included.
        both: Training x patient, which is in either.
        freedom_trainings: Degrees of freedom of `trainings`.
        freedom_patients: Of `patients`.
        freedom_both: Of `both`.
    """

    trainings: FloatArray
    patients: FloatArray
    both: FloatArray
    freedom_trainings: FloatArray
    freedom_patients: FloatArray
    freedom_both: FloatArray

    @property
    def variance(self) -> FloatArray:
        """(...) of the estimate; no part counts below 0."""
        return _variance(self.trainings, self.patients, self.both)

    @property
    def standard_error(self) -> FloatArray:
        """(...) square root of the variance."""
        error: FloatArray = np.sqrt(self.variance)
        return error


def p_values(ratios: FloatArray, parts: VarianceParts) -> FloatArray:
    """Two-sided p (...) of |estimate| / standard error, `ratios` (...)."""
    from scipy.special import erfc

    def of_block(relative: FloatArray, wanted: FloatArray) -> FloatArray:
        p_value: FloatArray = erfc(wanted[:, None] * relative / np.sqrt(2)) @ _weights()
        return p_value

    return _in_blocks(of_block, parts, np.abs(ratios))


def critical_ratios(parts: VarianceParts, confidence: float) -> FloatArray:
    """The ratio (...) whose p is 1 - confidence: half an interval's width in standard errors."""
    from scipy.special import erfc, ndtri

    def of_block(relative: FloatArray, wanted: FloatArray) -> FloatArray:
        # p falls and is convex, so Newton's steps from the left never go too far.
        found = wanted
        for _ in range(_MOST_STEPS):
            scaled = found[:, None] * relative / np.sqrt(2)
            slope = (np.exp(-(scaled**2)) * relative) @ _weights() * np.sqrt(2 / np.pi)
            step = (erfc(scaled) @ _weights() - (1 - confidence)) / slope
            found = found + step
            if not np.any(np.abs(step) > 1e-4 * found):
                break
        return found

    start = 0.85 * ndtri((1 + confidence) / 2)
    return _in_blocks(of_block, parts, np.full(np.shape(parts.both), start))


def power_of(ratio: float, parts: VarianceParts, level: float) -> float:
    """Probability that a true difference shows at a level.

    The ratio that shows it is taken for the one that belongs to the true parts, around which those
    of single studies scatter.

    Args:
        ratio: The true difference over its standard error.
        parts: True ones of one difference.
        level: Of the two-sided test.
    """
    from scipy.special import ndtr

    every = (
        parts.trainings, parts.patients, parts.both,
        parts.freedom_trainings, parts.freedom_patients, parts.freedom_both,
    )  # fmt: skip
    relative = _relative(*(np.reshape(one, 1).astype(np.float64) for one in every))[0]
    limit = float(critical_ratios(parts, 1 - level)) * relative
    return float((ndtr(ratio - limit) + ndtr(-ratio - limit)) @ _weights())


def _variance(trainings: FloatArray, patients: FloatArray, both: FloatArray) -> FloatArray:
    return both + np.maximum(trainings - both, 0.0) + np.maximum(patients - both, 0.0)


def _in_blocks(
    function: Callable[[FloatArray, FloatArray], FloatArray],
    parts: VarianceParts,
    given: FloatArray,
) -> FloatArray:
    """A function of (estimated over true standard error (N, nodes), given (N,)), for all (...).

    The parts that are plugged in for the true ones are the estimated ones, with their doubt.
    """
    arrays = np.broadcast_arrays(
        parts.trainings, parts.patients, parts.both,
        parts.freedom_trainings, parts.freedom_patients, parts.freedom_both, given,
    )  # fmt: skip
    flat = np.stack([np.ravel(array).astype(np.float64) for array in arrays])
    blocks = []
    for start in range(0, flat.shape[1], _AT_ONCE):
        trainings, patients, both, *freedom, block = flat[:, start : start + _AT_ONCE]
        plugged = (trainings * _doubt(freedom[0]), patients * _doubt(freedom[1]), both)
        blocks.append(function(_relative(*plugged, *freedom), block))
    return np.concatenate([np.zeros(0), *blocks]).reshape(arrays[0].shape)


def _relative(
    trainings: FloatArray, patients: FloatArray, both: FloatArray,
    freedom_trainings: FloatArray, freedom_patients: FloatArray, freedom_both: FloatArray,
) -> FloatArray:  # fmt: skip
    """Estimated over true standard error (N, nodes), were these the true parts."""
    true_trainings, true_patients = np.maximum(trainings, both), np.maximum(patients, both)
    estimated = _variance(
        (true_trainings[:, None] * _chi_squares(freedom_trainings, 0))[:, :, None, None],
        (true_patients[:, None] * _chi_squares(freedom_patients, 1))[:, None, :, None],
        (both[:, None] * _chi_squares(freedom_both, 2))[:, None, None, :],
    )
    truth = true_trainings + true_patients - both
    with np.errstate(invalid="ignore", divide="ignore"):
        relative: FloatArray = np.sqrt(estimated / truth[:, None, None, None])
    return relative.reshape(len(truth), -1)


def _doubt(freedom: FloatArray) -> FloatArray:
    """Factor from an estimated mean square to the one that is plugged in."""
    from scipy.special import gammaincinv

    share = np.minimum(0.5, freedom / _SURE_FROM)
    factor: FloatArray = freedom / 2 / gammaincinv(freedom / 2, share)
    return factor


def _chi_squares(freedom: FloatArray, axis: int) -> FloatArray:
    """(N, nodes) quantiles of chi-square / degrees of freedom (N,) at the places of an axis."""
    from scipy.special import gammaincinv

    half = freedom[:, None] / 2
    quantiles: FloatArray = gammaincinv(half, _rule(_NODES[axis])[0]) / half
    return quantiles


@lru_cache
def _weights() -> NDArray[np.float64]:
    """(nodes,) of the whole grid."""
    first, second, third = (_rule(nodes)[1] for nodes in _NODES)
    return np.ravel(first[:, None, None] * second[:, None] * third)


@lru_cache
def _rule(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in (0, 1) and weights of an integral over probability, dense where it is small.

    Small variances are what makes large ratios. Gauss and Legendre's rule in the cube root.
    """
    places, weights = np.polynomial.legendre.leggauss(nodes)
    root = (places + 1) / 2
    return root**3, 1.5 * weights * root**2

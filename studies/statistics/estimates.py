"""What two sources of variance make of scores: a value, its interval, and a p value.

Arrays in, arrays out: a study asks for one estimate, `benchmarks/placebo.py` for thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray
from metrics.intervals import ends
from studies.statistics.calibration import VarianceParts, critical_ratios, p_values
from studies.statistics.two_sources import Arm, over_patients, parts_of

Scale = Literal["plain", "logit"]


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference, that other patients and other trainings would change: (...) each.

    Attributes:
        value: Mean over trainings, or the difference of two such means.
        low: Lower end of the interval; NaN where nothing varies.
        high: Upper end.
        p_value: Two-sided, of "the value is 0"; of differences only.
        parts: Where the variance comes from.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    p_value: FloatArray
    parts: VarianceParts


def difference(
    treated: Arm,
    control: Arm,
    others: Sequence[Arm] = (),
    confidence: float = 0.95,
    strata: NDArray[np.intp] | None = None,
) -> Estimate:
    """Treated minus control, for other patients and other trainings.

    Args:
        treated: At least two trainings.
        control: At least two trainings, on the same patients in the same order.
        others: Further arms of the same model that help to say how much trainings vary.
        confidence: Of the interval.
        strata: (K,) class of each patient, for ranking scores.
    """
    return _estimate([treated, control], others, confidence, strata, "plain")


def single(
    arm: Arm,
    others: Sequence[Arm] = (),
    confidence: float = 0.95,
    strata: NDArray[np.intp] | None = None,
    scale: Scale = "plain",
) -> Estimate:
    """One arm's score for other patients and other trainings.

    Args:
        arm: At least two trainings.
        others: As in `difference`, and so the two next.
        confidence: Of the interval.
        strata: (K,) class of each patient.
        scale: On which the interval is symmetrical: "logit" for scores that press against 1.
    """
    return _estimate([arm], others, confidence, strata, scale)


def patients_only(
    arms: Sequence[Arm],
    confidence: float = 0.95,
    strata: NDArray[np.intp] | None = None,
    scale: Scale = "plain",
) -> tuple[FloatArray, FloatArray]:
    """Interval (...) of one arm's score, or of a difference, for other patients of these trainings.

    Student's t with the patients' degrees of freedom. One training is enough; `arms` are one, or
    the two whose difference is meant. Other arguments as in `single`.
    """
    from scipy.special import stdtrit

    variance, freedom = over_patients(arms, strata)
    reach = stdtrit(freedom, (1 + confidence) / 2)
    return ends(_value(arms), reach * np.sqrt(variance), scale)


def _estimate(
    arms: Sequence[Arm],
    others: Sequence[Arm],
    confidence: float,
    strata: NDArray[np.intp] | None,
    scale: Scale,
) -> Estimate:
    parts = parts_of(arms, others, strata)
    value, error = _value(arms), parts.standard_error
    # Equal scores differ in their last bits, which vary by themselves.
    error = np.where(error > 1e-9 * sum(abs(arm.value) for arm in arms), error, np.nan)
    reach = critical_ratios(parts, confidence) * error
    low, high = ends(value, reach, scale)
    return Estimate(value, low, high, p_values(value / error, parts), parts)


def _value(arms: Sequence[Arm]) -> FloatArray:
    return arms[0].value - arms[1].value if len(arms) == 2 else arms[0].value

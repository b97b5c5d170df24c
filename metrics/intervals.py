"""How far a mean could be off with other patients.

Slices of one patient resemble each other. An interval over slices treats them as independent and
comes out far too narrow, so whole patients are left out here, each with all of its values.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from metrics.classification import FloatArray
from metrics.jackknife import jackknife_mean, patient_variance


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values.

    Attributes:
        value: Mean over all defined values; None when there is none.
        low: Lower end; None with fewer than two patients, where no spread can be seen.
        high: Upper end; None likewise.
        num_patients: Patients with at least one defined value.
        num_values: Defined values.
        no_interval: Why there is none, where that can be said.
    """

    value: float | None
    low: float | None
    high: float | None
    num_patients: int
    num_values: int
    no_interval: str | None = None

    def as_dict(self) -> dict[str, float | int | str | None]:
        """The fields as plain JSON values."""
        return asdict(self)


def ends(
    value: FloatArray, margin: FloatArray, scale: Literal["plain", "logit"] = "plain"
) -> tuple[FloatArray, FloatArray]:
    """Ends (...) of an interval that reaches a margin to either side of its value.

    Args:
        value: (...) the score; within (0, 1) for the logit, NaN comes back at 0 and 1.
        margin: (...) in the score's unit.
        scale: On which the interval is symmetrical. On the logit it stays within (0, 1), and is
            longer towards the middle, as the scatter of an AUROC near 1 is.
    """
    if scale == "plain":
        return value - margin, value + margin
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.log(value / (1 - value))
        reach = margin / (value * (1 - value))
        return 1 / (1 + np.exp(reach - centre)), 1 / (1 + np.exp(-reach - centre))


def patient_interval(
    values: Sequence[float | None],
    patient_ids: Sequence[str],
    confidence: float = 0.95,
    share: bool = False,
) -> Interval:
    """Mean of all values with its interval for other patients: Student's t on a jackknife.

    A patient with many images weighs more, as in the mean itself. Patients without a defined value
    are left out. With ten patients, whether normal or in two humps, such intervals hold the truth
    in 93 to 95 of 100 cases; percentiles of a bootstrap do in 89.

    Args:
        values: (N,) numbers; None and NaN mean undefined and are left out.
        patient_ids: (N,) the patient of each value.
        confidence: Coverage in (0, 1).
        share: Values lie between 0 and 1, and so does the interval: symmetrical on the logit, and
            Clopper and Pearson's, with patients for trials, where all are alike.

    Raises:
        ValueError: Lengths differ, a value is infinite, or a setting is outside its range.

    Source: Davison and Hinkley 1997, sections 3.8 and 5.2, for clusters and for few of them.
    """
    from scipy.special import stdtrit

    if len(values) != len(patient_ids):
        raise ValueError(
            f"{len(values)} values but {len(patient_ids)} patient ids; give one id per value."
        )
    check_confidence(confidence)
    sums, counts = _patient_totals(values, patient_ids)
    num_patients, num_values = len(sums), int(counts.sum())
    if num_patients == 0:
        return Interval(None, None, None, 0, 0)
    value = float(sums.sum() / counts.sum())
    if num_patients == 1:
        alone = "one patient: no interval"
        return Interval(value, None, None, 1, num_values, alone)
    if share and value in (0.0, 1.0):
        bound = ((1 - confidence) / 2) ** (1 / num_patients)
        low, high = (bound, 1.0) if value else (0.0, 1 - bound)
        return Interval(value, low, high, num_patients, num_values)
    found = jackknife_mean(sums, counts)
    variance, freedom = patient_variance(found.pseudo)
    margin = np.sqrt(variance) * stdtrit(freedom, (1 + confidence) / 2)
    reached = ends(np.asarray(value), margin, "logit" if share else "plain")
    return Interval(value, float(reached[0]), float(reached[1]), num_patients, num_values)


def difference_of_independent(one: Interval, other: Interval) -> Interval:
    """The first mean minus the second, of two groups without a patient in common.

    Its ends are recovered from those of both: the distance from each mean to the end that makes the
    difference larger, or smaller, added as squares. So the interval of two shares is as unequal on
    its two sides as theirs are.

    Args:
        one: A mean with its interval.
        other: Another one, of the same confidence.

    Returns:
        The difference, with the patients of the smaller group; without ends where one has none.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10; Zou and Donner 2008.
    """
    patients = min(one.num_patients, other.num_patients)
    values = one.num_values + other.num_values
    if one.value is None or other.value is None:
        return Interval(None, None, None, patients, values)
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        why = one.no_interval or other.no_interval
        return Interval(value, None, None, patients, values, why)
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, low, high, patients, values)


def check_confidence(confidence: float) -> None:
    """Refuse a coverage outside (0, 1).

    Raises:
        ValueError: It is.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1.")


def _patient_totals(
    values: Sequence[float | None], patient_ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of defined values per patient, each (P,), patients in sorted order."""
    by_patient: dict[str, list[float]] = {}
    for position, (value, patient) in enumerate(zip(values, patient_ids, strict=True)):
        if value is None or math.isnan(value):
            continue
        if math.isinf(value):
            raise ValueError(
                f"value {position} (patient {patient}) is infinite; pass None where undefined."
            )
        by_patient.setdefault(patient, []).append(float(value))
    order = sorted(by_patient)
    # fsum does not depend on the order of the images, so neither does the interval.
    sums = np.array([math.fsum(by_patient[patient]) for patient in order])
    counts = np.array([len(by_patient[patient]) for patient in order], dtype=float)
    return sums, counts

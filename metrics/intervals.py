"""How far a mean could be off: bootstrap intervals that resample patients, not images.

Slices of one patient resemble each other. An interval over slices treats them as independent and
comes out far too narrow, so patients are drawn here, each with all of its values.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from metrics.classification import FloatArray


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, in the unit of the values.

    Attributes:
        value: Mean over all defined values; None when there is none.
        low: Lower end; None with fewer than two patients, where no spread can be seen.
        high: Upper end; None likewise.
        num_patients: Patients with at least one defined value.
        num_values: Defined values.
    """

    value: float | None
    low: float | None
    high: float | None
    num_patients: int
    num_values: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The five fields as plain JSON values."""
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


def patient_bootstrap(
    values: Sequence[float | None],
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of all values with a percentile interval from resampling patients with replacement.

    A resample's mean is the sum over the drawn patients' values divided by their number, so a
    patient with many images weighs more, as in the mean itself. Patients without a defined value
    are left out of the drawing. Below about 20 patients percentile intervals are somewhat too
    narrow (Davison & Hinkley 1997, section 5.2); read `num_patients` beside them.

    Args:
        values: (N,) numbers; None and NaN mean undefined and are left out.
        patient_ids: (N,) the patient of each value.
        num_resamples: Bootstrap resamples, at least 1.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.

    Raises:
        ValueError: Lengths differ, a value is infinite, or a setting is outside its range.

    Source: cluster bootstrap, Davison & Hinkley 1997, section 3.8; Field & Welsh 2007.
    """
    if len(values) != len(patient_ids):
        raise ValueError(
            f"{len(values)} values but {len(patient_ids)} patient ids; give one id per value."
        )
    check_resampling(num_resamples, confidence)
    sums, counts = _patient_totals(values, patient_ids)
    num_patients = len(sums)
    if num_patients == 0:
        return Interval(None, None, None, 0, 0)
    value = float(sums.sum() / counts.sum())
    if num_patients == 1:
        return Interval(value, None, None, 1, int(counts[0]))
    generator = np.random.default_rng(seed)
    # How often each patient is drawn: (num_resamples, patients), the same law as drawing indices.
    draws = generator.multinomial(
        num_patients, np.full(num_patients, 1 / num_patients), size=num_resamples
    )
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), num_patients, int(counts.sum()))


def check_resampling(num_resamples: int, confidence: float) -> None:
    """Refuse settings of a bootstrap that are outside their ranges.

    Raises:
        ValueError: Names the setting.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, expected at least 1.")


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

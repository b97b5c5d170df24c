"""What a study of so many seeds and patients can show, and what more of which would show.

`study.py plan` asks before anything is trained, the report after.
"""

from dataclasses import dataclass

import numpy as np

from studies.statistics.calibration import VarianceParts, power_of

POWER = 0.8
MOST_TRAININGS = 100
MOST_PATIENTS = 100_000


@dataclass(frozen=True)
class Spread:
    """Standard deviations behind a difference of two arms, in the score's unit.

    Attributes:
        trainings: Between trainings of one arm, beyond what patients explain.
        patients: Of the arms' difference between patients.
        both: Training x patient, of one training on one patient.
        other_arms: Further arms that help to say how much trainings vary.
    """

    trainings: float
    patients: float
    both: float
    other_arms: int = 0

    def parts(self, trainings: int, patients: int) -> VarianceParts:
        """Variance of a difference after so many trainings an arm, on so many patients."""
        both = 2 * self.both**2 / trainings / patients
        arms = 2 + self.other_arms
        return VarianceParts(
            trainings=np.array(both + 2 * self.trainings**2 / trainings),
            patients=np.array(both + self.patients**2 / patients),
            both=np.array(both),
            freedom_trainings=np.array(float(arms * (trainings - 1))),
            freedom_patients=np.array(patients - 1.0),
            freedom_both=np.array(2.0 * (trainings - 1) * (patients - 1)),
        )


def spread_of(parts: VarianceParts, trainings: tuple[int, int], patients: int) -> Spread:
    """Standard deviations from an estimated difference's parts.

    Args:
        parts: Of one difference.
        trainings: Of either arm.
        patients: Compared.
    """
    each = 1 / trainings[0] + 1 / trainings[1]
    beyond = (np.maximum(part - parts.both, 0.0) for part in (parts.trainings, parts.patients))
    between, over = (float(variance) for variance in beyond)
    # Of the trainings' variance: how many more arms it was estimated over than the two.
    other_arms = 2 * float(parts.freedom_trainings) / (trainings[0] + trainings[1] - 2) - 2
    return Spread(
        trainings=float(np.sqrt(between / each)),
        patients=float(np.sqrt(over * patients)),
        both=float(np.sqrt(parts.both * patients / each)),
        other_arms=round(other_arms),
    )


def smallest_difference(
    spread: Spread, trainings: int, patients: int, level: float = 0.05, power: float = POWER
) -> float | None:
    """The true difference that a study would show with this probability; None below two of either.

    Args:
        spread: As measured, or as expected.
        trainings: Seeds of each arm.
        patients: In the test split.
        level: Of the test, after any correction for several.
        power: Probability of showing it.
    """
    if trainings < 2 or patients < 2:
        return None
    parts = spread.parts(trainings, patients)
    low, high = 0.0, 1000.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle, parts, level) > power else (middle, high)
    return high * float(parts.standard_error)


def trainings_needed(
    spread: Spread, wanted: float, patients: int, level: float = 0.05, power: float = POWER
) -> int | None:
    """Seeds an arm that would show a true difference on so many patients; None: 100 do not."""
    return _first(
        lambda number: _shows(spread, wanted, number, patients, level, power), 2, MOST_TRAININGS
    )


def patients_needed(
    spread: Spread, wanted: float, trainings: int, level: float = 0.05, power: float = POWER
) -> int | None:
    """Test patients that would show a true difference with so many seeds; None: 100 000 do not."""
    return _first(
        lambda number: _shows(spread, wanted, trainings, number, level, power), 2, MOST_PATIENTS
    )


def _shows(
    spread: Spread, wanted: float, trainings: int, patients: int, level: float, power: float
) -> bool:
    parts = spread.parts(trainings, patients)
    error = float(parts.standard_error)
    return error == 0 or power_of(abs(wanted) / error, parts, level) >= power


def _first(suffices, low: int, high: int) -> int | None:  # type: ignore[no-untyped-def]
    """The smallest number that suffices, of which every greater one does."""
    if not suffices(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle + 1, high)
    return low

"""Other patients and other trainings: the variance of a score, or of a difference, from both.

A score of S trainings on K patients varies because other patients would have been scored, and
because other trainings of the same procedure would have come out. Trainings are nested in arms:
they are taken for independent, as those of arms with seeds of their own are. Three mean squares
carry it all, each the variance of the mean score if it were the only source:

    trainings   variance of the trainings' scores / S
    patients    variance over patients of their pseudo-values, averaged over trainings / K
    both        what is left of training x patient / (S K), which the two above contain

so the variance is both + max(trainings - both, 0) + max(patients - both, 0). Where trainings vary
more than patients explain this is Obuchowski and Rockette's variance, trainings being readers.

Everything takes arrays with any leading dimensions, so that thousands of studies are one call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray
from metrics.jackknife import patient_variance
from studies.statistics.calibration import VarianceParts
from studies.statistics.unsteady import unsteady

# Probability at which the F test leaves arms together whose trainings vary alike.
_ALIKE = 0.95


@dataclass(frozen=True)
class Arm:
    """The trainings of one arm on the same patients.

    Attributes:
        scores: (..., S) score of each training.
        pseudo: (..., S, K) its pseudo-values, one per patient.
    """

    scores: FloatArray
    pseudo: FloatArray

    @property
    def num_trainings(self) -> int:
        """S."""
        return self.scores.shape[-1]

    @property
    def num_patients(self) -> int:
        """K."""
        return self.pseudo.shape[-1]

    @property
    def value(self) -> FloatArray:
        """(...) mean over trainings."""
        mean: FloatArray = self.scores.mean(-1)
        return mean

    @cached_property
    def patients(self) -> FloatArray:
        """(..., K) pseudo-values averaged over trainings."""
        mean: FloatArray = self.pseudo.mean(-2)
        return mean

    @cached_property
    def between_trainings(self) -> FloatArray:
        """(...) variance of the trainings' scores: MS(R) of Obuchowski and Rockette."""
        variance: FloatArray = self.scores.var(-1, ddof=1)
        return variance

    @cached_property
    def training_by_patient(self) -> FloatArray:
        """(...) variance of training x patient, / K: Var - Cov2 of Obuchowski and Rockette."""
        rest = self.pseudo - self.pseudo.mean(-1, keepdims=True)
        rest = rest - rest.mean(-2, keepdims=True)
        freedom = (self.num_trainings - 1) * (self.num_patients - 1)
        squares: FloatArray = np.einsum("...sk,...sk->...", rest, rest)
        return squares / freedom / self.num_patients


def parts_of(
    arms: Sequence[Arm], others: Sequence[Arm] = (), strata: NDArray[np.intp] | None = None
) -> VarianceParts:
    """Variance of one arm's mean score, or of the difference of two, apart by source.

    How much trainings vary beyond patients is estimated over `arms` and `others` together, since
    three trainings say little about it; but over `arms` alone where their trainings vary more than
    the others' do, by an F test. That keeps an unstable arm from borrowing the calm of stable ones.
    What is `unsteady` among the others lends nothing: one collapsed training would hide what the
    calm arms show.

    Args:
        arms: One, or the two that are compared; at least two trainings each.
        others: Further arms of the same model, with at least two trainings each.
        strata: (K,) class of each patient, for scores whose variance is one per class, as AUROC.

    Source: Obuchowski and Rockette 1995; Hillis 2014, doi:10.1002/sim.5926, for readers nested in
    arms; Satterthwaite 1946 for the degrees of freedom of strata.
    """
    patients, patient_freedom = over_patients(arms, strata)
    both = sum((arm.training_by_patient / arm.num_trainings for arm in arms), np.zeros(()))
    own, own_freedom = _training_variance(arms)
    per_training = sum(1 / arm.num_trainings for arm in arms)
    trainings, freedom = own, np.full(np.shape(own), float(own_freedom))
    if others:
        from scipy.special import fdtri

        lending = ~unsteady_arms([*arms, *others])[len(arms) :]
        lent = sum(
            ((o.num_trainings - 1) * lends for o, lends in zip(others, lending, strict=True)),
            np.zeros(()),
        )
        squares = _over(others, lending, lambda other: other.between_trainings)
        beyond = _over(others, lending, _beyond_patients)
        limit = fdtri(own_freedom, np.maximum(lent, 1.0), _ALIKE)
        alike = (lent > 0) & (lent * _mean_square(arms) <= limit * squares)
        trainings = np.where(alike, (own * own_freedom + beyond) / (own_freedom + lent), own)
        freedom = np.where(alike, own_freedom + lent, own_freedom)
    return VarianceParts(
        trainings=np.maximum(both + per_training * trainings, 0.0),
        patients=patients,
        both=both,
        freedom_trainings=freedom,
        freedom_patients=patient_freedom,
        freedom_both=np.full(np.shape(both), float(_freedom(arms) * (arms[0].num_patients - 1))),
    )


def unsteady_arms(arms: Sequence[Arm]) -> NDArray[np.bool_]:
    """Which of them (arms, ...) are `unsteady`; each has at least two trainings."""
    squares = np.stack(np.broadcast_arrays(*(arm.between_trainings for arm in arms)))
    return unsteady(squares, np.array([arm.num_trainings - 1.0 for arm in arms]))


def over_patients(
    arms: Sequence[Arm], strata: NDArray[np.intp] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Variance (...) for other patients of these trainings, by the jackknife, and its freedom.

    Arguments as in `parts_of`; one training an arm is enough.
    """
    contrast = arms[0].patients - arms[1].patients if len(arms) == 2 else arms[0].patients
    return patient_variance(contrast, strata)


def _freedom(arms: Sequence[Arm]) -> int:
    return sum(arm.num_trainings - 1 for arm in arms)


def _mean_square(arms: Sequence[Arm]) -> FloatArray:
    total = sum(((arm.num_trainings - 1) * arm.between_trainings for arm in arms), np.zeros(()))
    return total / _freedom(arms)


def _training_variance(arms: Sequence[Arm]) -> tuple[FloatArray, int]:
    """Variance between trainings beyond patients (below 0 by chance, too), and its freedom."""
    total = sum(((arm.num_trainings - 1) * _beyond_patients(arm) for arm in arms), np.zeros(()))
    return total / _freedom(arms), _freedom(arms)


def _beyond_patients(arm: Arm) -> FloatArray:
    return arm.between_trainings - arm.training_by_patient


def _over(
    arms: Sequence[Arm], lending: NDArray[np.bool_], variance: Callable[[Arm], FloatArray]
) -> FloatArray:
    """Sum (...) of the arms' variances times their freedom, over those that lend."""
    return sum(
        (
            np.where(lends, (arm.num_trainings - 1) * variance(arm), 0.0)
            for arm, lends in zip(arms, lending, strict=True)
        ),
        np.zeros(()),
    )

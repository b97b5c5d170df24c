"""Is one model's AUROC really higher? DeLong's test, also where patients have several films.

Each film has a structural component: the share of films of the other class that it is ranked
rightly against. Their spread over patients gives the standard error without any resampling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray, checked
from metrics.ranking import WeightedRanking


@dataclass(frozen=True)
class AurocTest:
    """An AUROC, or a difference of two, with its standard error.

    Attributes:
        value: The AUROC, or treated minus control; None when a class is missing.
        standard_error: None with fewer than two patients in a class.
        z: Value over standard error, for differences; None where that is undefined.
        p_value: Two-sided, of "no difference", from the normal distribution; None for a single
            AUROC, and where the standard error is 0 while the difference is not.
        num_patients: All patients.
        num_patients_rarer_class: Patients with a film of the class that has fewer. The normal
            distribution is an approximation for many of them.
    """

    value: float | None
    standard_error: float | None
    z: float | None
    p_value: float | None
    num_patients: int
    num_patients_rarer_class: int


def structural_components(probabilities: ArrayLike, labels: ArrayLike) -> FloatArray:
    """Placement of every film among those of the other class.

    For a positive film the share of negatives below it, for a negative one the share of positives
    above it; ties count one half. The mean over either class is the AUROC. Found by sorting,
    O(N log N): the same counts as the midranks of Sun & Xu 2014.

    Args:
        probabilities: (N,) scores; or (S, N) of S trainings, whose components are averaged, since
            the mean of their AUROCs has them as its own.
        labels: (N,) 0 or 1, both present.

    Returns:
        (N,) in [0, 1].

    Source: DeLong, DeLong & Clarke-Pearson 1988 (V10 and V01).
    """
    table = np.atleast_2d(np.asarray(probabilities, dtype=np.float64))
    return np.mean([WeightedRanking(row, labels).placements() for row in table], axis=0)


def auroc_test(
    probabilities: ArrayLike, labels: ArrayLike, patient_ids: Sequence[str] | None = None
) -> AurocTest:
    """One AUROC with its standard error; arguments as in `delong_test`."""
    return _test(probabilities, None, labels, patient_ids)


def delong_test(
    treated: ArrayLike,
    control: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str] | None = None,
) -> AurocTest:
    """Two-sided test of "both models have the same AUROC" on the same films.

    Films of one patient resemble each other, so their components are summed before variances are
    taken over patients (Obuchowski 1997). With one film per patient this is DeLong's test exactly.
    Answers for these trained models and other patients, not for other trainings.

    Args:
        treated: (N,) scores, or (S, N) of S trainings: then AUROCs are means over them.
        control: (N,) or (S', N) scores of the same films in the same order.
        labels: (N,) 0 or 1.
        patient_ids: (N,) the patient of each film; None: every film is its own patient.

    Raises:
        ValueError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.

    Source: DeLong et al. 1988; Obuchowski 1997, Biometrics 53, 567-578, equations for S10, S01
    and S11; Sun & Xu 2014 for the counting.
    """
    return _test(treated, control, labels, patient_ids)


def _test(
    treated: ArrayLike,
    control: ArrayLike | None,
    labels: ArrayLike,
    patient_ids: Sequence[str] | None,
) -> AurocTest:
    _, positive = checked(labels, labels)
    if patient_ids is not None and len(patient_ids) != len(positive):
        raise ValueError(
            f"{len(positive)} labels but {len(patient_ids)} patient ids; give one id per film."
        )
    ids = np.arange(len(positive)) if patient_ids is None else np.asarray(patient_ids, dtype=str)
    patients, owner = np.unique(ids, return_inverse=True)
    of_class = [len(np.unique(owner[own])) for own in (positive, ~positive)]
    counts = (len(patients), min(of_class))
    if not min(of_class):
        return AurocTest(None, None, None, None, *counts)
    components = structural_components(treated, labels)
    if control is not None:
        components = components - structural_components(control, labels)
    value = float(components[positive].mean())
    variance = _clustered_variance(components, positive, owner)
    if variance is None:
        return AurocTest(value, None, None, None, *counts)
    error = math.sqrt(max(0.0, variance))
    if control is None:
        return AurocTest(value, error, None, None, *counts)
    if error < 1e-12:  # every patient says the same, to rounding
        equal = abs(value) < 1e-12
        return AurocTest(value, 0.0, 0.0 if equal else None, 1.0 if equal else None, *counts)
    z = value / error
    return AurocTest(value, error, z, math.erfc(abs(z) / math.sqrt(2)), *counts)


def _clustered_variance(
    components: FloatArray, positive: NDArray[np.bool_], owner: NDArray[np.intp]
) -> float | None:
    """Variance of the mean component over patients; None with one patient in a class.

    S10 / m + S01 / n + 2 S11 / (m n) in Obuchowski's notation, with m positive and n negative
    films. Patients with films of one class only have a sum of 0 in the other.
    """
    num_patients = int(owner.max()) + 1
    variance = 0.0
    sums = []
    for own in (positive, ~positive):
        # The components of a difference have equal means in both classes, as those of an AUROC.
        centred = components[own] - components[own].mean()
        of_patient = np.bincount(owner[own], weights=centred, minlength=num_patients) / own.sum()
        present = len(np.unique(owner[own]))
        if present < 2:
            return None
        variance += present / (present - 1) * float(of_patient @ of_patient)
        sums.append(of_patient)
    shared = float(sums[0] @ sums[1])
    return variance + 2 * num_patients / (num_patients - 1) * shared

"""Scores with every patient left out in turn: what a score of any kind owes to each patient.

Left-out scores turn a score that no patient has alone, such as an AUROC, into one number per
patient, the pseudo-value K * score - (K - 1) * score without the patient. Those of a mean over
patients are the patients' own values, so means and rankings go the same way from here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray, checked
from metrics.jackknife_precision import average_precisions


@dataclass(frozen=True)
class Jackknife:
    """A score and its pseudo-values; `...` stands for whatever is scored at once.

    Attributes:
        value: (...) the score with all patients; NaN where it is undefined.
        pseudo: (..., K) one per patient; NaN where the score hangs on that patient alone.
    """

    value: FloatArray
    pseudo: FloatArray


def jackknife_mean(sums: ArrayLike, counts: ArrayLike) -> Jackknife:
    """Mean of all values, each patient counting with as many as are defined.

    Args:
        sums: (..., K) sum of each patient's defined values.
        counts: (..., K) how many they are, 0 where none is. Values that are patients' means have
            counts of 1.

    Source: Efron and Tibshirani 1993, chapter 11.
    """
    total, number = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if number.size and (number == 1).all():
        return Jackknife(total.mean(-1), total)
    total, number = np.broadcast_arrays(total, number)
    every, all_values = total.sum(-1, keepdims=True), number.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = every / all_values
        without = (every - total) / (all_values - number)
    return _pseudo(value[..., 0], np.where(number > 0, without, value))


def jackknife_auroc(scores: ArrayLike, positive: ArrayLike, owner: ArrayLike) -> Jackknife:
    """AUROC of each row of scores, ties counting one half, in closed form.

    Without a patient the rightly ordered pairs are all of them, less those of the patient's films
    of either class, plus those within the patient, which were taken twice.

    Args:
        scores: (..., N) on any monotone scale.
        positive: (N,) whether a film is of class 1; both classes are present.
        owner: (N,) number of each film's patient, 0 to K - 1.

    Source: Hanley and McNeil 1982 for the pairs; Obuchowski 1997 for patients as clusters.
    """
    table = np.asarray(scores, dtype=np.float64)
    own, patient = np.asarray(positive, dtype=bool), np.asarray(owner)
    num_patients = int(patient.max()) + 1
    num_positive, num_negative = int(own.sum()), int((~own).sum())
    right = _rightly_ordered(table, own)
    pairs = right[..., own].sum(-1)
    without = pairs[..., None] - _by_patient(right, patient, num_patients)
    positives = np.bincount(patient[own], minlength=num_patients)
    negatives = np.bincount(patient[~own], minlength=num_patients)
    order = np.argsort(patient, kind="stable")
    ends = np.cumsum(np.bincount(patient, minlength=num_patients))
    for mixed in np.flatnonzero((positives > 0) & (negatives > 0)):
        films = order[ends[mixed] - positives[mixed] - negatives[mixed] : ends[mixed]]
        first = table[..., films[own[films]]][..., :, None]
        second = table[..., films[~own[films]]][..., None, :]
        without[..., mixed] += ((first > second) + 0.5 * (first == second)).sum((-2, -1))
    left = (num_positive - positives) * (num_negative - negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(left > 0, without / left, np.nan)
    return _pseudo(pairs / (num_positive * num_negative), without)


def jackknife_average_precision(
    scores: ArrayLike, positive: ArrayLike, owner: ArrayLike
) -> Jackknife:
    """Average precision of one row of scores, equal ones as one step; NaN without a class.

    Args:
        scores: (N,) on any monotone scale.
        positive: (N,) whether a film is of class 1.
        owner: (N,) number of each film's patient, 0 to K - 1.
    """
    values, own = checked(scores, positive)
    value, without = average_precisions(values, own, np.asarray(owner))
    return _pseudo(np.asarray(value), without)


def patient_variance(
    pseudo: FloatArray, strata: NDArray[np.intp] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Variance (...) of a score for other patients, and its degrees of freedom.

    Args:
        pseudo: (..., K) pseudo-values.
        strata: (K,) class of each patient, for scores whose variance is one per class, such as an
            AUROC: the degrees of freedom are then Welch's and Satterthwaite's.
    """
    number = pseudo.shape[-1]
    if number < 2:
        nothing = np.full(pseudo.shape[:-1], np.nan)
        return nothing, nothing
    squares = (pseudo - pseudo.mean(-1, keepdims=True)) ** 2 / (number * (number - 1))
    variance: FloatArray = squares.sum(-1)
    if strata is None:
        return variance, np.full(np.shape(variance), float(number - 1))
    spent = np.zeros(np.shape(variance))
    for stratum in np.unique(strata):
        chosen = strata == stratum
        spent = spent + squares[..., chosen].sum(-1) ** 2 / max(1, chosen.sum() - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return variance, np.where(spent > 0, variance**2 / spent, number - 1.0)


def _rightly_ordered(table: FloatArray, own: NDArray[np.bool_]) -> FloatArray:
    """Negatives below each positive film (..., N), and positives above each negative one."""
    order = np.argsort(table, axis=-1)
    ascending = np.take_along_axis(table, order, axis=-1)
    right = np.empty_like(table)
    if (ascending[..., 1:] > ascending[..., :-1]).all():
        kind = own[order]
        below = np.cumsum(~kind, axis=-1)
        above = own.sum() - np.cumsum(kind, axis=-1)
        np.put_along_axis(right, order, np.where(kind, below, above).astype(float), axis=-1)
        return right
    from scipy.stats import rankdata

    ranks = rankdata(table, axis=-1)
    right[..., own] = ranks[..., own] - rankdata(table[..., own], axis=-1)
    right[..., ~own] = own.sum() - ranks[..., ~own] + rankdata(table[..., ~own], axis=-1)
    return right


def _pseudo(value: FloatArray, without: FloatArray) -> Jackknife:
    value, number = np.asarray(value), without.shape[-1]
    return Jackknife(value, number * value[..., None] - (number - 1) * without)


def _by_patient(values: FloatArray, patient: NDArray[np.intp], number: int) -> FloatArray:
    """Sums (..., K) of each patient's values (..., N)."""
    order = np.argsort(patient, kind="stable")
    if len(patient) == number:  # one film each
        return values[..., order]
    starts = np.searchsorted(patient[order], np.arange(number))
    return np.add.reduceat(values[..., order], starts, axis=-1)

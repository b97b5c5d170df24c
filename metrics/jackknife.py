"""Scores with every patient left out in turn: what a score of any kind owes to each patient.

Left-out scores turn a score that no patient has alone, such as an AUROC, into one number per
patient, the pseudo-value K * score - (K - 1) * score without the patient. Those of a mean over
patients are the patients' own values, so means and rankings go the same way from here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray, checked
from metrics.ranking import WeightedRanking


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

    Average precision is the sum over scores t, from high to low, of p_t P_t / C_t, by the number of
    positives: p_t of them have this score, and of C_t films with it or above P_t are positive.
    Without a patient it is sums over stretches between that patient's films: where b of them, a of
    them positive, are above, the terms are p_t (P_t - a) / (C_t - b). So the sums of p_t P_t and of
    p_t by C_t - b, once for each b, serve all patients, and the cost is N times the films of a
    patient. Who has more than the square root of N is scored anew.

    Args:
        scores: (N,) on any monotone scale.
        positive: (N,) whether a film is of class 1.
        owner: (N,) number of each film's patient, 0 to K - 1.
    """
    values, own = checked(scores, positive)
    patient = np.asarray(owner)
    films = np.bincount(patient)
    _, step = np.unique(-values, return_inverse=True)
    of_step = np.bincount(step[own], minlength=int(step.max()) + 1).astype(np.float64)
    right, called = np.cumsum(of_step), np.cumsum(np.bincount(step)).astype(np.float64)
    many = films > max(2, int(np.sqrt(len(values))))
    # By patient, each one's films from high to low scores.
    order = np.lexsort((step, patient))
    order = order[~many[patient[order]]]
    step_of, patient_of, own_of = step[order], patient[order], own[order].astype(np.float64)
    first = np.searchsorted(patient_of, np.arange(len(films)))
    rank = np.arange(len(order)) - first[patient_of]
    above = np.cumsum(own_of) - np.append(0.0, np.cumsum(own_of))[first[patient_of]]
    last = np.append(np.diff(patient_of) != 0, True)[: len(order)]
    until = np.where(last, len(of_step), np.append(step_of[1:], 0))
    # The films of a patient at one score are one step down; its term lacks its own positives.
    alike = np.flatnonzero(np.append(True, (np.diff(patient_of) != 0) | (np.diff(step_of) != 0)))
    alike = alike[: len(order)]
    sums = np.zeros(len(films))
    most = int(rank.max(initial=-1)) + 1
    for taken in range(most + 1):
        left = called - taken
        by_called = np.divide(of_step, left, out=np.zeros_like(left), where=left > 0)
        weighted = np.append(0.0, np.cumsum(by_called * right))
        plain = np.append(0.0, np.cumsum(by_called))
        if taken == 0:
            whole = float(weighted[-1])
            has = np.flatnonzero((films > 0) & ~many)
            sums[has] += weighted[step_of[first[has]]]
            continue
        here = np.flatnonzero(rank == taken - 1)
        start, end = step_of[here], until[here]
        stretch = weighted[end] - weighted[start] - above[here] * (plain[end] - plain[start])
        sums[patient_of[here]] += stretch
    if len(order):
        ends = np.append(alike[1:], len(order)) - 1
        fewer = np.add.reduceat(own_of, alike)
        left = called[step_of[ends]] - rank[ends] - 1
        precision = np.zeros(len(ends))
        np.divide(right[step_of[ends]] - above[ends], left, out=precision, where=left > 0)
        np.subtract.at(sums, patient_of[ends], fewer * precision)
    positives = own.sum() - np.bincount(patient[own], minlength=len(films))
    negatives = (~own).sum() - np.bincount(patient[~own], minlength=len(films))
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(negatives > 0, sums / positives, np.nan)
        value = np.where((~own).any(), whole / np.float64(own.sum()), np.nan)
    for one in np.flatnonzero(many & (positives > 0) & (negatives > 0)):
        others = patient != one
        ranking = WeightedRanking(values[others], own[others])
        without[one] = ranking.average_precision(np.ones((1, int(others.sum()))))[0]
    without[positives == 0] = np.nan
    return _pseudo(value, without)


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

"""Average precision with every patient left out in turn, without ranking all films anew.

Average precision is the sum over steps of equal scores, from high to low, of p P / C, by the number
of positives: p of the positive films are on this step, and P of the C films on it or above.
Without a patient, of whose films b lie on the step or above, a of them positive, the term of a step
is (p - own) (P - a) / (C - b), where own are the patient's positive films on it. Between two films
of the patient a and b do not change. So the running sums of p P / (C - b) and of p / (C - b), once
for every b, give the terms of all stretches between films of all patients; the steps that hold a
film of the patient then lose the part of their own films. The cost is N times the films of a
patient, and who has more than the square root of N is scored anew.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray
from metrics.ranking import WeightedRanking

Ints = NDArray[np.intp]


@dataclass(frozen=True)
class _Steps:
    """All films in S steps of equal scores, from high to low.

    Attributes:
        of_film: (N,) step of each film.
        positives: (S,) positive films on each step.
        right: (S,) positive films on each step or above.
        called: (S,) films on each step or above.
    """

    of_film: Ints
    positives: FloatArray
    right: FloatArray
    called: FloatArray


@dataclass(frozen=True)
class _OwnFilms:
    """M films of patients who have few, patient by patient, and each one's from high to low.

    Attributes:
        step: (M,) of the film.
        patient: (M,) whose it is.
        positive: (M,) 1 or 0.
        rank: (M,) films of the patient that come before it.
        positives_until: (M,) positive films of the patient up to this one, itself included.
        until: (M,) step of the patient's next film; S for the last one.
    """

    step: Ints
    patient: Ints
    positive: FloatArray
    rank: Ints
    positives_until: FloatArray
    until: Ints


def average_precisions(
    values: FloatArray, positive: NDArray[np.bool_], patient: Ints
) -> tuple[float, FloatArray]:
    """Average precision of all films, and without each patient.

    Args:
        values: (N,) scores.
        positive: (N,) whether a film is of class 1.
        patient: (N,) number of each film's patient, 0 to K - 1.

    Returns:
        The first is NaN without a negative film; (K,) likewise, and without a positive one.
    """
    films = np.bincount(patient)
    many = films > max(2, int(np.sqrt(len(values))))
    steps = _steps(values, positive)
    own = _own_films(steps, positive, patient, ~many)
    sums = _between_own_films(steps, own, len(films)) - _of_own_films(steps, own, len(films))
    positives = positive.sum() - np.bincount(patient[positive], minlength=len(films))
    negatives = (~positive).sum() - np.bincount(patient[~positive], minlength=len(films))
    whole = float((steps.positives * steps.right / steps.called).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.where(negatives > 0, sums / positives, np.nan)
        value = float(whole / np.float64(positive.sum())) if (~positive).any() else np.nan
    for one in np.flatnonzero(many & (positives > 0) & (negatives > 0)):
        others = patient != one
        ranking = WeightedRanking(values[others], positive[others])
        without[one] = ranking.average_precision(np.ones((1, int(others.sum()))))[0]
    without[positives == 0] = np.nan
    return value, without


def _steps(values: FloatArray, positive: NDArray[np.bool_]) -> _Steps:
    _, step = np.unique(-values, return_inverse=True)
    positives = np.bincount(step[positive], minlength=int(step.max()) + 1).astype(np.float64)
    called = np.cumsum(np.bincount(step)).astype(np.float64)
    return _Steps(step, positives, np.cumsum(positives), called)


def _own_films(
    steps: _Steps, positive: NDArray[np.bool_], patient: Ints, chosen: NDArray[np.bool_]
) -> _OwnFilms:
    """The films of the chosen patients."""
    order = np.lexsort((steps.of_film, patient))
    order = order[chosen[patient[order]]]
    step, owner, own = steps.of_film[order], patient[order], positive[order].astype(np.float64)
    first = np.searchsorted(owner, owner)  # where the films of its patient begin
    counted = np.append(0.0, np.cumsum(own))
    next_step = np.append(step[1:], 0)[: len(step)]
    is_last = _changes(owner)[1:]
    return _OwnFilms(
        step=step,
        patient=owner,
        positive=own,
        rank=np.arange(len(order)) - first,
        positives_until=counted[1:] - counted[first],
        until=np.where(is_last, len(steps.positives), next_step),
    )


def _between_own_films(steps: _Steps, own: _OwnFilms, number: int) -> FloatArray:
    """(K,) sums of the terms of each patient's stretches, with all positive films of their steps.

    A stretch begins on the step of a film, or at the top, and ends before the step of the next.
    """
    sums = np.zeros(number)
    for taken in range(int(own.rank.max(initial=-1)) + 2):  # of the patient's films, above it
        left = steps.called - taken
        share = np.divide(steps.positives, left, out=np.zeros_like(left), where=left > 0)
        of_right = np.append(0.0, np.cumsum(share * steps.right))
        of_one = np.append(0.0, np.cumsum(share))
        if taken == 0:
            top = np.flatnonzero(own.rank == 0)
            sums[own.patient[top]] += of_right[own.step[top]]
            continue
        at = np.flatnonzero(own.rank == taken - 1)
        start, end = own.step[at], own.until[at]
        stretch = of_right[end] - of_right[start]
        stretch -= own.positives_until[at] * (of_one[end] - of_one[start])
        sums[own.patient[at]] += stretch
    return sums


def _of_own_films(steps: _Steps, own: _OwnFilms, number: int) -> FloatArray:
    """(K,) what the stretches hold too much: each patient's own positive films on their steps."""
    too_much = np.zeros(number)
    if not len(own.step):
        return too_much
    # Films of a patient on one step are left out together: the counts are those of the last.
    begins = _changes(own.patient) | _changes(own.step)
    last = np.flatnonzero(begins[1:])
    positives = np.add.reduceat(own.positive, np.flatnonzero(begins[:-1]))
    left = steps.called[own.step[last]] - own.rank[last] - 1
    right = steps.right[own.step[last]] - own.positives_until[last]
    precision = np.divide(right, left, out=np.zeros(len(last)), where=left > 0)
    np.add.at(too_much, own.patient[last], positives * precision)
    return too_much


def _changes(values: Ints) -> NDArray[np.bool_]:
    """(M + 1,) whether another value begins at each place; so at both ends, if there are any."""
    if not len(values):
        return np.ones(1, bool)
    return np.concatenate([[True], np.diff(values) != 0, [True]])

"""Scores of the order that films are ranked in: ROC curve, AUROC and average precision.

Class 1 is the positive one. Films with equal scores are one step of a curve and half right in
AUROC, so no score depends on the order of the films. Where a class is missing, a score is None or
NaN, never 0 or 1. Each score is computed for films of any weights: a film counts once in the score
itself, and as often as it was drawn in a bootstrap.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray, as_array, checked

Score = Literal["auroc", "average_precision"]
Statistic = Callable[[FloatArray], FloatArray]


class WeightedRanking:
    """Films in the order of their scores, for scores under many weightings at once.

    Args:
        probabilities: (N,) scores, any monotone scale.
        labels: (N,) 0 or 1.

    Attributes:
        thresholds: (T,) distinct scores from high to low.

    Raises:
        ValueError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.
    """

    def __init__(self, probabilities: ArrayLike, labels: ArrayLike) -> None:
        scores, truth = checked(probabilities, labels)
        self._order = np.argsort(-scores, kind="stable")
        self._positive = truth[self._order].astype(np.float64)
        descending = scores[self._order]
        # Where each run of equal scores begins, in descending order.
        self._starts = np.flatnonzero(np.append(True, np.diff(descending) != 0))[: len(scores)]
        self.thresholds = descending[self._starts]

    def auroc(self, weights: NDArray[np.floating]) -> FloatArray:
        """AUROC (R,) under film weights (R, N) >= 0; NaN where a class has no weight.

        Source: Hanley & McNeil 1982 (area = Mann-Whitney U over the number of pairs).
        """
        positive, negative = self.by_score(weights)
        pairs = positive.sum(1) * negative.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (positive * _below(negative)).sum(1) / pairs

    def average_precision(self, weights: NDArray[np.floating]) -> FloatArray:
        """Average precision (R,) under film weights (R, N); NaN where a class has no weight."""
        positive, negative = self.by_score(weights)
        true_positives = np.cumsum(positive, axis=1)
        called = true_positives + np.cumsum(negative, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(called > 0, true_positives / called, 0.0)
            found = (positive * precision).sum(1) / positive.sum(1)
        return np.where(negative.sum(1) > 0, found, np.nan)

    def sensitivity_at(
        self, weights: NDArray[np.floating], false_positive_rates: FloatArray
    ) -> FloatArray:
        """Height of the ROC curve (R, T) at given false positive rates; NaN without a class."""
        positive, negative = self.by_score(weights)
        heights = np.full((len(weights), len(false_positive_rates)), np.nan)
        for row in range(len(weights)):
            totals = positive[row].sum(), negative[row].sum()
            if min(totals) > 0:
                sensitivity = np.append(0.0, np.cumsum(positive[row]) / totals[0])
                rate = np.append(0.0, np.cumsum(negative[row]) / totals[1])
                # Of several heights at one rate the upper is the curve's: its last entry.
                last = np.append(np.flatnonzero(np.diff(rate)), len(rate) - 1)
                heights[row] = np.interp(false_positive_rates, rate[last], sensitivity[last])
        return heights

    def placements(self) -> FloatArray:
        """(N,) each film's share of the other class that it is ranked rightly against; see DeLong.

        The mean over either class is the AUROC; NaN for films of the only class.
        """
        positive, negative = self.by_score(np.ones((1, len(self._order))))
        # A negative is above those that are not above it, and half above those that tie.
        above = positive.sum(1, keepdims=True) - _below(positive)
        with np.errstate(invalid="ignore"):
            shares = _below(negative) / negative.sum(), above / positive.sum()
        lengths = np.diff(np.append(self._starts, len(self._order)))
        of_positive, of_negative = (np.repeat(share[0], lengths) for share in shares)
        placed = np.empty(len(self._order))
        placed[self._order] = np.where(self._positive == 1, of_positive, of_negative)
        return placed

    def by_score(self, weights: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Weight of positive and of negative films at each distinct score, (R, T) each."""
        sorted_weights = np.asarray(weights, dtype=np.float64)[:, self._order]
        positive = np.add.reduceat(sorted_weights * self._positive, self._starts, axis=1)
        return positive, np.add.reduceat(sorted_weights, self._starts, axis=1) - positive


def mean_over_trainings(
    probabilities: ArrayLike, labels: ArrayLike, score: Score = "auroc"
) -> Statistic:
    """A ranking score as a function of film weights.

    Args:
        probabilities: (N,), or (S, N) of S trainings, or (S, N, K) of K classes: then each class
            against the others, averaged over classes.
        labels: (N,) 0 or 1, or 0 to K - 1.
        score: "auroc" or "average_precision".

    Returns:
        From weights (R, N) to the mean over trainings (R,), NaN where a class has no weight.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    classes = np.asarray(labels)
    if table.ndim == 3:
        rankings = [
            WeightedRanking(training[:, column], classes == column)
            for training in table
            for column in range(table.shape[2])
        ]
    else:
        rankings = [WeightedRanking(training, classes) for training in np.atleast_2d(table)]
    return lambda weights: np.mean([getattr(one, score)(weights) for one in rankings], axis=0)


def auroc(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve: the chance that a positive film scores above a negative one.

    Args:
        probabilities: (N,) scores, any monotone scale; or (N, K) of K classes: then the mean of
            each class against the others.
        labels: (N,) 0 or 1, or 0 to K - 1.

    Returns:
        In [0, 1], 0.5 is guessing, ties count one half; None when any class is missing: a mean over
        fewer classes is another number.

    Raises:
        ValueError: Shapes differ, a score is NaN, or a label is none of the classes.
    """
    return ranking_score(probabilities, labels, "auroc")


def average_precision(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the precision-recall curve as a step function: sum of (R_n - R_n-1) P_n.

    Guessing scores the share of positive films, so it is read beside that share only. Arguments as
    in `auroc`.

    Returns:
        In (0, 1]; None when a class is missing (without negatives it is 1 whatever the scores).

    Source: scikit-learn's `average_precision_score`; no interpolation, which is too optimistic
    (Davis & Goadrich 2006).
    """
    return ranking_score(probabilities, labels, "average_precision")


def ranking_score(probabilities: ArrayLike, labels: ArrayLike, score: Score) -> float | None:
    """`auroc` or `average_precision` by name: every film counts once."""
    table, classes = as_array(probabilities), as_array(labels)
    if table.ndim < 2:
        checked(table, classes)
    elif table.ndim > 2 or classes.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and labels {classes.shape}; expected (N,) or "
            "(N, K), and (N,)."
        )
    elif len(classes) and (classes.min() < 0 or classes.max() >= table.shape[1]):
        raise ValueError(f"labels lie outside 0 to {table.shape[1] - 1}, the columns given.")
    if not len(classes):
        return None
    value = float(mean_over_trainings(table[None], classes, score)(np.ones((1, len(classes))))[0])
    return None if np.isnan(value) else value


def roc_curve(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """False and true positive rates at each threshold, from (0, 0) to (1, 1).

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1, both present.

    Returns:
        Three (T + 1,) arrays for T distinct scores: false positive rate, true positive rate, and
        thresholds from high to low, the first infinite (no film is called positive).

    Raises:
        ValueError: A class is missing, so that one of the rates has no meaning.
    """
    scores, truth = checked(probabilities, labels)
    if truth.all() or not truth.any():
        raise ValueError("A ROC curve needs films of both classes; one is missing.")
    ranking = WeightedRanking(scores, truth)
    counts = ranking.by_score(np.ones((1, len(scores))))
    true, false = (np.append(0.0, np.cumsum(count[0]) / count.sum()) for count in counts)
    return false, true, np.append(np.inf, ranking.thresholds)


def _below(weights: FloatArray) -> FloatArray:
    """Weight below each distinct score, with half of what ties: (R, T) from high to low."""
    return weights.sum(1, keepdims=True) - np.cumsum(weights, axis=1) + weights / 2

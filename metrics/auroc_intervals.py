"""How far a ranking score could be off: bootstrap over patients of AUROC and average precision.

A score of a whole set is no mean of scores per film, so `metrics.intervals` does not serve. Drawing
a patient k times means that each of the patient's films weighs k: films are sorted once, and every
resample is a sum of weights along that order.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray, checked
from metrics.intervals import Interval, check_resampling

Score = Literal["auroc", "average_precision"]
Statistic = Callable[[FloatArray], FloatArray]

# Weights held at once; a resample of a million films is drawn alone.
_WEIGHTS_AT_ONCE = 4_000_000


class WeightedRanking:
    """Films in the order of their scores, for scores under many weightings at once.

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1.
    """

    def __init__(self, probabilities: ArrayLike, labels: ArrayLike) -> None:
        scores, truth = checked(probabilities, labels)
        self._order = np.argsort(-scores, kind="stable")
        self._positive = truth[self._order].astype(np.float64)
        descending = scores[self._order]
        # Where each run of equal scores begins, in descending order.
        self._starts = np.flatnonzero(np.append(True, np.diff(descending) != 0))[: len(scores)]

    def auroc(self, weights: NDArray[np.floating]) -> FloatArray:
        """AUROC (R,) under film weights (R, N) >= 0; NaN where a class has no weight."""
        positive, negative = self._by_score(weights)
        # Pairs won: negatives below, and half of those that tie.
        below = negative.sum(1, keepdims=True) - np.cumsum(negative, axis=1) + negative / 2
        pairs = positive.sum(1) * negative.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (positive * below).sum(1) / pairs

    def average_precision(self, weights: NDArray[np.floating]) -> FloatArray:
        """Average precision (R,) under film weights (R, N); NaN where a class has no weight."""
        positive, negative = self._by_score(weights)
        true_positives = np.cumsum(positive, axis=1)
        called = true_positives + np.cumsum(negative, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(called > 0, true_positives / called, 0.0)
            found = (positive * precision).sum(1) / true_positives[:, -1]
        return np.where(negative.sum(1) > 0, found, np.nan)

    def sensitivity_at(
        self, weights: NDArray[np.floating], false_positive_rates: FloatArray
    ) -> FloatArray:
        """Height of the ROC curve (R, T) at given false positive rates; NaN without a class."""
        positive, negative = self._by_score(weights)
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

    def _by_score(self, weights: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Weight of positive and of negative films at each distinct score, (R, T) each."""
        sorted_weights = np.asarray(weights, dtype=np.float64)[:, self._order]
        positive = np.add.reduceat(sorted_weights * self._positive, self._starts, axis=1)
        return positive, np.add.reduceat(sorted_weights, self._starts, axis=1) - positive


def bootstrap_auroc(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """AUROC with a percentile interval from resampling patients, each with all of its films.

    Resamples without both classes are drawn again. Where one class rests on a single patient its
    spread cannot be seen, so there is no interval. A perfect ranking stays perfect in each
    resample: the interval of an AUROC of 1 has no width, which says nothing about other patients.

    Args:
        probabilities: (N,) scores; or (S, N) of S trainings of the same model on the same films:
            then the value is the mean of the S AUROCs, and the interval is that of this mean for
            these trainings. How much training varies is not in it.
        labels: (N,) 0 or 1.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.

    Returns:
        `num_patients` and `num_values` count patients and films; value None when a class is
        missing.

    Source: cluster bootstrap, Davison & Hinkley 1997, section 3.8; Rutter 2000 for ROC curves.
    """
    mean = mean_over_trainings(probabilities, labels, "auroc")
    return bootstrap_interval(mean, labels, patient_ids, num_resamples, confidence, seed)


def bootstrap_average_precision(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Average precision with its interval; everything else as in `bootstrap_auroc`."""
    mean = mean_over_trainings(probabilities, labels, "average_precision")
    return bootstrap_interval(mean, labels, patient_ids, num_resamples, confidence, seed)


def bootstrap_difference(
    treated: ArrayLike,
    control: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    score: Score = "auroc",
) -> Interval:
    """Difference of two models' scores on the same films, treated minus control.

    Both are scored on the same resamples, so what makes patients easy or hard for both cancels.

    Args:
        treated: (N,) or (S, N) scores, as in `bootstrap_auroc`.
        control: (N,) or (S', N) scores of the same films in the same order.
        labels: (N,) 0 or 1.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.
        score: "auroc" or "average_precision".
    """
    first, second = (mean_over_trainings(each, labels, score) for each in (treated, control))
    return bootstrap_interval(
        lambda weights: first(weights) - second(weights),
        labels, patient_ids, num_resamples, confidence, seed,
    )  # fmt: skip


def mean_over_trainings(
    probabilities: ArrayLike, labels: ArrayLike, score: Score = "auroc"
) -> Statistic:
    """A ranking score as a function of film weights, ready for `bootstrap_interval`.

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


def bootstrap_interval(
    statistic: Statistic,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of any score that film weights can express.

    Args:
        statistic: From weights (R, N) to scores (R,), NaN where a resample has none.
        labels: (N,) classes 0 to K - 1; each must rest on two patients, or there is no interval.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples, at least 1.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.

    Raises:
        ValueError: Lengths differ, or a setting is outside its range.
    """
    classes = np.asarray(labels)
    if len(patient_ids) != len(classes):
        raise ValueError(
            f"{len(classes)} labels but {len(patient_ids)} patient ids; give one id per film."
        )
    check_resampling(num_resamples, confidence)
    patients, owner = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    num_films, num_patients = len(classes), len(patients)
    if not num_films:
        return Interval(None, None, None, 0, 0)
    value = float(statistic(np.ones((1, num_films)))[0])
    if np.isnan(value):
        return Interval(None, None, None, num_patients, num_films)
    of_each_class = [len(np.unique(owner[classes == each])) for each in np.unique(classes)]
    if min(of_each_class) < 2:
        return Interval(value, None, None, num_patients, num_films)
    found = _resampled(statistic, owner, num_patients, num_resamples, seed)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), num_patients, num_films)


def roc_band(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    false_positive_rates: ArrayLike,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Where the ROC curve lies, at each false positive rate by itself (a pointwise band).

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1, both present.
        patient_ids: (N,) the patient of each film.
        false_positive_rates: (T,) in [0, 1].
        num_resamples: Bootstrap resamples of patients.
        confidence: Coverage at each rate.
        seed: The same seed gives the same band.

    Returns:
        Lower and upper sensitivity, (T,) each.
    """
    rates = np.asarray(false_positive_rates, dtype=np.float64)
    ranking = WeightedRanking(probabilities, labels)
    patients, owner = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    found = _resampled(
        lambda weights: ranking.sensitivity_at(weights, rates),
        owner, len(patients), num_resamples, seed,
    )  # fmt: skip
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def _resampled(
    statistic: Statistic,
    owner: NDArray[np.intp],
    num_patients: int,
    num_resamples: int,
    seed: int,
) -> FloatArray:
    """Scores of resamples that have one, (num_resamples, ...); the others are drawn again."""
    generator = np.random.default_rng(seed)
    rows = max(1, min(num_resamples, _WEIGHTS_AT_ONCE // len(owner)))
    share = np.full(num_patients, 1 / num_patients)
    found: list[FloatArray] = []
    while sum(map(len, found)) < num_resamples:
        draws = generator.multinomial(num_patients, share, size=rows)
        scores = statistic(draws[:, owner].astype(np.float64))
        found.append(scores[~np.isnan(scores.reshape(rows, -1)).any(axis=1)])
    return np.concatenate(found)[:num_resamples]

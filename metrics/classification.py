"""How well probabilities tell two classes apart, and how far they can be taken at their word.

Class 1 is the positive one; a film is called positive when its probability is at least the
threshold. Films with equal probabilities are one step of a curve and half right in AUROC, so no
score depends on the order of the films. Where a class is missing, a score is None, never 0 or 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def auroc(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the ROC curve: the chance that a positive film scores above a negative one.

    Args:
        probabilities: (N,) scores, any monotone scale.
        labels: (N,) 0 or 1.

    Returns:
        In [0, 1], 0.5 is guessing, ties count one half; None when a class is missing.

    Raises:
        ValueError: Shapes differ, a score is NaN, or a label is neither 0 nor 1.

    Source: Hanley & McNeil 1982 (area = Mann-Whitney U over the number of pairs).
    """
    scores, truth = checked(probabilities, labels)
    if truth.all() or not truth.any():
        return None
    negatives = np.sort(scores[~truth])
    positives = scores[truth]
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=float)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=float)
    return float((below + not_above) / 2 / (len(positives) * len(negatives)))


def average_precision(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Area under the precision-recall curve as a step function: sum of (R_n - R_n-1) P_n.

    Guessing scores the share of positive films, so it is read beside that share only.

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1.

    Returns:
        In (0, 1]; None when a class is missing (without negatives it is 1 whatever the scores).

    Source: scikit-learn's `average_precision_score`; no interpolation, which is too optimistic
    (Davis & Goadrich 2006).
    """
    scores, truth = checked(probabilities, labels)
    if truth.all() or not truth.any():
        return None
    true_positives, false_positives, _ = _counts_at_each_threshold(scores, truth)
    precision = true_positives[1:] / (true_positives[1:] + false_positives[1:])
    return float((np.diff(true_positives) * precision).sum() / true_positives[-1])


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
    true_positives, false_positives, thresholds = _counts_at_each_threshold(scores, truth)
    return false_positives / false_positives[-1], true_positives / true_positives[-1], thresholds


def sensitivity_specificity(
    probabilities: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> tuple[float | None, float | None]:
    """Share of positive films called positive, and of negative films called negative.

    Args:
        probabilities: (N,) scores; at least `threshold` is called positive.
        labels: (N,) 0 or 1.
        threshold: On the scale of the scores.

    Returns:
        (sensitivity, specificity), each in [0, 1], None where its class is missing.
    """
    scores, truth = checked(probabilities, labels)
    called = scores >= threshold
    sensitivity = float(called[truth].mean()) if truth.any() else None
    specificity = float((~called[~truth]).mean()) if not truth.all() else None
    return sensitivity, specificity


def auroc_macro(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Mean over classes of the AUROC of each class against the others.

    Args:
        probabilities: (N, K) a probability for each class.
        labels: (N,) 0 to K - 1.

    Returns:
        In [0, 1]; None when any class is missing: a mean over fewer classes is another number.
    """
    return _macro(auroc, probabilities, labels)


def average_precision_macro(probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    """Mean over classes of the average precision of each class against the others.

    Arguments and None as in `auroc_macro`.
    """
    return _macro(average_precision, probabilities, labels)


@dataclass(frozen=True)
class ReliabilityBin:
    """Films whose probability lies in [low, high), the last bin with its upper end.

    Attributes:
        low: Lower end of the bin.
        high: Upper end of the bin.
        count: Films in it.
        mean_probability: What was forecast; None for an empty bin.
        share_positive: What came true; None for an empty bin.
    """

    low: float
    high: float
    count: int
    mean_probability: float | None
    share_positive: float | None


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, num_bins: int = 15
) -> list[ReliabilityBin]:
    """Bins of equal width over [0, 1]: forecast beside outcome, with the number of films.

    Args:
        probabilities: (N,) in [0, 1].
        labels: (N,) 0 or 1.
        num_bins: At least 1.

    Raises:
        ValueError: A probability lies outside [0, 1], or `num_bins` is below 1.
    """
    scores, truth = checked(probabilities, labels)
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}, expected at least 1.")
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        raise ValueError("Calibration needs probabilities between 0 and 1, got others (logits?).")
    edges = np.linspace(0, 1, num_bins + 1)
    place = np.minimum(np.searchsorted(edges, scores, side="right") - 1, num_bins - 1)
    counts = np.bincount(place, minlength=num_bins)
    forecast = np.bincount(place, weights=scores, minlength=num_bins)
    positive = np.bincount(place, weights=truth, minlength=num_bins)
    return [
        ReliabilityBin(
            float(edges[row]),
            float(edges[row + 1]),
            int(count),
            float(forecast[row] / count) if count else None,
            float(positive[row] / count) if count else None,
        )
        for row, count in enumerate(counts)
    ]


def calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, num_bins: int = 15
) -> float | None:
    """Expected calibration error: |forecast - outcome| of each bin, weighed by its films.

    Of the positive class's probability; `calibration_error_top` serves more than two classes. It
    is never negative, so it is too large on average where films are few: compare it between equal
    numbers only.

    Args:
        probabilities: (N,) in [0, 1].
        labels: (N,) 0 or 1.
        num_bins: Of equal width.

    Returns:
        In [0, 1]; None without films.

    Source: Naeini, Cooper & Hauskrecht 2015.
    """
    bins = reliability(probabilities, labels, num_bins)
    total = sum(each.count for each in bins)
    if not total:
        return None
    gaps = [
        each.count * abs(each.mean_probability - each.share_positive)
        for each in bins
        if each.mean_probability is not None and each.share_positive is not None
    ]
    return float(sum(gaps) / total)


def calibration_error_top(
    probabilities: ArrayLike, labels: ArrayLike, num_bins: int = 15
) -> float | None:
    """Expected calibration error of the most probable class, for any number of classes.

    Args:
        probabilities: (N, K) a probability for each class.
        labels: (N,) 0 to K - 1.
        num_bins: Of equal width.

    Source: Guo et al. 2017.
    """
    table, classes = _array(probabilities), _array(labels)
    right = table.argmax(axis=1) == classes
    return calibration_error(table.max(axis=1), right, num_bins)


def checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Scores (N,) as float64 and labels (N,) as booleans.

    Raises:
        ValueError: Shapes differ or are not 1-D, a score is NaN, a label is neither 0 nor 1.
    """
    scores = _array(probabilities).astype(np.float64)
    truth = _array(labels)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(
            f"probabilities have shape {scores.shape} and labels {truth.shape}; expected (N,) each."
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} probabilities are NaN.")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"labels hold {sorted(set(truth.tolist()))}, expected 0 and 1 only.")
    return scores, truth.astype(bool)


def _array(values: Any) -> NDArray[Any]:
    """A tensor, on any device and with or without gradients, or anything numpy understands."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.itemsize < 4 else values
        values = values.numpy()
    return np.asarray(values)


def _counts_at_each_threshold(
    scores: FloatArray, truth: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """True and false positives (T + 1,) at an infinite threshold, then at each distinct score."""
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(truth, dtype=float)[last_of_ties]
    called = last_of_ties + 1.0
    return (
        np.append(0.0, true_positives),
        np.append(0.0, called - true_positives),
        np.append(np.inf, scores[last_of_ties]),
    )


def _macro(score: Any, probabilities: ArrayLike, labels: ArrayLike) -> float | None:
    table, classes = _array(probabilities), _array(labels)
    if table.ndim != 2 or classes.shape != table.shape[:1]:
        raise ValueError(
            f"probabilities have shape {table.shape} and labels {classes.shape}; expected (N, K) "
            "and (N,)."
        )
    if len(classes) and (classes.min() < 0 or classes.max() >= table.shape[1]):
        raise ValueError(f"labels lie outside 0 to {table.shape[1] - 1}, the columns given.")
    each = [score(table[:, column], classes == column) for column in range(table.shape[1])]
    return None if not each or None in each else float(np.mean(each))

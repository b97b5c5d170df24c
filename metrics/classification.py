"""What a threshold calls right, and how far probabilities can be taken at their word.

Class 1 is the positive one; a film is called positive when its probability is at least the
threshold. Where a class is missing, a score is None, never 0 or 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


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


@dataclass(frozen=True)
class ReliabilityBin:
    """Films with a probability in [low, high); the last bin includes its upper end.

    Attributes:
        low: Lower end of the bin.
        high: Upper end of the bin.
        count: Films in it.
        mean_probability: Mean predicted probability, 0 to 1; None for an empty bin.
        share_positive: Share of positive films, 0 to 1; None for an empty bin.
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
    bins = np.minimum(np.searchsorted(edges, scores, side="right") - 1, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    forecast = np.bincount(bins, weights=scores, minlength=num_bins)
    positive = np.bincount(bins, weights=truth, minlength=num_bins)
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
    table, classes = as_array(probabilities), as_array(labels)
    right = table.argmax(axis=1) == classes
    return calibration_error(table.max(axis=1), right, num_bins)


def checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Scores (N,) as float64 and labels (N,) as booleans.

    Raises:
        ValueError: Shapes differ or are not 1-D, a score is NaN, a label is neither 0 nor 1.
    """
    scores = as_array(probabilities).astype(np.float64)
    truth = as_array(labels)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(
            f"probabilities have shape {scores.shape} and labels {truth.shape}; expected (N,) each."
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} probabilities are NaN.")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"labels hold {sorted(set(truth.tolist()))}, expected 0 and 1 only.")
    return scores, truth.astype(bool)


def as_array(values: Any) -> NDArray[Any]:
    """A tensor, on any device and with or without gradients, or anything numpy understands."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.itemsize < 4 else values
        values = values.numpy()
    return np.asarray(values)

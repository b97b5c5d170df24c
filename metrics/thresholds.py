"""Where to draw the line between negative and positive, and what is right and wrong there.

A threshold chosen on the films that it is then scored on looks better than it will do on others.
So choosing (`chosen_thresholds`) and scoring (`operating_point`) are apart: choose on the
validation split, score on the test split.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.classification import checked
from metrics.ranking import roc_curve

# What each rule asks for, in the order of the table.
RULES = {
    "default": "the usual 0.5",
    "youden": "largest sensitivity + specificity - 1 (Youden 1950)",
    "sensitivity_90": "highest threshold with at least 90 % sensitivity",
    "sensitivity_95": "highest threshold with at least 95 % sensitivity",
    "specificity_90": "lowest threshold with at least 90 % specificity",
    "specificity_95": "lowest threshold with at least 95 % specificity",
}


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does to a set of films. Shares are in [0, 1], None where undefined.

    Attributes:
        threshold: A film with at least this probability is called positive.
        sensitivity: Of the positive films, called positive.
        specificity: Of the negative films, called negative.
        ppv: Of the films called positive, those that are. Holds for this share of positives only.
        npv: Of the films called negative, those that are. Likewise.
        accuracy: Of all films, called right.
        true_positives: Films.
        false_positives: Films.
        true_negatives: Films.
        false_negatives: Films.
    """

    threshold: float
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None
    accuracy: float | None
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The fields as plain JSON values."""
        return asdict(self)


def operating_point(
    probabilities: ArrayLike, labels: ArrayLike, threshold: float
) -> OperatingPoint:
    """Count right and wrong calls at one threshold.

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1.
        threshold: On the scale of the scores.
    """
    scores, truth = checked(probabilities, labels)
    called = scores >= threshold
    true_positives, false_positives = int((called & truth).sum()), int((called & ~truth).sum())
    false_negatives, true_negatives = int((~called & truth).sum()), int((~called & ~truth).sum())
    return OperatingPoint(
        threshold=float(threshold),
        sensitivity=_share(true_positives, false_negatives),
        specificity=_share(true_negatives, false_positives),
        ppv=_share(true_positives, false_positives),
        npv=_share(true_negatives, false_negatives),
        accuracy=_share(true_positives + true_negatives, false_positives + false_negatives),
        true_positives=true_positives,
        false_positives=false_positives,
        true_negatives=true_negatives,
        false_negatives=false_negatives,
    )


def rates_at(
    probabilities: ArrayLike, labels: ArrayLike, thresholds: Mapping[str, float]
) -> dict[str, dict[str, float | int | None]]:
    """What each threshold does to these films: both rates, and of how many films each is.

    On the films that a threshold was chosen on they look better than on others.

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1.
        thresholds: By rule.

    Returns:
        rule -> sensitivity and specificity in [0, 1], positives and negatives.
    """
    found = {}
    for rule, threshold in thresholds.items():
        point = operating_point(probabilities, labels, threshold)
        found[rule] = {
            "sensitivity": point.sensitivity,
            "specificity": point.specificity,
            "positives": point.true_positives + point.false_negatives,
            "negatives": point.true_negatives + point.false_positives,
        }
    return found


def chosen_thresholds(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """The threshold of every rule in `RULES` on these films.

    Thresholds are scores that occur, so they carry over to other films as they are. Of equally
    good ones the highest is taken. A specificity that only "nobody is positive" reaches gives the
    number just above the highest score.

    Args:
        probabilities: (N,) scores, of the films to choose on.
        labels: (N,) 0 or 1.

    Returns:
        rule -> threshold; the default alone when a class is missing.
    """
    scores, truth = checked(probabilities, labels)
    if truth.all() or not truth.any():
        return {"default": 0.5}
    false_positive_rate, sensitivity, thresholds = roc_curve(scores, truth)
    thresholds[0] = np.nextafter(thresholds[1], np.inf)
    specificity = 1 - false_positive_rate
    # One film too few may be 0.8999... by rounding, never by more than this.
    slack = 1e-12
    chosen = {
        "default": 0.5,
        "youden": float(thresholds[(sensitivity + specificity).argmax()]),
    }
    for percent in (90, 95):
        reached = sensitivity >= percent / 100 - slack
        chosen[f"sensitivity_{percent}"] = float(thresholds[reached][0])
    for percent in (90, 95):
        reached = specificity >= percent / 100 - slack
        chosen[f"specificity_{percent}"] = float(thresholds[reached][-1])
    return chosen


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None

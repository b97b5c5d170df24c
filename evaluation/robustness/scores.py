"""Scores of every condition with intervals over patients, and of what is lost.

The same patients are scored in every condition, so the loss is paired: what makes a patient easy or
hard cancels. A mean over conditions is a mean of pseudo-values, patient by patient, as
`metrics.jackknife` has them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.auroc_intervals import (
    jackknife_ranking,
    rarest_class,
    score_interval,
    too_few_of_a_class,
)
from metrics.classification import FloatArray
from metrics.intervals import Interval, patient_interval
from metrics.jackknife import Jackknife, jackknife_mean, patient_variance

Rows = Sequence[dict[str, Any]]


class ConditionScores:
    """One score in every condition.

    Args:
        name: Of the score.
        values: Its interval in every condition; the first is of clean images.
        jackknife: (S,) values and (S, P) pseudo-values of patients.
        strata: (P,) class of each patient, for scores whose variance is one per class.
        no_interval: Why there is none, where there is none.
    """

    def __init__(
        self,
        name: str,
        values: list[Interval],
        jackknife: Jackknife,
        strata: NDArray[np.intp] | None = None,
        no_interval: str | None = None,
    ) -> None:
        self.name = name
        self.values = values
        self._jackknife = jackknife
        self._strata = strata
        self._no_interval = no_interval

    def mean(self, conditions: Sequence[int], minus_clean: bool = False) -> Interval:
        """Mean over conditions; with `minus_clean` the clean score less it: what is lost."""
        from scipy.special import stdtrit

        weights = np.zeros(len(self.values))
        weights[list(conditions)] = 1 / len(conditions)
        if minus_clean:
            weights = -weights
            weights[0] += 1
        first = self.values[0]
        counts = first.num_patients, first.num_values
        used = weights != 0
        value = float(weights[used] @ self._jackknife.value[used]) if used.any() else 0.0
        if np.isnan(value):
            return Interval(None, None, None, *counts)
        if self._no_interval or first.num_patients < 2:
            return Interval(value, None, None, *counts, self._no_interval or first.no_interval)
        pseudo = weights[used] @ self._jackknife.pseudo[used]
        variance, freedom = patient_variance(pseudo, self._strata)
        margin = float(np.sqrt(variance) * stdtrit(freedom, 0.975))
        if np.isnan(margin):
            return Interval(value, None, None, *counts)
        return Interval(value, value - margin, value + margin, *counts)


def classifier_scores(passes: Sequence[Rows]) -> list[ConditionScores]:
    """AUROC (the first), and accuracy at 0.5 or of the most probable class.

    Args:
        passes: Rows of every condition, the clean images first; the same images in each.
    """
    first = passes[0]
    labels = np.array([row["label"] for row in first])
    patients = [row["patient_id"] for row in first]
    key = "probabilities" if "probabilities" in first[0] else "probability"
    tables = np.array([[row[key] for row in rows] for rows in passes], dtype=np.float64)
    owner = _owner(patients)
    right = np.array([[row["correct"] for row in rows] for rows in passes], dtype=np.float64)
    accuracy = ConditionScores(
        "accuracy",
        [patient_interval(each, patients, share=True) for each in right.tolist()],
        _of_means(right, owner),
    )
    areas = [score_interval(table, labels, patients) for table in tables]
    if areas[0].value is None:  # a class without images: there is nothing to rank
        return [accuracy]
    area = ConditionScores(
        "auroc",
        areas,
        jackknife_ranking(tables, labels, owner, "auroc"),
        rarest_class(labels, owner),
        too_few_of_a_class(labels, patients),
    )
    return [area, accuracy]


def segmenter_scores(passes: Sequence[Rows], class_names: Sequence[str]) -> list[ConditionScores]:
    """IoU of the foreground (the first), its mean with background, and Dice of each class.

    IoU is a mean over images, Dice over patients, as in evaluation.json.

    Args:
        passes: Rows of every condition, the clean images first; the same images in each.
        class_names: Background first.
    """
    patients = [row["patient_id"] for row in passes[0]]
    owner = _owner(patients)
    found = []
    for name in ("iou_foreground", "iou_mean"):
        listed = [[row[name] for row in rows] for rows in passes]
        values = [patient_interval(each, patients) for each in listed]
        found.append(
            ConditionScores(name, values, _of_means(np.array(listed, dtype=np.float64), owner))
        )
    tables = np.array([[row["confusion"] for row in rows] for rows in passes], dtype=np.float64)
    of_patient = np.stack([tables[:, owner == each].sum(axis=1) for each in range(owner.max() + 1)])
    ids = np.unique(np.array(patients, dtype=str)).tolist()
    for label, title in enumerate(class_names[1:], start=1):
        held = of_patient[..., label, :].sum(-1) + of_patient[..., :, label].sum(-1)
        with np.errstate(invalid="ignore"):
            dice = (2 * of_patient[..., label, label] / held).T  # (S, P), NaN where in neither
        values = [patient_interval(each, ids) for each in dice.tolist()]
        found.append(ConditionScores(f"dice_{title}", values, _of_means(dice, np.arange(len(ids)))))
    return found


def _owner(patients: Sequence[str]) -> NDArray[np.intp]:
    owner: NDArray[np.intp] = np.unique(np.array(patients, dtype=str), return_inverse=True)[1]
    return owner


def _of_means(values: FloatArray, owner: NDArray[np.intp]) -> Jackknife:
    """Of the mean of (S, N) values, NaN where undefined, by their owners (N,)."""
    defined = ~np.isnan(values)
    belongs = owner[:, None] == np.arange(owner.max() + 1)
    return jackknife_mean(np.nan_to_num(values) @ belongs, defined @ belongs.astype(float))

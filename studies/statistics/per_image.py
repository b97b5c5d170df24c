"""Scores that an image, or a patient, has by itself, as arms of trainings on patients."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metrics.jackknife import jackknife_mean
from studies.statistics.finding_scores import finding_of, has_findings, kind_of, rows_of_finding
from studies.statistics.two_sources import Arm

# item id -> (patient id, score); an item is an image, or a patient for scores per patient
ImageScores = dict[str, tuple[str, float | None]]

# The class over whose images `correct` is averaged; None: over all.
CORRECT_AMONG = {"accuracy": None, "sensitivity": 1, "specificity": 0}


def scores_per_image(record: Mapping[str, Any], metric: str) -> ImageScores:
    """One cell's scores: per image where the evaluation has them, else per patient.

    A classifier's accuracy is the mean of `correct`; of two classes, its sensitivity is the same
    over the images of class 1, its specificity over those of class 0.
    """
    evaluation = record["evaluation"]
    images = evaluation.get("images") or []
    if is_share_of_correct(evaluation, metric):
        among = CORRECT_AMONG[kind_of(metric)]
        if finding_of(metric) is not None:
            images = rows_of_finding(evaluation, metric)
        return {
            row["id"]: (
                row["patient_id"],
                row["correct"] if among in (None, row["label"]) else None,
            )
            for row in images
        }
    if any(metric in row for row in images):
        return {row["id"]: (row["patient_id"], row.get(metric)) for row in images}
    patients = evaluation.get("patients") or []
    return {row["patient_id"]: (row["patient_id"], row.get(metric)) for row in patients}


def is_share(metric: str) -> bool:
    """Whether a metric is a share of right calls, of a classifier or of one of its findings."""
    return kind_of(metric) in CORRECT_AMONG


def is_share_of_correct(evaluation: Mapping[str, Any], metric: str) -> bool:
    """Whether a classifier's images give this metric as a mean of `correct`.

    With more than two classes sensitivity and specificity are means over classes, which are not.
    """
    images = evaluation.get("images") or []
    if has_findings(evaluation):
        return is_share(metric) and finding_of(metric) in evaluation["class_names"]
    if metric not in CORRECT_AMONG or not any("correct" in row for row in images):
        return False
    return CORRECT_AMONG[metric] is None or not any("probabilities" in row for row in images)


def average_over_seeds(scores: Sequence[ImageScores]) -> ImageScores:
    """Mean per item over seeds; None where some seed leaves the item undefined.

    Where a class that neither truth nor prediction holds is skipped, a false tumour in one training
    of three defines the score of that training only, as 0. Its mean would be 0, as if all three had
    drawn one. So such an item has no mean, and counts in its own training's mean alone. Items that
    some seed lacks are left out: cells of one study share the test set unless the data changed.
    """
    averaged: ImageScores = {}
    for item, (patient, _) in scores[0].items() if scores else ():
        if all(item in other for other in scores):
            values = [other[item][1] for other in scores]
            defined = [value for value in values if value is not None]
            averaged[item] = (patient, mean(defined) if len(defined) == len(values) else None)
    return averaged


def arms_of_images(
    sides: Sequence[Mapping[int, ImageScores]], each_patient_once: bool
) -> tuple[list[Arm], list[str], int]:
    """Trainings x patients of one scenario, or of the two that are compared.

    Every training has the mean of its own defined scores. A patient whom no training of one side
    gives a score is left out of both.

    Args:
        sides: Scores by seed of one or two scenarios; seeds need not agree.
        each_patient_once: Mean over patients of their means; False: over all images, so that a
            patient with more images weighs more.

    Returns:
        An arm a side, the patients, and the number of defined items.
    """
    cells = [cell for side in sides for cell in side.values()]
    items = [item for item in cells[0] if all(item in cell for cell in cells)] if cells else []
    scored = [
        {cell[item][0] for cell in side.values() for item in items if cell[item][1] is not None}
        for side in sides
    ]
    patients = sorted(set.intersection(*scored)) if scored else []
    place = {patient: number for number, patient in enumerate(patients)}
    items = [item for item in items if cells[0][item][0] in place]
    owner = np.array([place[cells[0][item][0]] for item in items], dtype=np.intp)
    arms = [
        _arm(list(side.values()), items, owner, len(patients), each_patient_once) for side in sides
    ]
    defined = {item for cell in cells for item in items if cell[item][1] is not None}
    return arms, patients, len(defined)


def _arm(
    cells: Sequence[ImageScores],
    items: Sequence[str],
    owner: np.ndarray,
    num_patients: int,
    each_patient_once: bool,
) -> Arm:
    sums, counts = np.zeros((2, len(cells), num_patients))
    for row, cell in enumerate(cells):
        values = np.array([cell[item][1] for item in items], dtype=np.float64)  # None is NaN
        defined = ~np.isnan(values)
        sums[row] = np.bincount(owner[defined], values[defined], minlength=num_patients)
        counts[row] = np.bincount(owner[defined], minlength=num_patients)
    if each_patient_once:
        sums, counts = sums / np.maximum(counts, 1), np.minimum(counts, 1)
    found = jackknife_mean(sums, counts)
    return Arm(found.value, found.pseudo)


def mean(values: Iterable[float | None]) -> float | None:
    """Of the defined values; None where there is none."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None

"""Scores of a whole test set in a study, which no image has alone: AUROC, average precision, ECE.

Rankings become arms of trainings on patients by their jackknife, as means over images do. ECE has
no interval: it is too large where films are few, so that leaving out some changes its bias too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from metrics.auroc_intervals import jackknife_ranking, rarest_class
from metrics.classification import FloatArray, calibration_error, calibration_error_top
from metrics.ranking import Score, ranking_score
from provenance import UserError
from studies.statistics.two_sources import Arm

RANKINGS: tuple[Score, ...] = ("auroc", "average_precision")
SET_METRICS = (*RANKINGS, "ece")


@dataclass(frozen=True)
class Predictions:
    """What one cell's classifier said about the test images.

    Attributes:
        rows: image id -> (patient id, class, probability of class 1, or of every class where
            there are more than two).
    """

    rows: Mapping[str, tuple[str, int, tuple[float, ...]]]

    @property
    def ids(self) -> list[str]:
        """Ids of the images, in the order of the evaluation."""
        return list(self.rows)

    def patients(self, ids: Sequence[str]) -> list[str]:
        """Patient of each of these images."""
        return [self.rows[name][0] for name in ids]

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        """Class (N,) of each of these images."""
        return np.array([self.rows[name][1] for name in ids], dtype=np.int64)

    def probabilities(self, ids: Sequence[str]) -> FloatArray:
        """(N,) of class 1, or (N, K)."""
        table = np.array([self.rows[name][2] for name in ids], dtype=np.float64)
        return table[:, 0] if table.ndim == 2 and table.shape[1] == 1 else table


def is_set_metric(name: str) -> bool:
    """Whether a metric is a score of the set and no mean over images."""
    return name in SET_METRICS


def predictions_of(record: Mapping[str, Any]) -> Predictions:
    """One cell's predictions.

    Raises:
        UserError: The cell's evaluation is not one of a classifier.
    """
    rows = {}
    for image in record["evaluation"].get("images") or []:
        if "label" not in image or "probability" not in image:
            raise UserError(
                f"{record.get('name', 'a cell')}: its images carry no label and probability, so "
                "AUROC and average precision cannot be computed. They are scores of classifiers; "
                "correct `metric` in the study's YAML."
            )
        given = image.get("probabilities") or []
        every = tuple(given) if len(given) > 2 else (image["probability"],)
        rows[image["id"]] = (image["patient_id"], int(image["label"]), every)
    return Predictions(rows)


def arms_of_sets(
    sides: Sequence[Mapping[int, Predictions]], metric: str
) -> tuple[list[Arm], NDArray[np.intp], list[str], int]:
    """Trainings x patients of a ranking score, for one scenario or the two that are compared.

    Args:
        sides: Predictions by seed of one or two scenarios; images that some cell lacks are left
            out.
        metric: One of `RANKINGS`.

    Returns:
        An arm a side, the rarest class of each patient as strata, the patients, and how many
        images there are.
    """
    cells = [cell for side in sides for cell in side.values()]
    ids = shared_ids(cells)
    labels = cells[0].labels(ids)
    patients, owner = np.unique(np.array(cells[0].patients(ids)), return_inverse=True)
    arms = []
    for side in sides:
        found = jackknife_ranking(
            np.stack([cell.probabilities(ids) for cell in side.values()]),
            labels, owner, cast(Score, metric),
        )  # fmt: skip
        arms.append(Arm(found.value, found.pseudo))
    return arms, rarest_class(labels, owner), patients.tolist(), len(ids)


def set_score(cell: Predictions, ids: Sequence[str], metric: str) -> float | None:
    """One training's score on these images; None where a class is missing."""
    if not ids:
        return None
    labels, table = cell.labels(ids), cell.probabilities(ids)
    if metric == "ece":
        of_classes = table.ndim == 2
        return (calibration_error_top if of_classes else calibration_error)(table, labels)
    return ranking_score(table, labels, cast(Score, metric))


def shared_ids(cells: Sequence[Predictions]) -> list[str]:
    """Images that all cells have, whose labels must agree.

    Raises:
        UserError: They do not, so that the cells answer different questions.
    """
    ids = [name for name in cells[0].rows if all(name in cell.rows for cell in cells)]
    for name in ids:
        if len({cell.rows[name][:2] for cell in cells}) > 1:
            raise UserError(
                f"The cells disagree about the class or the patient of the image {name}: the data "
                "were prepared again while the study ran. Run the study anew in another folder."
            )
    return ids

"""Scores of a whole test set in a study, which no image has alone: AUROC, average precision, ECE.

Rankings become arms of trainings on patients by their jackknife, as means over images do. ECE has
no interval: it is too large where films are few, so that leaving out some changes its bias too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from metrics.auroc_intervals import jackknife_ranking, rarest_class, too_few_of_a_class
from metrics.classification import FloatArray, calibration_error, calibration_error_top
from metrics.findings import jackknife_macro, macro_score, rarest_finding, too_few_of_a_finding
from metrics.ranking import Score, ranking_score
from provenance import UserError
from studies.statistics.finding_scores import finding_of, has_findings, kind_of, rows_of_finding
from studies.statistics.two_sources import Arm

RANKINGS: tuple[Score, ...] = ("auroc", "average_precision")
SET_METRICS = (*RANKINGS, "ece")


@dataclass(frozen=True)
class Predictions:
    """What one cell's classifier said about the test images.

    Attributes:
        rows: image id -> (patient id, class, probability of class 1, or of every class where
            there are more than two). Of several findings: 1, 0, or None for unknown of each, and
            its probability.
        findings: Their names; empty for a classifier of one class an image.
    """

    rows: Mapping[str, tuple[str, int | tuple[int | None, ...], tuple[float, ...]]]
    findings: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Ids of the images, in the order of the evaluation."""
        return list(self.rows)

    def patients(self, ids: Sequence[str]) -> list[str]:
        """Patient of each of these images."""
        return [self.rows[name][0] for name in ids]

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        """Class (N,) of each of these images, or findings (N, K) with NaN for unknown."""
        kind = np.float64 if self.findings else np.int64
        return np.array([self.rows[name][1] for name in ids], dtype=kind)

    def no_interval(self, ids: Sequence[str]) -> str | None:
        """Why ranking scores of these images have no interval; None where they have one."""
        labels, patients = self.labels(ids), self.patients(ids)
        if self.findings:
            return too_few_of_a_finding(labels, patients, self.findings)
        return too_few_of_a_class(labels, patients)

    def probabilities(self, ids: Sequence[str]) -> FloatArray:
        """(N,) of class 1, or (N, K)."""
        table = np.array([self.rows[name][2] for name in ids], dtype=np.float64)
        of_two = table.ndim == 2 and table.shape[1] == 1 and not self.findings
        return table[:, 0] if of_two else table


def is_set_metric(name: str) -> bool:
    """Whether a metric is a score of the set and no mean over images."""
    return kind_of(name) in SET_METRICS


def is_ranking(name: str) -> bool:
    """Whether a metric is one of `RANKINGS`, or one of these of a finding."""
    return kind_of(name) in RANKINGS


def predictions_of(record: Mapping[str, Any], metric: str = "auroc") -> Predictions:
    """One cell's predictions, of the finding that the metric names where it names one.

    Raises:
        UserError: The cell's evaluation is not one of a classifier.
    """
    rows: dict[str, tuple[str, int | tuple[int | None, ...], tuple[float, ...]]] = {}
    evaluation = record["evaluation"]
    images = evaluation.get("images") or []
    if has_findings(evaluation):
        if finding_of(metric) is None:
            for image in images:
                said = tuple(image["findings"]), tuple(image["probabilities"])
                rows[image["id"]] = (image["patient_id"], *said)
            return Predictions(rows, tuple(evaluation["class_names"]))
        images = rows_of_finding(evaluation, metric)
    for image in images:
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
        metric: See `is_ranking`.

    Returns:
        An arm a side, the rarest class of each patient as strata, the patients, and how many
        images there are.
    """
    cells = [cell for side in sides for cell in side.values()]
    ids = shared_ids(cells)
    labels = cells[0].labels(ids)
    patients, owner = np.unique(np.array(cells[0].patients(ids)), return_inverse=True)
    arms = []
    of_findings = bool(cells[0].findings)
    jackknife = jackknife_macro if of_findings else jackknife_ranking
    for side in sides:
        tables = np.stack([cell.probabilities(ids) for cell in side.values()])
        found = jackknife(tables, labels, owner, cast(Score, kind_of(metric)))
        arms.append(Arm(found.value, found.pseudo))
    strata = (rarest_finding if of_findings else rarest_class)(labels, owner)
    return arms, strata, patients.tolist(), len(ids)


def set_score(cell: Predictions, ids: Sequence[str], metric: str) -> float | None:
    """One training's score on these images; None where a class is missing."""
    if not ids:
        return None
    labels, table = cell.labels(ids), cell.probabilities(ids)
    if cell.findings:
        return macro_score(table, labels, cast(Score, metric)) if is_ranking(metric) else None
    if metric == "ece":
        of_classes = table.ndim == 2
        return (calibration_error_top if of_classes else calibration_error)(table, labels)
    return ranking_score(table, labels, cast(Score, kind_of(metric)))


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

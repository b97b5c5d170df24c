"""Scores of a whole test set in a study, which no image has alone: AUROC, average precision, ECE.

They give the results that `per_image` gives for means over images: a group with its interval
over patients and its seeds, and a pair of scenarios with its test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, Literal, cast

import numpy as np

from metrics.auroc_intervals import bootstrap_interval
from metrics.classification import FloatArray, calibration_error, calibration_error_top
from metrics.delong import delong_test
from metrics.intervals import Interval
from metrics.ranking import Score, mean_over_trainings, ranking_score
from provenance import UserError
from studies.statistics.per_image import GroupResult, PairedResult

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


def group_of_sets(
    by_seed: Mapping[int, Predictions], metric: str, confidence: float, num_resamples: int
) -> GroupResult:
    """One scenario and model: mean of the seeds' scores, with the interval of that mean.

    ECE has none: it is too large where films are few, and a resample holds fewer different ones,
    so that its resamples do not surround it.

    Args:
        by_seed: Predictions of each seed; images that some seed lacks are left out.
        metric: One of `SET_METRICS`.
        confidence: Coverage of the interval over patients.
        num_resamples: Bootstrap resamples.
    """
    if not by_seed:
        return GroupResult(Interval(None, None, None, 0, 0), {}, None)
    ids = _shared_ids(list(by_seed.values()))
    interval = _interval([list(by_seed.values())], ids, metric, confidence, num_resamples)
    means = {seed: _score(one, one.ids, metric) for seed, one in by_seed.items()}
    defined = [mean for mean in means.values() if mean is not None]
    return GroupResult(interval, means, stdev(defined) if len(defined) > 1 else None)


def pair_of_sets(
    treated: Mapping[int, Predictions],
    control: Mapping[int, Predictions],
    metric: str,
    confidence: float,
    num_resamples: int,
) -> PairedResult:
    """Difference of two scenarios over the seeds that both have: bootstrap interval, DeLong's p.

    The test is DeLong's with patients as clusters, on structural components averaged over seeds.
    It rests on the normal distribution, which promises more than few patients can keep: its p is
    never below 2 / 2^n for n patients of the rarer class, the least that an exact test could give
    if only those counted. Average precision, and more than two classes, have an interval only.
    """
    seeds = sorted(set(treated) & set(control))
    if not seeds:
        return PairedResult(Interval(None, None, None, 0, 0), {}, {}, None, None, 0, False, None)
    chosen = [[cells[seed] for seed in seeds] for cells in (treated, control)]
    ids = _shared_ids([*chosen[0], *chosen[1]])
    interval = _interval(chosen, ids, metric, confidence, num_resamples)
    per_seed = {
        seed: _less(_score(treated[seed], ids, metric), _score(control[seed], ids, metric))
        for seed in seeds
    }
    tables = [_trainings(cells, ids) for cells in chosen]
    p_value: float | None = None
    smallest: float | None = None
    name: Literal["delong"] | None = None
    limiting = interval.num_patients
    if metric == "auroc" and tables[0].ndim == 2 and interval.value is not None:
        test = delong_test(
            tables[0], tables[1], chosen[0][0].labels(ids), chosen[0][0].patients(ids)
        )
        limiting = test.num_patients_rarer_class
        if test.p_value is not None:
            smallest = 2.0 / 2.0 ** min(limiting, 1000)
            p_value = max(test.p_value, smallest)
            name = "delong"
    return PairedResult(interval, {}, per_seed, p_value, smallest, limiting, False, name)


def _interval(
    sides: Sequence[Sequence[Predictions]],
    ids: Sequence[str],
    metric: str,
    confidence: float,
    num_resamples: int,
) -> Interval:
    """Of the cells' mean score, or of the difference of the means of two sides."""
    one = sides[0][0]
    labels, patients = one.labels(ids), one.patients(ids)
    if metric not in RANKINGS:
        means = [_mean([_score(cell, ids, metric) for cell in side]) for side in sides]
        value = means[0] if len(means) == 1 else _less(means[0], means[1])
        return Interval(value, None, None, len(set(patients)), len(ids))
    statistics = [mean_over_trainings(_trainings(side, ids), labels, metric) for side in sides]

    def statistic(weights: FloatArray) -> FloatArray:
        found = statistics[0](weights)
        return found if len(statistics) == 1 else found - statistics[1](weights)

    return bootstrap_interval(statistic, labels, patients, num_resamples, confidence)


def _score(cell: Predictions, ids: Sequence[str], metric: str) -> float | None:
    if not ids:
        return None
    labels, table = cell.labels(ids), cell.probabilities(ids)
    if metric == "ece":
        of_classes = table.ndim == 2
        return (calibration_error_top if of_classes else calibration_error)(table, labels)
    return ranking_score(table, labels, cast(Score, metric))


def _trainings(cells: Sequence[Predictions], ids: Sequence[str]) -> FloatArray:
    """(S, N) of two classes, (S, N, K) of more."""
    return np.stack([cell.probabilities(ids) for cell in cells])


def _shared_ids(cells: Sequence[Predictions]) -> list[str]:
    """Images that all cells have; their labels must agree, or the cells answer other questions."""
    ids = [name for name in cells[0].rows if all(name in cell.rows for cell in cells)]
    for name in ids:
        if len({cell.rows[name][:2] for cell in cells}) > 1:
            raise UserError(
                f"The cells disagree about the class or the patient of the image {name}: the data "
                "were prepared again while the study ran. Run the study anew in another folder."
            )
    return ids


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second

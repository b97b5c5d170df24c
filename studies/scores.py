"""From the cells' evaluations to scores that can be compared: seeds averaged, patients kept."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from metrics.intervals import Interval, patient_bootstrap

# item id -> (patient id, score); an item is an image, or a patient for scores per patient
Scores = dict[str, tuple[str, float | None]]


@dataclass(frozen=True)
class GroupResult:
    """One scenario and model over its seeds.

    Attributes:
        interval: Mean over seeds and items, with the bootstrap interval over patients.
        seed_means: Mean per seed.
        seed_spread: Standard deviation of those means; None with fewer than two seeds.
    """

    interval: Interval
    seed_means: dict[int, float | None]
    seed_spread: float | None


def scores_of(record: Mapping[str, Any], metric: str) -> Scores:
    """One cell's scores: per image where the evaluation has them, else per patient."""
    evaluation = record["evaluation"]
    images = evaluation.get("images") or []
    if any(metric in row for row in images):
        return {row["id"]: (row["patient_id"], row.get(metric)) for row in images}
    patients = evaluation.get("patients") or []
    return {row["patient_id"]: (row["patient_id"], row.get(metric)) for row in patients}


def average_over_seeds(scores: Sequence[Scores]) -> Scores:
    """Mean per item over the seeds in which it is defined; items that some seed lacks are left out.

    Cells of one study share the test set, so nothing is left out unless the data changed.
    """
    if not scores:
        return {}
    averaged: Scores = {}
    for item, (patient, _) in scores[0].items():
        if all(item in other for other in scores):
            averaged[item] = (patient, _mean(other[item][1] for other in scores))
    return averaged


def group_result(
    by_seed: Mapping[int, Scores], confidence: float, num_resamples: int
) -> GroupResult:
    """Summarise one scenario and model.

    The interval answers "other patients of this kind"; how much training itself varies is the
    seed spread beside it.
    """
    averaged = average_over_seeds(list(by_seed.values()))
    interval = patient_bootstrap(
        [score for _, score in averaged.values()],
        [patient for patient, _ in averaged.values()],
        num_resamples=num_resamples,
        confidence=confidence,
    )
    means = {seed: _mean(score for _, score in scores.values()) for seed, scores in by_seed.items()}
    defined = [mean for mean in means.values() if mean is not None]
    return GroupResult(interval, means, stdev(defined) if len(defined) > 1 else None)


def patient_differences(
    treated: Mapping[int, Scores], control: Mapping[int, Scores]
) -> dict[str, float]:
    """Mean difference per patient, treated minus control, over the seeds that both have.

    Per item the seeds' differences are averaged first, then the patient's items.
    """
    seeds = sorted(set(treated) & set(control))
    by_patient: dict[str, list[float]] = {}
    if not seeds:
        return {}
    for item, (patient, _) in treated[seeds[0]].items():
        pairs = [
            (treated[seed].get(item, (patient, None))[1], control[seed].get(item, ("", None))[1])
            for seed in seeds
        ]
        difference = _mean(a - b for a, b in pairs if a is not None and b is not None)
        if difference is not None:
            by_patient.setdefault(patient, []).append(difference)
    return {
        patient: math.fsum(values) / len(values) for patient, values in sorted(by_patient.items())
    }


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None

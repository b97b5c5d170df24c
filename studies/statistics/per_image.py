"""Scores that an image, or a patient, has by itself: averaged over seeds, tested by patients."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, Literal

from metrics.intervals import Interval, patient_bootstrap
from studies.statistics.significance import sign_flip_test

# item id -> (patient id, score); an item is an image, or a patient for scores per patient
ImageScores = dict[str, tuple[str, float | None]]

# The class over whose images `correct` is averaged; None: over all.
CORRECT_AMONG = {"accuracy": None, "sensitivity": 1, "specificity": 0}


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


@dataclass(frozen=True)
class PairedResult:
    """One scenario against another, for one model.

    Attributes:
        interval: Difference, treated minus control, with its interval over patients.
        patients: Difference per patient; empty for scores that no patient has alone.
        per_seed: Difference per seed.
        p_value: Two-sided; None where nothing can be tested.
        smallest_p: The smallest p that so many patients could give.
        num_patients: Patients that this bound counts: all tested, or those of the rarer class.
        exact: The p is counted, not drawn or approximated.
        test: Which test; None where nothing can be tested.
    """

    interval: Interval
    patients: dict[str, float]
    per_seed: dict[int, float | None]
    p_value: float | None
    smallest_p: float | None
    num_patients: int
    exact: bool
    test: Literal["sign_flip", "delong"] | None


def scores_per_image(record: Mapping[str, Any], metric: str) -> ImageScores:
    """One cell's scores: per image where the evaluation has them, else per patient.

    A classifier's accuracy is the mean of `correct`; of two classes, its sensitivity is the same
    over the images of class 1, its specificity over those of class 0.
    """
    evaluation = record["evaluation"]
    images = evaluation.get("images") or []
    if is_share_of_correct(evaluation, metric):
        among = CORRECT_AMONG[metric]
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


def is_share_of_correct(evaluation: Mapping[str, Any], metric: str) -> bool:
    """Whether a classifier's images give this metric as a mean of `correct`.

    With more than two classes sensitivity and specificity are means over classes, which are not.
    """
    images = evaluation.get("images") or []
    if metric not in CORRECT_AMONG or not any("correct" in row for row in images):
        return False
    return CORRECT_AMONG[metric] is None or not any("probabilities" in row for row in images)


def average_over_seeds(scores: Sequence[ImageScores]) -> ImageScores:
    """Mean per item over the seeds in which it is defined; items that some seed lacks are left out.

    Cells of one study share the test set, so nothing is left out unless the data changed.
    """
    if not scores:
        return {}
    averaged: ImageScores = {}
    for item, (patient, _) in scores[0].items():
        if all(item in other for other in scores):
            averaged[item] = (patient, _mean(other[item][1] for other in scores))
    return averaged


def group_of_images(
    by_seed: Mapping[int, ImageScores], confidence: float, num_resamples: int
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
    treated: Mapping[int, ImageScores], control: Mapping[int, ImageScores]
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


def pair_of_images(
    treated: Mapping[int, ImageScores],
    control: Mapping[int, ImageScores],
    confidence: float,
    num_resamples: int,
) -> PairedResult:
    """Compare two scenarios by the differences of their patients, tested by sign flips."""
    differences = patient_differences(treated, control)
    interval = patient_bootstrap(
        list(differences.values()),
        list(differences),
        num_resamples=num_resamples,
        confidence=confidence,
    )
    per_seed: dict[int, float | None] = {}
    for seed in sorted(set(treated) & set(control)):
        one = patient_differences({seed: treated[seed]}, {seed: control[seed]})
        per_seed[seed] = sum(one.values()) / len(one) if one else None
    test = sign_flip_test(list(differences.values()))
    return PairedResult(
        interval, differences, per_seed, test.p_value, test.smallest_p, test.num_patients,
        test.exact, None if test.p_value is None else "sign_flip",
    )  # fmt: skip


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None

"""How far a ranking score could be off: bootstrap over patients of AUROC and average precision.

A score of a whole set is no mean of scores per film, so `metrics.intervals` does not serve. Drawing
a patient k times means that each of the patient's films weighs k: films are sorted once, and every
resample is a sum of weights along that order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray
from metrics.intervals import Interval, check_resampling
from metrics.ranking import Score, Statistic, WeightedRanking, mean_over_trainings

# Weights held at once; a resample of a million films is drawn alone.
_WEIGHTS_AT_ONCE = 4_000_000


def bootstrap_score(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    score: Score = "auroc",
) -> Interval:
    """AUROC or average precision with an interval from resampling patients with all of their films.

    Resamples without both classes are drawn again. Where one class rests on a single patient its
    spread cannot be seen, so there is no interval. A perfect ranking stays perfect in each
    resample: the interval of an AUROC of 1 has no width, which says nothing about other patients.

    Args:
        probabilities: (N,) scores; or (S, N) of S trainings of the same model on the same films:
            then the value is the mean of the S scores, and the interval is that of this mean for
            these trainings. How much training varies is not in it. (S, N, K) of K classes: the mean
            of each class against the others.
        labels: (N,) 0 or 1, or 0 to K - 1.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.
        score: "auroc" or "average_precision".

    Returns:
        `num_patients` and `num_values` count patients and films; value None when a class is
        missing.

    Source: cluster bootstrap, Davison & Hinkley 1997, section 3.8; Rutter 2000 for ROC curves.
    """
    mean = mean_over_trainings(probabilities, labels, score)
    return bootstrap_interval(mean, labels, patient_ids, num_resamples, confidence, seed)


def bootstrap_difference(
    treated: ArrayLike,
    control: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    score: Score = "auroc",
) -> Interval:
    """Difference of two models' scores on the same films, treated minus control.

    Both are scored on the same resamples, so what makes patients easy or hard for both cancels.

    Args:
        treated: (N,) or (S, N) scores, as in `bootstrap_score`.
        control: (N,) or (S', N) scores of the same films in the same order.
        labels: (N,) 0 or 1.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.
        score: "auroc" or "average_precision".
    """
    first, second = (mean_over_trainings(each, labels, score) for each in (treated, control))
    return bootstrap_interval(
        lambda weights: first(weights) - second(weights),
        labels, patient_ids, num_resamples, confidence, seed,
    )  # fmt: skip


def bootstrap_interval(
    statistic: Statistic,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of any score that film weights can express.

    Args:
        statistic: From weights (R, N) to scores (R,), NaN where a resample has none.
        labels: (N,) classes 0 to K - 1; each must rest on two patients, or there is no interval.
        patient_ids: (N,) the patient of each film.
        num_resamples: Bootstrap resamples, at least 1.
        confidence: Coverage in (0, 1).
        seed: The same seed gives the same interval.

    Raises:
        ValueError: Lengths differ, or a setting is outside its range.
    """
    classes = np.asarray(labels)
    if len(patient_ids) != len(classes):
        raise ValueError(
            f"{len(classes)} labels but {len(patient_ids)} patient ids; give one id per film."
        )
    check_resampling(num_resamples, confidence)
    patients, owner = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    num_films, num_patients = len(classes), len(patients)
    if not num_films:
        return Interval(None, None, None, 0, 0)
    value = float(statistic(np.ones((1, num_films)))[0])
    if np.isnan(value):
        return Interval(None, None, None, num_patients, num_films)
    of_each_class = [len(np.unique(owner[classes == each])) for each in np.unique(classes)]
    if min(of_each_class) < 2:
        return Interval(value, None, None, num_patients, num_films)
    found = _resampled(statistic, owner, num_patients, num_resamples, seed)
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), num_patients, num_films)


def roc_band(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    false_positive_rates: ArrayLike,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Where the ROC curve lies, at each false positive rate by itself (a pointwise band).

    Args:
        probabilities: (N,) scores.
        labels: (N,) 0 or 1, both present.
        patient_ids: (N,) the patient of each film.
        false_positive_rates: (T,) in [0, 1].
        num_resamples: Bootstrap resamples of patients.
        confidence: Coverage at each rate.
        seed: The same seed gives the same band.

    Returns:
        Lower and upper sensitivity, (T,) each.
    """
    rates = np.asarray(false_positive_rates, dtype=np.float64)
    ranking = WeightedRanking(probabilities, labels)
    patients, owner = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    found = _resampled(
        lambda weights: ranking.sensitivity_at(weights, rates),
        owner, len(patients), num_resamples, seed,
    )  # fmt: skip
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def _resampled(
    statistic: Statistic,
    owner: NDArray[np.intp],
    num_patients: int,
    num_resamples: int,
    seed: int,
) -> FloatArray:
    """Scores of resamples that have one, (num_resamples, ...); the others are drawn again."""
    generator = np.random.default_rng(seed)
    rows = max(1, min(num_resamples, _WEIGHTS_AT_ONCE // len(owner)))
    share = np.full(num_patients, 1 / num_patients)
    found: list[FloatArray] = []
    while sum(map(len, found)) < num_resamples:
        draws = generator.multinomial(num_patients, share, size=rows)
        scores = statistic(draws[:, owner].astype(np.float64))
        found.append(scores[~np.isnan(scores.reshape(rows, -1)).any(axis=1)])
    return np.concatenate(found)[:num_resamples]

"""How far a ranking score could be off with other patients, and a band of ROC curves.

A score of a whole set is no mean of scores per film. Its pseudo-values by patient are numbers of
which it is nearly the mean, so their spread is its own. AUROC and average precision press against
1, where their scatter is one-sided: intervals are symmetrical on the logit scale. Below
`FEWEST_OF_A_CLASS` patients of a class no interval holds what it promises, so there is none.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.classification import FloatArray
from metrics.intervals import Interval, check_confidence, ends
from metrics.jackknife import (
    Jackknife,
    jackknife_auroc,
    jackknife_average_precision,
    jackknife_mean,
    patient_variance,
)
from metrics.ranking import Score, Statistic, WeightedRanking

FEWEST_OF_A_CLASS = 20
# Weights held at once; a resample of a million films is drawn alone.
_WEIGHTS_AT_ONCE = 4_000_000


def jackknife_ranking(
    tables: ArrayLike, labels: ArrayLike, owner: NDArray[np.intp], score: Score
) -> Jackknife:
    """Pseudo-values by patient of a ranking score of S trainings.

    Args:
        tables: (S, N) scores, or (S, N, K) of K classes: then the mean of each class against the
            others.
        labels: (N,) 0 or 1, or 0 to K - 1; every class is there.
        owner: (N,) number of each film's patient.
        score: "auroc" or "average_precision".
    """
    table, classes = np.asarray(tables, dtype=np.float64), np.asarray(labels)
    own = [table] if table.ndim == 2 else list(np.moveaxis(table, 2, 0))
    wanted = [classes == 1] if table.ndim == 2 else [classes == k for k in range(len(own))]
    of_score = jackknife_auroc if score == "auroc" else _average_precisions
    found = [of_score(*one, owner) for one in zip(own, wanted, strict=True)]
    return mean_of(found)


def mean_of(found: Sequence[Jackknife]) -> Jackknife:
    """The mean of several scores of the same films, such as of each class against the others."""
    return Jackknife(
        np.mean([one.value for one in found], axis=0),
        np.mean([one.pseudo for one in found], axis=0),
    )


def _average_precisions(
    table: FloatArray, positive: NDArray[np.bool_], owner: NDArray[np.intp]
) -> Jackknife:
    each = [jackknife_average_precision(row, positive, owner) for row in table]
    return Jackknife(np.stack([one.value for one in each]), np.stack([one.pseudo for one in each]))


def rarest_class(labels: ArrayLike, owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """(P,) of every patient's classes the one that fewest patients have."""
    classes = np.asarray(labels).astype(np.intp)
    by_rarity = sorted(np.unique(classes), key=lambda one: -len(np.unique(owner[classes == one])))
    found = np.zeros(int(owner.max()) + 1, dtype=np.intp)
    for one in by_rarity:
        found[owner[classes == one]] = one
    return found


def too_few_of_a_class(labels: ArrayLike, patient_ids: Sequence[str]) -> str | None:
    """Why a ranking score of these films has no interval; None where it has one."""
    classes, patients = np.asarray(labels), np.asarray(patient_ids, dtype=str)
    counts = [len(np.unique(patients[classes == one])) for one in np.unique(classes)]
    if len(counts) > 1 and min(counts) >= FEWEST_OF_A_CLASS:
        return None
    rarest = min(counts) if len(counts) > 1 else 0
    return f"too few: {rarest} patients of a class, {FEWEST_OF_A_CLASS} needed"


def score_interval(
    probabilities: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    confidence: float = 0.95,
    score: Score = "auroc",
) -> Interval:
    """AUROC or average precision of one training, with its interval for other patients.

    Args:
        probabilities: (N,) scores, or (N, K) of K classes: the mean of each against the others.
        labels: (N,) 0 or 1, or 0 to K - 1.
        patient_ids: (N,) the patient of each film.
        confidence: Coverage in (0, 1).
        score: "auroc" or "average_precision".

    Returns:
        `num_patients` and `num_values` count patients and films; value None when a class is
        missing. No interval with too few patients of a class, nor where every film is ranked
        rightly: nothing is then seen of what other patients would change.

    Source: DeLong et al. 1988 and Obuchowski 1997 for the variance, to which the jackknife comes
    close; Pepe 2003, section 5.2, for the logit.
    """
    return _ranked([np.asarray(probabilities)], labels, patient_ids, confidence, score)


def score_difference(
    treated: ArrayLike,
    control: ArrayLike,
    labels: ArrayLike,
    patient_ids: Sequence[str],
    confidence: float = 0.95,
    score: Score = "auroc",
) -> Interval:
    """Difference of two trainings' scores on the same films, treated minus control.

    What makes patients easy or hard for both cancels. Arguments as in `score_interval`.
    """
    sides = [np.asarray(treated), np.asarray(control)]
    return _ranked(sides, labels, patient_ids, confidence, score)


def share_interval(
    right: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    labels: ArrayLike,
    patient_ids: Sequence[str],
    confidence: float = 0.95,
) -> Interval:
    """Interval, on the logit scale, of a mean over classes of shares of right calls.

    Args:
        right: (C, N) whether a film counts as a right call of a class.
        asked: (C, N) whether it counts at all.
        labels: (N,) classes 0 to K - 1; each must rest on two patients, or there is no interval.
        patient_ids: (N,) the patient of each film.
        confidence: Coverage in (0, 1).
    """

    def jackknife(owner: NDArray[np.intp]) -> Jackknife:
        def by_patient(films: NDArray[np.bool_]) -> NDArray[np.intp]:
            return np.bincount(owner[films], minlength=int(owner.max()) + 1)

        each = zip(right & asked, asked, strict=True)
        return mean_of([jackknife_mean(*map(by_patient, both)) for both in each])

    return _interval(jackknife, labels, patient_ids, confidence, logit=True)


def _ranked(
    sides: Sequence[FloatArray],
    labels: ArrayLike,
    patient_ids: Sequence[str],
    confidence: float,
    score: Score,
) -> Interval:
    def jackknife(owner: NDArray[np.intp]) -> Jackknife:
        found = [jackknife_ranking(side[None], labels, owner, score) for side in sides]
        value, pseudo = found[0].value[0], found[0].pseudo[0]
        if len(found) == 1:
            return Jackknife(value, pseudo)
        return Jackknife(value - found[1].value[0], pseudo - found[1].pseudo[0])

    found = _interval(jackknife, labels, patient_ids, confidence, logit=len(sides) == 1)
    few = None if found.value is None else too_few_of_a_class(labels, patient_ids)
    if few is None:
        return found
    return Interval(found.value, None, None, found.num_patients, found.num_values, few)


def _interval(
    jackknife: Callable[[NDArray[np.intp]], Jackknife],
    labels: ArrayLike,
    patient_ids: Sequence[str],
    confidence: float,
    logit: bool,
) -> Interval:
    classes = np.asarray(labels)
    if len(patient_ids) != len(classes):
        raise ValueError(
            f"{len(classes)} labels but {len(patient_ids)} patient ids; give one id per film."
        )
    check_confidence(confidence)
    patients, owner = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    counts = len(patients), len(classes)
    if len(np.unique(classes)) < 2:
        return Interval(None, None, None, *counts)
    return interval_from(
        jackknife(owner), rarest_class(classes, owner), len(classes), confidence, logit
    )


def interval_from(
    found: Jackknife, strata: NDArray[np.intp], num_films: int, confidence: float, logit: bool
) -> Interval:
    """Interval of a score of one training from its pseudo-values.

    Args:
        found: Value () and pseudo-values (P,) by patient.
        strata: (P,) class of each patient; see `patient_variance`.
        num_films: For the interval's count.
        confidence: Coverage in (0, 1).
        logit: Symmetrical on the logit scale.
    """
    from scipy.special import stdtrit

    value, counts = float(found.value), (len(strata), num_films)
    if np.isnan(value):
        return Interval(None, None, None, *counts)
    variance, freedom = patient_variance(found.pseudo, strata)
    margin = np.sqrt(variance) * stdtrit(freedom, (1 + confidence) / 2)
    low, high = ends(found.value, margin, "logit" if logit else "plain")
    if np.isnan([low, high]).any():
        return Interval(value, None, None, *counts)
    return Interval(value, float(low), float(high), *counts)


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
    found = resampled_by_patient(
        lambda weights: ranking.sensitivity_at(weights, rates),
        owner, len(patients), num_resamples, seed,
    )  # fmt: skip
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def resampled_by_patient(
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

"""Ranking scores of several findings at once, of which some are unknown of some films.

A finding is scored on the films of which it is known. The mean over findings (macro) is over those
that some of these films have and some have not; its interval leaves out whole patients, with all
their findings, since findings of one film are not independent.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.auroc_intervals import FEWEST_OF_A_CLASS, interval_from, jackknife_ranking
from metrics.classification import FloatArray
from metrics.intervals import Interval, check_confidence
from metrics.jackknife import Jackknife
from metrics.ranking import Score, ranking_score


def finding_score(scores: ArrayLike, truth: ArrayLike, score: Score = "auroc") -> float | None:
    """AUROC or average precision of one finding, on the films of which it is known.

    Args:
        scores: (N,) on any monotone scale.
        truth: (N,) 1, 0, or NaN for unknown.
        score: "auroc" or "average_precision".

    Returns:
        In [0, 1]; None if all films of which the finding is known have it, or none of them.
    """
    table, values = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    known = ~np.isnan(values)
    return ranking_score(table[known], values[known], score) if known.any() else None


def defined_findings(truth: ArrayLike) -> list[int]:
    """The findings, of K, that some of the films (N, K) have and some have not."""
    values = np.asarray(truth, dtype=np.float64)
    there = ((values == 1).any(axis=0)) & ((values == 0).any(axis=0))
    return np.flatnonzero(there).tolist()


def macro_score(scores: ArrayLike, truth: ArrayLike, score: Score = "auroc") -> float | None:
    """Mean over `defined_findings` of `finding_score`; None where there are none.

    Args:
        scores: (N, K).
        truth: (N, K) 1, 0, or NaN for unknown.
        score: "auroc" or "average_precision".
    """
    table, values = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    each = [finding_score(table[:, k], values[:, k], score) for k in defined_findings(values)]
    defined = [value for value in each if value is not None]
    return float(np.mean(defined)) if defined else None


def jackknife_macro(
    tables: ArrayLike, truth: ArrayLike, owner: NDArray[np.intp], score: Score
) -> Jackknife:
    """Pseudo-values by patient of `macro_score` of S trainings.

    Args:
        tables: (S, N, K) scores.
        truth: (N, K) 1, 0, or NaN for unknown; some finding is defined.
        owner: (N,) number of each film's patient, 0 to P - 1.
        score: "auroc" or "average_precision".

    Returns:
        Value (S,) and pseudo-values (S, P); of a patient of whom no finding is known the value.
    """
    table, values = np.asarray(tables, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    number = int(owner.max()) + 1
    scored, left_out = [], []
    for k in defined_findings(values):
        known = ~np.isnan(values[:, k])
        own, place = np.unique(owner[known], return_inverse=True)
        found = jackknife_ranking(table[:, known, k], values[known, k], place, score)
        # Leaving out somebody whose films do not count changes nothing, and the number of patients
        # is that of all findings: K v - (K - 1) v_i for K of all in place of those of this one.
        pseudo = np.repeat(found.value[:, None], number, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (number - 1) / (len(own) - 1) if len(own) > 1 else np.nan
            pseudo[:, own] += reach * (found.pseudo - found.value[:, None])
        scored.append(found.value)
        left_out.append(pseudo)
    return Jackknife(np.mean(scored, axis=0), np.mean(left_out, axis=0))


def rarest_finding(truth: ArrayLike, owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """(P,) of what is known of every patient, with or without each finding, the rarest.

    The strata of a macro score's variance, as `rarest_class` is of one finding's.

    Args:
        truth: (N, K) 1, 0, or NaN for unknown.
        owner: (N,) number of each film's patient.
    """
    values = np.asarray(truth, dtype=np.float64)
    cells = [values[:, k] == value for k in range(values.shape[1]) for value in (0, 1)]
    by_rarity = sorted(
        ((len(np.unique(owner[cell])), number) for number, cell in enumerate(cells) if cell.any()),
        reverse=True,
    )
    found = np.zeros(int(owner.max()) + 1, dtype=np.intp)
    for _, number in by_rarity:
        found[owner[cells[number]]] = number
    return found


def too_few_of_a_finding(
    truth: ArrayLike, patient_ids: Sequence[str], names: Sequence[str]
) -> str | None:
    """Why a macro score of these films has no interval; None where it has one.

    Args:
        truth: (N, K) 1, 0, or NaN for unknown.
        patient_ids: (N,) the patient of each film.
        names: (K,) of the findings.
    """
    values, patients = np.asarray(truth, dtype=np.float64), np.asarray(patient_ids, dtype=str)
    defined = defined_findings(values)
    if not defined:
        return "no finding that some films have and some have not"
    counts = {
        (k, value): len(np.unique(patients[values[:, k] == value]))
        for k in defined
        for value in (0, 1)
    }
    (k, value), fewest = min(counts.items(), key=lambda entry: entry[1])
    if fewest >= FEWEST_OF_A_CLASS:
        return None
    which = "with" if value else "without"
    whom = "patient" if fewest == 1 else "patients"
    return f"too few: {fewest} {whom} {which} {names[k]}, {FEWEST_OF_A_CLASS} needed"


def macro_interval(
    probabilities: ArrayLike,
    truth: ArrayLike,
    patient_ids: Sequence[str],
    names: Sequence[str],
    confidence: float = 0.95,
    score: Score = "auroc",
) -> Interval:
    """`macro_score` of one training, with its interval for other patients.

    Args:
        probabilities: (N, K) scores.
        truth: (N, K) 1, 0, or NaN for unknown.
        patient_ids: (N,) the patient of each film.
        names: (K,) of the findings.
        confidence: Coverage in (0, 1).
        score: "auroc" or "average_precision".

    Returns:
        On the logit scale. `num_patients` and `num_values` count those of whom some finding is
        known. No interval with fewer than `FEWEST_OF_A_CLASS` patients with, or without, any of the
        findings of the mean.
    """
    check_confidence(confidence)
    values, table = np.asarray(truth, dtype=np.float64), np.asarray(probabilities, np.float64)
    known = (~np.isnan(values)).any(axis=1)
    values, table = values[known], table[known]
    own = np.asarray(patient_ids, dtype=str)[known]
    patients, owner = np.unique(own, return_inverse=True)
    if not defined_findings(values):
        return Interval(None, None, None, len(patients), len(own))
    found = jackknife_macro(table[None], values, owner, score)
    one = Jackknife(found.value[0], found.pseudo[0])
    few = too_few_of_a_finding(values, own.tolist(), names)
    if few is not None:
        return Interval(float(one.value), None, None, len(patients), len(own), few)
    strata = rarest_finding(values, owner)
    return interval_from(one, strata, len(own), confidence, logit=True)


def known_only(
    scores: FloatArray, truth: FloatArray, patient_ids: Sequence[str]
) -> tuple[FloatArray, NDArray[np.int64], list[str]]:
    """Scores, 0 or 1, and patients of the films (n,) of which a finding is known.

    Args:
        scores: (N,).
        truth: (N,) 1, 0, or NaN for unknown.
        patient_ids: (N,).
    """
    known = ~np.isnan(truth)
    patients = np.asarray(patient_ids, dtype=object)[known].tolist()
    return scores[known], truth[known].astype(np.int64), patients

"""Scenario against scenario: the differences, their tests, and what these could have shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studies.specification.arms import flags_beside_synthetic
from studies.specification.claims import Claim, claims
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.fairness import subject_of
from studies.statistics.reach import (
    Spread,
    patients_needed,
    smallest_difference,
    trainings_needed,
)
from studies.statistics.results import PairedResult, pairs_of
from studies.statistics.significance import holm

ONE_TRAINING = "in this one training"

Results = Mapping[tuple[str, str, str], PairedResult]
"""By scenario, what it is compared with, and model"""


def comparisons(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Every comparison of two scenarios, with what the claim that it belongs to comes to.

    A claim's p is the largest of its comparisons', since all of them must hold; where they point
    to different sides, 1. Holm's method corrects the claims of the primary family.
    """
    results = results_of_claims(
        specification, lambda pairs, model: pairs_of(specification, records, pairs, model)
    )
    found = rows_of_claims(specification, results)
    tested = correct(specification, found, ("helps", "hurts"))
    every = [row for rows in found for row in rows]
    level = (1 - specification.confidence) / max(1, tested)
    for row in every:
        spread = results[row["scenario"], row["against"], row["model"]].spread
        row |= _reach(row, spread, level)
    return every


def results_of_claims(
    specification: Specification,
    paired: Callable[[Sequence[tuple[str, str]], str], list[PairedResult]],
) -> Results:
    """The differences that the study's claims are about, of every model.

    Args:
        specification: The study.
        paired: Gives the results of pairs (scenario, against) of a model.
    """
    made = claims(specification)
    pairs = list(dict.fromkeys((one.scenario, against) for one in made for against in one.against))
    return {
        (*pair, model.name): result
        for model in specification.models
        for pair, result in zip(pairs, paired(pairs, model.name), strict=True)
    }


def rows_of_claims(specification: Specification, results: Results) -> list[list[dict[str, Any]]]:
    """The comparisons of each claim and model, not yet corrected for their number."""
    return [
        [
            _comparison(specification, claim, against, model.name, results)
            for against in claim.against
        ]
        for claim in claims(specification)
        for model in specification.models
    ]


def correct(
    specification: Specification, found: Sequence[list[dict[str, Any]]], words: tuple[str, str]
) -> int:
    """Correct the primary claims together by Holm's method, and say what they come to.

    Args:
        specification: The study.
        found: See `rows_of_claims`; of several test sets where they are one family.
        words: What a significant difference for better is called, and one for worse.

    Returns:
        How many claims were tested.
    """
    family = [rows for rows in found if rows[0]["role"] == "primary"]
    tested = [rows for rows in family if all(row["p"] is not None for row in rows)]
    adjusted = holm([_p_of_claim(rows) for rows in tested])
    better = 1 if specification.metric.higher_is_better else -1
    for rows, p_holm in zip(tested, adjusted, strict=True):
        significant = p_holm < 1 - specification.confidence
        verdict = "no difference shown"
        if significant:
            verdict = words[0] if rows[0]["value"] * better > 0 else words[1]
        for row in rows:
            row |= {"p_holm": p_holm, "significant": significant, "verdict": verdict}
    return len(tested)


def _reach(row: Mapping[str, Any], spread: Spread | None, level: float) -> dict[str, Any]:
    """What the comparison could have shown, and what would show the difference that was seen.

    At the level that Holm's method asks of the first of the family.
    """
    if spread is None:
        return {"could_show": None, "trainings_needed": None, "patients_needed": None}
    trainings, patients = min(row["trainings"]), row["num_patients"]
    seen = row["value"]
    return {
        "could_show": smallest_difference(spread, trainings, patients, level),
        "trainings_needed": trainings_needed(spread, seen, patients, level),
        "patients_needed": patients_needed(spread, seen, trainings, level),
    }


def by_claim(found: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The comparisons of each claim and model together, in their order."""
    claimed: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in found:
        key = (row["scenario"], *row["claim_against"], row["model"])
        claimed.setdefault(key, []).append(row)
    return list(claimed.values())


def _p_of_claim(rows: Sequence[Mapping[str, Any]]) -> float:
    """Of an intersection-union test: all the comparisons must hold, on the same side of zero."""
    if len({row["value"] > 0 for row in rows}) > 1:
        return 1.0
    return max(row["p"] for row in rows)


def _comparison(
    specification: Specification,
    claim: Claim,
    against: str,
    model: str,
    results: Results,
) -> dict[str, Any]:
    result = results[claim.scenario, against, model]
    verdict: str = "not tested" if claim.role == "primary" else claim.role
    if claim.role == "primary" and result.interval.value is not None:
        if result.interval.no_interval is not None:
            verdict = "too few patients to tell"
        elif min(result.trainings) == 1 and result.patients_only[0] is not None:
            verdict = ONE_TRAINING
    return {
        "scenario": claim.scenario,
        "against": against,
        "model": model,
        "role": claim.role,
        "claim_against": list(claim.against),
        "isolates_synthetic": _isolates(specification, claim),
        "seeds": sorted(result.per_seed),
        "trainings": list(result.trainings),
        "value": result.interval.value,
        "low": result.interval.low,
        "high": result.interval.high,
        "no_interval": result.interval.no_interval,
        "low_patients": result.patients_only[0],
        "high_patients": result.patients_only[1],
        "num_patients": result.interval.num_patients,
        "patients": result.patients,
        "per_seed": {str(seed): value for seed, value in result.per_seed.items()},
        "p": result.p_value,
        "p_holm": None,
        "significant": False,
        "verdict": verdict,
    }


def _isolates(specification: Specification, claim: Claim) -> bool:
    """Whether a claim says something about synthetic data and nothing else.

    A scenario against its own controls does, and one against the same of another generator. Without
    controls, a pretrained model has trained longer
    than the others, which helps by itself: only a pair that the study names is taken for fair.
    """
    treated = specification.scenario(claim.scenario)
    if not treated.synthetic or treated.placebo:
        return False
    control = specification.scenario(claim.against[0])
    if control.synthetic:
        return subject_of(specification, claim.scenario, claim.against) == "generator"
    if treated.controls:
        return claim.against == treated.controls
    if treated.pretrain is not None:
        return (treated.id, control.id) in specification.extra_comparisons
    return flags_beside_synthetic(treated) == flags_beside_synthetic(control)


def family_of(specification: Specification, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The primary family: how many claims were tested, and at which level."""
    tested = by_claim([row for row in found if row["p_holm"] is not None])
    return {"family_size": len(tested), "level": 1 - specification.confidence}

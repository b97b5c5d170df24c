"""Scenario against scenario: the differences, their tests, and what these could show at best."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.specification.arms import flags_beside_synthetic
from studies.specification.claims import Claim, claims
from studies.specification.specification import Specification
from studies.statistics.results import Record, pair_of
from studies.statistics.significance import holm, patients_needed


def comparisons(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Every comparison of two scenarios, with what the claim that it belongs to comes to.

    A claim's p is the largest of its comparisons', since all of them must hold; where they point
    to different sides, 1. Holm's method corrects the claims of the primary family.
    """
    made = claims(specification)
    found: list[list[dict[str, Any]]] = []
    for claim in made:
        for model in specification.models:
            found.append(
                [
                    _comparison(specification, records, claim, against, model.name)
                    for against in claim.against
                ]
            )
    family = [rows for rows in found if rows[0]["role"] == "primary"]
    tested = [rows for rows in family if all(row["p"] is not None for row in rows)]
    adjusted = holm([_p_of_claim(rows) for rows in tested])
    level = 1 - specification.confidence
    better = 1 if specification.metric.higher_is_better else -1
    for rows, p_holm in zip(tested, adjusted, strict=True):
        significant = p_holm < level
        if significant:
            verdict = "helps" if rows[0]["value"] * better > 0 else "hurts"
        elif len(tested) * max(row["smallest_p"] for row in rows) >= level:
            verdict = "too few patients to tell"
        else:
            verdict = "no difference shown"
        for row in rows:
            row |= {"p_holm": p_holm, "significant": significant, "verdict": verdict}
    return [row for rows in found for row in rows]


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
    records: Sequence[Record],
    claim: Claim,
    against: str,
    model: str,
) -> dict[str, Any]:
    scenario = claim.scenario
    result = pair_of(specification, records, (scenario, against), model)
    return {
        "scenario": scenario,
        "against": against,
        "model": model,
        "role": claim.role,
        "claim_against": list(claim.against),
        "isolates_synthetic": _isolates(specification, claim),
        "seeds": sorted(result.per_seed),
        "value": result.interval.value,
        "low": result.interval.low,
        "high": result.interval.high,
        "num_patients": result.interval.num_patients,
        "patients": result.patients,
        "per_seed": {str(seed): value for seed, value in result.per_seed.items()},
        "test": result.test,
        "p": result.p_value,
        "p_holm": None,
        "smallest_p": result.smallest_p,
        "limiting_patients": result.num_patients,
        "exact": result.exact,
        "significant": False,
        "verdict": "not tested" if claim.role == "primary" else claim.role,
    }


def _isolates(specification: Specification, claim: Claim) -> bool:
    """Whether a claim says something about synthetic data and nothing else.

    A scenario against its own controls does. Without such, a pretrained model has trained longer
    than the others, which helps by itself: only a pair that the study names is taken for fair.
    """
    treated = specification.scenario(claim.scenario)
    if not treated.synthetic or treated.placebo:
        return False
    if treated.controls:
        return claim.against == treated.controls
    control = specification.scenario(claim.against[0])
    if control.synthetic:
        return False
    if treated.pretrain is not None:
        return (treated.id, control.id) in specification.extra_comparisons
    return flags_beside_synthetic(treated) == flags_beside_synthetic(control)


def limits_of_tests(
    specification: Specification, found: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the tests of the primary family could show at best with these patients."""
    claimed = by_claim([row for row in found if row["p_holm"] is not None])
    # The least p of a claim is the largest of its comparisons'.
    tested = [max(rows, key=lambda row: row["smallest_p"]) for rows in claimed]
    level = 1 - specification.confidence
    # Holm multiplies the family's smallest p by the whole family's size.
    reachable = [min(1.0, len(tested) * comparison["smallest_p"]) for comparison in tested]
    return {
        "family_size": len(tested),
        "level": level,
        # Which bound the smallest p: for DeLong's test those of the rarer class.
        "num_patients": min((c["limiting_patients"] for c in tested), default=0),
        "method": tested[0]["test"] if tested else None,
        "smallest_p": min((c["smallest_p"] for c in tested), default=None),
        "smallest_adjusted_p": min(reachable, default=None),
        "can_be_significant": any(p < level for p in reachable),
        "patients_needed": patients_needed(len(tested), level),
        "exact": all(comparison["exact"] for comparison in tested),
    }

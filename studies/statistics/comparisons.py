"""Scenario against scenario: the differences, their tests, and what these could show at best."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.specification.specification import Scenario, Specification
from studies.statistics.results import Record, pair_of
from studies.statistics.significance import holm, patients_needed


def comparisons(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Every scenario against the baseline, and the extra pairs, tested as one family."""
    baseline = specification.baseline_scenario
    pairs = [(s.id, baseline) for s in specification.scenarios if s.id != baseline]
    pairs += [pair for pair in specification.extra_comparisons if pair not in pairs]
    found = [
        _comparison(specification, records, scenario, against, model.name)
        for scenario, against in pairs
        for model in specification.models
    ]
    tested = [comparison for comparison in found if comparison["p"] is not None]
    adjusted = holm([comparison["p"] for comparison in tested])
    level = 1 - specification.confidence
    better = 1 if specification.metric.higher_is_better else -1
    for comparison, p_holm in zip(tested, adjusted, strict=True):
        comparison["p_holm"] = p_holm
        comparison["significant"] = p_holm < level
        if p_holm < level:
            comparison["verdict"] = "helps" if comparison["value"] * better > 0 else "hurts"
        elif len(tested) * comparison["smallest_p"] >= level:
            comparison["verdict"] = "too few patients to tell"
        else:
            comparison["verdict"] = "no difference shown"
    return found


def _comparison(
    specification: Specification, records: Sequence[Record], scenario: str, against: str, model: str
) -> dict[str, Any]:
    result = pair_of(specification, records, (scenario, against), model)
    treated_scenario, control_scenario = (
        specification.scenario(identifier) for identifier in (scenario, against)
    )
    return {
        "scenario": scenario,
        "against": against,
        "model": model,
        "isolates_synthetic": _isolates(specification, treated_scenario, control_scenario),
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
        "verdict": "not tested",
    }


def _isolates(specification: Specification, treated: Scenario, control: Scenario) -> bool:
    """Whether a pair says something about synthetic data and nothing else.

    A pretrained model has trained longer than the others, which helps by itself. So only a pair
    that the study names is taken for fair: its author gave the control as much training.
    """
    if not treated.synthetic or control.synthetic:
        return False
    if treated.pretrain is not None:
        return (treated.id, control.id) in specification.extra_comparisons
    return _training_of(treated) == _training_of(control)


def _training_of(scenario: Scenario) -> list[tuple[str, ...]]:
    """A scenario's flags but for those that say how many synthetic films join."""
    words = [part for word in scenario.arguments for part in word.split("=", 1)]
    flags: list[tuple[str, ...]] = []
    for word in words:
        if word.startswith("--"):
            flags.append((word,))
        elif flags:
            flags[-1] += (word,)
    joining = ("--data.balance", "synthetic")
    return [flag for flag in flags if flag[0] != "--data.synthetic_share" and flag != joining]


def limits_of_tests(
    specification: Specification, found: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the tests could show at best with these patients."""
    tested = [comparison for comparison in found if comparison["p"] is not None]
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

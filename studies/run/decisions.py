"""What decides a study, and what of it was changed after cells were finished, for ever."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from display.numbers import count
from studies.specification.claims import claims
from studies.specification.read import parse_specification
from studies.specification.specification import Specification

Decision = dict[str, Any]
"""`finished_cells` that there were, and what `decides` from then on, by name, as text"""


def decisions_of(
    before: Mapping[str, Any], specification: Specification, finished: int
) -> list[Decision]:
    """What decided and decides, in the order of time; the first is that of the first cell.

    Args:
        before: The folder's study.json as it is; empty where there is none.
        specification: The study as it goes on.
        finished: Cells that are finished. Before the first nothing is kept: nobody saw a result.
    """
    now = {"finished_cells": finished, "decides": _deciding(specification)}
    if not finished:
        return [now]
    known = list(before.get("decisions") or [])
    if not known and before:  # of an earlier version, which kept the last specification alone
        earlier = parse_specification(before["specification"], "study.json")
        known = [{"finished_cells": 0, "decides": _deciding(earlier)}]
    if not known or _changes(known[-1], now):
        known.append(now)
    return known


def changes_told(decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for every time that what decides was changed beside finished cells."""
    return [
        f"Changed after {count(now['finished_cells'], 'cell')} had been finished, and results "
        f"could be seen: {'; '.join(_changes(was, now))}. What was chosen after it is exploratory."
        for was, now in pairwise(decisions)
    ]


def _changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    old, new = was["decides"], now["decides"]
    return [
        f"{name} was {old[name]}, is {new[name]}"
        for name in new
        # One seed is no verdict, and more of them are what the report asks for.
        if name in old and old[name] != new[name] and not (name == "seeds" and "," not in old[name])
    ]


def _deciding(specification: Specification) -> dict[str, str]:
    metric = specification.metric
    better = "higher" if metric.higher_is_better else "lower"
    decides = {
        "metric": f"{metric.name} ({better} is better)",
        "confidence": f"{specification.confidence:g}",
        "seeds": ", ".join(map(str, specification.seeds)),
    }
    if specification.kind == "generators":
        return decides
    family = [
        f"{claim.scenario} against {' and '.join(claim.against)}"
        for claim in claims(specification)
        if claim.role == "primary"
    ]
    return decides | {
        "baseline_scenario": specification.baseline_scenario,
        "target": specification.target or "none",
        "the primary family": ", ".join(family) or "empty",
        "the external sets that decide": ", ".join(specification.external_primary) or "none",
    }

"""The study's answer in sentences, made from its numbers and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count, difference, p_phrase, p_value, with_interval
from studies.report.state import unfinished
from studies.specification.specification import Specification

FEW_PATIENTS = 10


def answer(specification: Specification, content: Mapping[str, Any]) -> dict[str, Any]:
    """Headline, one line per model and comparison, and what limits the answer.

    Where a pair of scenarios differs in nothing but the synthetic data, only such pairs answer;
    a study without synthetic scenarios is answered by all its comparisons.
    """
    comparisons = content["comparisons"]
    isolating = [comparison for comparison in comparisons if comparison["isolates_synthetic"]]
    about_synthetic = any(scenario.synthetic for scenario in specification.scenarios)
    subject = "Synthetic data" if about_synthetic else "The change"
    chosen = isolating or comparisons
    tested = [comparison for comparison in chosen if comparison["p_holm"] is not None]
    if not tested:
        headline = "No answer yet: no comparison has both of its scenarios."
    else:
        headline = _headline(specification, subject, tested, content["tests"]["can_be_significant"])
    return {
        "headline": headline,
        "lines": [_line(specification, comparison) for comparison in chosen],
        "limits": _limits(specification, content, tested),
    }


def _headline(
    specification: Specification,
    subject: str,
    tested: Sequence[Mapping[str, Any]],
    can_be_significant: bool,
) -> str:
    named = {
        verdict: [
            _model_and_pair(specification, comparison)
            for comparison in tested
            if comparison["verdict"] == verdict
        ]
        for verdict in ("helps", "hurts", "no difference shown")
    }
    undecided = named["no difference shown"]
    if not named["helps"] and not named["hurts"]:
        small = f"{subject[0].lower()}{subject[1:]}"
        if not can_be_significant:
            return (
                f"Undecided: too few test patients to tell whether {small} helps or hurts. "
                f"{_measured(specification, tested)}"
            )
        return (
            f"No difference shown: {small} neither clearly helped nor clearly hurt. "
            f"{_measured(specification, tested)}"
        )
    parts = []
    if named["helps"]:
        parts.append(f"{subject} helps {_listed(named['helps'])}")
    if named["hurts"]:
        parts.append(f"{'it' if parts else subject} hurts {_listed(named['hurts'])}")
    sentence = "; ".join(parts)
    if undecided:
        sentence += f"; no difference is shown for {_listed(undecided)}"
    return sentence + "."


def _measured(specification: Specification, tested: Sequence[Mapping[str, Any]]) -> str:
    percent = specification.metric.percent
    values = sorted(comparison["value"] for comparison in tested)
    unit = " points" if percent else ""
    low, high = difference(values[0], percent), difference(values[-1], percent)
    return f"Measured: {low}{unit}." if low == high else f"Measured: {low} to {high}{unit}."


def _model_and_pair(specification: Specification, comparison: Mapping[str, Any]) -> str:
    title = specification.model(comparison["model"]).title
    return f"{title} ({comparison['scenario']} against {comparison['against']})"


def _line(specification: Specification, comparison: Mapping[str, Any]) -> dict[str, str]:
    metric = specification.metric
    line = {
        "model": specification.model(comparison["model"]).title,
        "pair": f"scenario {comparison['scenario']} against {comparison['against']}",
        "verdict": comparison["verdict"],
    }
    if comparison["value"] is None:
        return {**line, "numbers": "a scenario of this pair has no finished cell"}
    unit = " points" if metric.percent else ""
    numbers = difference(comparison["value"], metric.percent) + unit
    interval = with_interval(comparison, metric.percent, signed=True)
    test = "no test for this score"
    if comparison["p_holm"] is not None:
        test = f"{p_phrase(comparison['p_holm'])} after Holm"
    return {**line, "numbers": f"{numbers} {interval}, {test}"}


def _limits(
    specification: Specification,
    content: Mapping[str, Any],
    tested: Sequence[Mapping[str, Any]],
) -> list[str]:
    limits = unfinished(content)
    tests = content["tests"]
    if tested and not tests["can_be_significant"]:
        limits.append(
            f"With {count(tests['num_patients'], 'test patient')} the smallest p possible is "
            f"{p_value(tests['smallest_p'])}, and {p_value(tests['smallest_adjusted_p'])} after "
            f"correcting for {count(tests['family_size'], 'test')}. So no result of this "
            f"study could have been significant at {tests['level']:.2g}; at least "
            f"{tests['patients_needed']} test patients are needed. "
            "Read the intervals, not the verdicts."
        )
    patients = [group["num_patients"] for group in content["groups"] if group["num_patients"]]
    if patients and min(patients) < FEW_PATIENTS:
        limits.append(
            f"Intervals rest on {count(min(patients), 'test patient')}, and from so few they come "
            "out too narrow."
        )
    limits += _no_better_than_trivial(specification, content)
    if tested and len(specification.seeds) == 1:
        limits.append("One seed: how much training itself varies cannot be seen.")
    return limits


def _no_better_than_trivial(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    trivial = content["trivial"].get(specification.metric.name)
    sign = 1 if specification.metric.higher_is_better else -1
    names = [
        f"{specification.model(group['model']).title} in scenario {group['scenario']}"
        for group in content["groups"]
        if trivial is not None
        and group["value"] is not None
        and sign * (group["value"] - trivial) <= 0
    ]
    if not names:
        return []
    return [
        f"No better than finding nothing at all (all background): {_listed(names)}. Comparisons "
        "with these say little about the data."
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

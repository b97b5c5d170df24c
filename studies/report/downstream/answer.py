"""The study's answer in sentences, made from its numbers and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count, difference, p_phrase, p_value, with_interval
from studies.report.downstream.arms import unfair
from studies.report.state import unfinished
from studies.specification.specification import Specification
from studies.statistics.comparisons import by_claim

FEW_PATIENTS = 10

Claimed = Sequence[Mapping[str, Any]]
"""The comparisons of one claim: with each control of a scenario, or with the baseline alone."""


def answer(specification: Specification, content: Mapping[str, Any]) -> dict[str, Any]:
    """Headline, one line per model and claim, and what limits the answer.

    Where a claim is about nothing but the synthetic data, only such claims answer; a study without
    synthetic scenarios is answered by all of its primary family. The placebo stands beside them.
    """
    every = by_claim(content["comparisons"])
    primary = [rows for rows in every if rows[0]["role"] == "primary"]
    isolating = [rows for rows in primary if rows[0]["isolates_synthetic"]]
    about_synthetic = any(scenario.synthetic for scenario in specification.scenarios)
    subject = "Synthetic data" if about_synthetic else "The change"
    chosen = isolating or primary
    tested = [rows for rows in chosen if rows[0]["p_holm"] is not None]
    placebos = [rows for rows in every if rows[0]["role"] == "placebo"]
    if not tested:
        headline = "No answer yet: no comparison has both of its scenarios."
    else:
        headline = _headline(specification, subject, tested, content["tests"]["can_be_significant"])
    target = content["target"]
    if target and target["sentence"]:
        headline = f"{target['sentence']} {headline}"
    return {
        "headline": headline,
        "lines": [_line(specification, rows) for rows in chosen + placebos],
        "limits": _limits(specification, content, tested),
    }


def _headline(
    specification: Specification,
    subject: str,
    tested: Sequence[Claimed],
    can_be_significant: bool,
) -> str:
    named = {
        verdict: [
            _model_and_arm(specification, rows) for rows in tested if rows[0]["verdict"] == verdict
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


def _measured(specification: Specification, tested: Sequence[Claimed]) -> str:
    percent = specification.metric.percent
    values = sorted(row["value"] for rows in tested for row in rows)
    unit = " points" if percent else ""
    low, high = difference(values[0], percent), difference(values[-1], percent)
    return f"Measured: {low}{unit}." if low == high else f"Measured: {low} to {high}{unit}."


def _model_and_arm(specification: Specification, rows: Claimed) -> str:
    title = specification.model(rows[0]["model"]).title
    if len(rows) > 1:
        return f"{title} ({specification.scenario(rows[0]['scenario']).name})"
    return f"{title} ({rows[0]['scenario']} against {rows[0]['against']})"


def _line(specification: Specification, rows: Claimed) -> dict[str, str]:
    """One claim: its verdict, the difference to each of its controls, and the test of them all."""
    first = rows[0]
    scenario = specification.scenario(first["scenario"])
    pair = f"scenario {scenario.id} against {_listed([row['against'] for row in rows])}"
    if first["role"] == "placebo":
        pair = "placebo: the difference that nothing made"
    elif len(rows) > 1:
        pair = f"{scenario.name}: {pair}"
    line = {
        "model": specification.model(first["model"]).title,
        "pair": pair,
        "verdict": first["verdict"],
    }
    if any(row["value"] is None for row in rows):
        return {**line, "numbers": "a scenario of this pair has no finished cell"}
    numbers = "; ".join(
        _difference(specification, row)
        + (f" against {_control_in_words(specification, row)}" if len(rows) > 1 else "")
        for row in rows
    )
    if first["role"] != "primary":
        return {**line, "numbers": numbers}
    test = "no test for this score"
    if first["p_holm"] is not None:
        test = f"{p_phrase(first['p_holm'])} after Holm"
    return {**line, "numbers": f"{numbers}, {test}"}


def _difference(specification: Specification, row: Mapping[str, Any]) -> str:
    percent = specification.metric.percent
    unit = " points" if percent else ""
    interval = with_interval(row, percent, signed=True)
    return f"{difference(row['value'], percent)}{unit} {interval}"


def _control_in_words(specification: Specification, row: Mapping[str, Any]) -> str:
    """What a control has as many of; the study's own words for one of another kind."""
    controls = specification.scenario(row["scenario"]).controls
    control = specification.scenario(row["against"])
    kinds = {"steps": "as many images, all real", "real": "as many real images"}
    if control.control is not None:
        return kinds[control.control]
    others = {
        specification.scenario(other).control
        for other in (controls if isinstance(controls, tuple) else ())
    }
    # A scenario that was there already stands for the control that had not to be made.
    lacking = [words for kind, words in kinds.items() if kind not in others]
    return lacking[0] if len(others) == 2 and len(lacking) == 1 else control.name


def _limits(
    specification: Specification,
    content: Mapping[str, Any],
    tested: Sequence[Claimed],
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
    limits += unfair(specification, content)
    limits += (content["target"] or {"limits": []})["limits"]
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

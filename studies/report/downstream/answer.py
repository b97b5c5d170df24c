"""The study's answer in sentences, made from its numbers and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count, difference, listed, p_phrase, score
from studies.report.downstream.arms import WITHHELD
from studies.report.downstream.intervals import interval_notes
from studies.report.downstream.limits import limits
from studies.report.downstream.methods import could_have_shown, recommendations
from studies.specification.specification import Specification
from studies.statistics.comparisons import ONE_TRAINING, by_claim
from studies.statistics.fairness import Subject, subject_of

_SUBJECTS: dict[Subject, str] = {
    "synthetic": "Synthetic data",
    "generator": "The choice of the generator",
    "change": "The change",
}
# Verdicts of comparisons that have numbers but no test.
_UNTESTED = (ONE_TRAINING, "too few patients to tell")

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
    # A study of methods at several sizes is about all of them, a generator's images among them.
    chosen = primary if content["methods"] else isolating or primary
    placebos = [rows for rows in every if rows[0]["role"] == "placebo"]
    sentences = [
        _sentence(specification, told, [r for r in chosen if _subject(specification, r) == subject])
        for subject, told in _SUBJECTS.items()
    ]
    headline = " ".join(one for one in sentences if one)
    if not headline and len(specification.scenarios) == 1:
        headline = "One scenario: nothing is compared."
    headline = headline or "No answer yet: no comparison has both of its scenarios."
    if content["methods"]:
        headline = f"{could_have_shown(specification, content)} {headline}".strip()
    target = content["target"]
    if target and target["sentence"]:
        headline = f"{target['sentence']} {headline}"
    return {
        "headline": headline,
        "lines": [_line(specification, rows) for rows in chosen + placebos],
        "recommendations": recommendations(specification, content) if content["methods"] else [],
        "limits": limits(specification, content, chosen),
    }


def _subject(specification: Specification, rows: Claimed) -> Subject:
    return subject_of(specification, rows[0]["scenario"], [row["against"] for row in rows])


def _sentence(specification: Specification, subject: str, chosen: Sequence[Claimed]) -> str:
    """The answer of claims about one subject; empty where none of them has one."""
    tested = [rows for rows in chosen if rows[0]["p_holm"] is not None]
    untested = [rows for rows in chosen if all(row["verdict"] in _UNTESTED for row in rows)]
    if tested:
        return _headline(specification, subject, tested)
    return _undecided(specification, subject, untested) if untested else ""


def _headline(specification: Specification, subject: str, tested: Sequence[Claimed]) -> str:
    named = {
        verdict: [
            _model_and_arm(specification, rows) for rows in tested if rows[0]["verdict"] == verdict
        ]
        for verdict in ("helps", "hurts", *WITHHELD.values(), "no difference shown")
    }
    undecided = named["no difference shown"]
    better, worse = (named[verdict] for verdict in WITHHELD.values())
    if len(undecided) == len(tested):
        return (
            f"No difference shown: {_lower(subject)} neither clearly helped nor clearly hurt. "
            f"{_measured(specification, tested)}"
        )
    parts = []
    if named["helps"]:
        parts.append(f"{subject} helps {listed(named['helps'])}")
    if named["hurts"]:
        parts.append(f"{'it' if parts else subject} hurts {listed(named['hurts'])}")
    if better or worse:
        scored = [f"better for {listed(better)}"] if better else []
        scored += [f"worse for {listed(worse)}"] if worse else []
        parts.append(
            f"{'whether it also' if parts else f'Whether {_lower(subject)}'} helps or hurts is not "
            f"shown, since a control is lacking: scores are {' and '.join(scored)}"
        )
    if undecided:
        parts.append(f"no difference is shown for {listed(undecided)}")
    return "; ".join(parts) + "."


def _undecided(specification: Specification, subject: str, untested: Sequence[Claimed]) -> str:
    if untested[0][0]["verdict"] == ONE_TRAINING:
        return (
            f"One training of each: whether {_lower(subject)} helps or hurts cannot be told from "
            f"it. {_measured(specification, untested)}"
        )
    return (
        f"Undecided: too few test patients to tell whether {_lower(subject)} helps or hurts. "
        f"{_measured(specification, untested)}"
    )


def _lower(subject: str) -> str:
    return f"{subject[0].lower()}{subject[1:]}"


def _measured(specification: Specification, tested: Sequence[Claimed]) -> str:
    percent = specification.metric.percent
    values = sorted(row["value"] for rows in tested for row in rows)
    unit = " points" if percent else ""
    low, high = difference(values[0], percent), difference(values[-1], percent)
    return f"Measured: {low}{unit}." if low == high else f"Measured: {low} to {high}{unit}."


def _model_and_arm(specification: Specification, rows: Claimed) -> str:
    title = specification.model(rows[0]["model"]).title
    if len(rows) > 1:
        scenario = specification.scenario(rows[0]["scenario"])
        return f"{title} ({scenario.name if scenario.size is None else scenario.id})"
    return f"{title} ({rows[0]['scenario']} against {rows[0]['against']})"


def _line(specification: Specification, rows: Claimed) -> dict[str, str]:
    """One claim: its verdict, the difference to each of its controls, and the test of them all."""
    first = rows[0]
    scenario = specification.scenario(first["scenario"])
    pair = f"scenario {scenario.id} against {listed([row['against'] for row in rows])}"
    if first["role"] == "placebo":
        pair = "placebo: the difference that nothing made"
        if scenario.size is not None:
            pair = f"placebo of {first['against']}: the difference that nothing made"
    elif _subject(specification, rows) == "generator":
        makers = (scenario, specification.scenario(first["against"]))
        titles = [specification.title_of(specification.made_by(one)) for one in makers]
        pair = f"images of {titles[0]} in place of those of {titles[1]}: {pair}"
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
    if first["verdict"] in _UNTESTED:
        return {**line, "numbers": numbers}
    test = "no test for this score"
    if first["p_holm"] is not None:
        test = f"{p_phrase(first['p_holm'])} after Holm"
    reach = _reach(specification, rows)
    return {**line, "numbers": f"{numbers}, {test}", **({"reach": reach} if reach else {})}


def _difference(specification: Specification, row: Mapping[str, Any]) -> str:
    percent = specification.metric.percent
    unit = " points" if percent else ""
    interval = interval_notes(row, percent, signed=True)[:1]
    return " ".join([f"{difference(row['value'], percent)}{unit}", *interval])


def _reach(specification: Specification, rows: Claimed) -> str:
    """What a claim could have shown, and what the difference that it saw would take.

    Of several controls the one that it could show least against.
    """
    hidden = [row for row in rows if not row["significant"] and row["could_show"] is not None]
    if not hidden:
        return ""
    row = max(hidden, key=lambda row: row["could_show"])
    percent = specification.metric.percent
    unit = " points" if percent else ""
    text = (
        f"could have shown {score(row['could_show'], percent)}{unit} "
        f"({count(min(row['trainings']), 'seed')}, {count(row['num_patients'], 'test patient')})"
    )
    ways = []
    if (row["trainings_needed"] or 0) > min(row["trainings"]):
        ways.append(count(row["trainings_needed"], "seed"))
    if (row["patients_needed"] or 0) > row["num_patients"]:
        ways.append(count(row["patients_needed"], "test patient"))
    if not ways and row["trainings_needed"] is None and row["patients_needed"] is None:
        ways = ["more than 100 seeds and more patients"]
    seen = score(abs(row["value"]), percent)
    return f"{text}; the {seen} seen would take {' or '.join(ways)}" if ways else text


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

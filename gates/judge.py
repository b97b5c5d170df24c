"""Whether an evaluation's numbers satisfy rules: verdicts, sentences, an exit status."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import count
from display.tables import Table, text_table
from foreign_text import printable
from gates.figures import Figure
from gates.rules import Rule
from spelling import meant

HOLDS, DOES_NOT_HOLD, CANNOT_BE_SAID = "holds", "does not hold", "cannot be said"

STATUS = {HOLDS: 0, DOES_NOT_HOLD: 3, CANNOT_BE_SAID: 4}
"""Exit status of a verb by the worst verdict; 1 and 2 are a run that failed and a wrong input."""

Judged = Sequence[Mapping[str, Any]]
"""What became of each rule, as plain values for JSON."""


def judged(rules: Sequence[Rule], figures: Mapping[str, Figure]) -> list[dict[str, Any]]:
    """The verdict on each rule, by the bound on its unfavourable side.

    Args:
        rules: What is required.
        figures: The evaluation's numbers by their names.

    Returns:
        Of each rule its text as "rule", the "value", the "bound" that was read and which it is,
        the "verdict", how many "needed" of the "unit" would show it, and all of it as "sentence".
    """
    return [_judged(rule, figures) for rule in rules]


def worst_verdict(found: Judged) -> str:
    """Of several rules: one that does not hold, before one of which nothing can be said."""
    verdicts = {row["verdict"] for row in found}
    return next((one for one in (DOES_NOT_HOLD, CANNOT_BE_SAID) if one in verdicts), HOLDS)


def exit_status(found: Judged) -> int:
    """0 if all rules hold, 3 if one does not, 4 if none fails but one cannot be decided."""
    return STATUS[worst_verdict(found)]


def printed_lines(found: Judged) -> list[str]:
    """What a command prints of its rules; nothing where there are none."""
    if not found:
        return []
    lacking = sum(row["verdict"] != HOLDS for row in found)
    told = "all hold" if not lacking else f"{lacking} of {count(len(found), 'rule')} not met"
    return [
        f"Required: {told} (exit status {exit_status(found)})",
        *(f"  {row['sentence']}" for row in found),
    ]


def table_of(found: Judged) -> Table:
    """The rules as a page shows them."""
    rows = [
        (
            row["rule"],
            digits(row["value"]),
            "" if row["bound"] is None else f"{digits(row['bound'])} ({row['bound_is']})",
            row["verdict"],
            row["why"],
        )
        for row in found
    ]
    return text_table(
        ("Rule", "Value", "Bound that was read", "Verdict", ""),
        rows,
        "Of a number with a 95 % interval the unfavourable end is read: the upper one where it "
        "must be small, the lower one where it must be large.",
    )


def digits(value: float | None) -> str:
    """A number as rules are written."""
    return "undefined" if value is None else f"{value:.4g}"


def plural(unit: str) -> str:
    """Such as `images of either set` for `image of either set`, and `copies` for `copy`."""
    noun, of, rest = unit.partition(" of ")
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{many}{of}{rest}"


def _judged(rule: Rule, figures: Mapping[str, Figure]) -> dict[str, Any]:
    figure = _named(rule.name, figures)
    if figure is None:
        known = [other for name, one in figures.items() for other in (name, *one.also)]
        near = meant(rule.name, known)
        why = f"this evaluation did not measure it.{near} There is {'; '.join(figures)}"
        return _row(rule, Figure(None), CANNOT_BE_SAID, why)
    if figure.value is None:
        return _row(rule, figure, CANNOT_BE_SAID, figure.lacking or "it is undefined here")
    if not figure.bounded:
        verdict = HOLDS if rule.allows(figure.value) else DOES_NOT_HOLD
        return _row(rule, figure, verdict, "")
    bound = figure.high if rule.reads_upper else figure.low
    if not rule.allows(figure.value):
        return _row(rule, figure, DOES_NOT_HOLD, "")
    if bound is None:
        why, needed = figure.lacking or _no_bound(rule, figure), None
        if not figure.lacking and figure.number < figure.fewest:
            why, needed = f"too few {plural(figure.unit)}", figure.fewest
            why += f": {figure.number:,} where at least {needed:,} are needed"
        return _row(rule, figure, CANNOT_BE_SAID, why, needed)
    if rule.allows(bound):
        return _row(rule, figure, HOLDS, "")
    needed = figure.number_needed(rule)
    if needed is None:
        why = f"no number of {plural(figure.unit)} would show it, if the value stayed"
        return _row(rule, figure, CANNOT_BE_SAID, why)
    why = (
        f"too few {plural(figure.unit)}: about {needed:,} would show it, if the value stayed; "
        f"there are {figure.number:,}"
    )
    return _row(rule, figure, CANNOT_BE_SAID, why, needed)


def _no_bound(rule: Rule, figure: Figure) -> str:
    if figure.low is figure.high is None:
        return "it has no interval"
    there, missing = ("lower", "upper") if rule.reads_upper else ("upper", "lower")
    return f"it has a 95 % bound on the {there} side alone, and this rule reads the {missing} one"


def _row(
    rule: Rule, figure: Figure, verdict: str, why: str, needed: int | None = None
) -> dict[str, Any]:
    bound = figure.high if rule.reads_upper else figure.low
    bound_is = f"{'upper' if rule.reads_upper else 'lower'} 95 % bound"
    read = [digits(figure.value)] if figure.value is not None else []
    read += [f"{bound_is} {digits(bound)}"] if figure.bounded and bound is not None else []
    parts = [part for part in (", ".join(read), why) if part]
    return {
        "rule": printable(str(rule)),
        "value": figure.value,
        "bound": bound if figure.bounded else None,
        "bound_is": bound_is if figure.bounded else None,
        "verdict": verdict,
        "why": why,
        "needed": needed,
        "unit": figure.unit if figure.bounded else None,
        "sentence": printable(f"{rule}: {verdict}: {'; '.join(parts)}."),
    }


def _named(name: str, figures: Mapping[str, Figure]) -> Figure | None:
    if name in figures:
        return figures[name]
    return next((figure for figure in figures.values() if name in figure.also), None)

"""How both intervals of a score or a difference are written: the wide one, and patients only."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from display.numbers import TO, bracketed, difference, score, with_interval


def interval_notes(
    entry: Mapping[str, Any], percent: bool, signed: bool = False
) -> tuple[str, ...]:
    """The interval for other patients and trainings, and below it the one for other patients.

    With one seed only the latter, which is then called by its name.
    """
    patients = _for_patients(entry, percent, signed)
    if entry["value"] is None:
        return ()
    if entry["low"] is not None:
        return (with_interval(entry, percent, signed), f"patients only {patients}")
    return (f"{patients} patients only",) if patients else (with_interval(entry, percent, signed),)


def ends_shown(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval that a plot draws: the wide one, with one seed that for patients."""
    for low, high in (("low", "high"), ("low_patients", "high_patients")):
        if entry[low] is not None:
            return entry[low], entry[high]
    return None


def _for_patients(entry: Mapping[str, Any], percent: bool, signed: bool) -> str:
    if entry["low_patients"] is None:
        return ""
    ends = {**entry, "low": entry["low_patients"], "high": entry["high_patients"]}
    show = partial(difference if signed else score, percent=percent)
    return bracketed(ends, show, " to " if signed else TO)

"""How a share of copies is told: in an audit, and in the report of a study that has audits."""

from collections.abc import Iterable, Mapping
from typing import Any


def percent(share: float | None) -> str:
    """A share as it is read; two digits below 10 %."""
    if share is None:
        return "none"
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{min(100 * share, 99.9):.1f} %"


def worst_kind(planted: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The planted kind with the highest bound: that of which fewest copies are found.

    Args:
        planted: Rows of one audit, or of several: each with its "disguise" and "copies_at_most".
    """
    return max(planted, key=lambda row: float(row["copies_at_most"]))


def of_the_worst(planted: Iterable[Mapping[str, Any]]) -> str:
    """The bound where all copies are of that kind; the end of a sentence."""
    row = worst_kind(planted)
    bound = row["copies_at_most"]
    at_most = "no share can be excluded" if bound >= 1 else f"at most {percent(bound)}"
    return f"if all were of the kind “{row['disguise']}”, {at_most}"


def excluded(at_most: float, planted: Iterable[Mapping[str, Any]], copies: str) -> str:
    """The share of copies that an audit excludes, as a sentence.

    Args:
        at_most: Its upper 95 % bound, below 1.
        planted: See `worst_kind`.
        copies: Of what it is a share, such as "the set are copies of all kinds".
    """
    return f"With 95 % confidence, at most {percent(at_most)} of {copies}; {of_the_worst(planted)}."

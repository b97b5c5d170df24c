"""A number of an evaluation as a rule reads it, with its bounds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gates.rules import Rule


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        value: Finite; None where it is undefined.
        low: Lower end of its 95 % interval; None where it has none.
        high: Upper end, likewise.
        bounded: Whether such numbers have an interval at all. Counts have none: of these the value
            itself is read.
        unit: What there must be more of for a shorter interval, such as "patient".
        number: How many of these there are.
        fewest: How many of these an interval takes.
        lacking: Why there is no value or no interval, where that can be said.
        also: Other names of it.
        needed: From a rule to how many of these would show it, if the value stayed; None where no
            number would. Left out: an interval shrinks with the square root of their number.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    bounded: bool = True
    unit: str = "image"
    number: int = 0
    fewest: int = 2
    lacking: str = ""
    also: tuple[str, ...] = ()
    needed: Callable[[Rule], int | None] | None = None

    def __post_init__(self) -> None:
        for one in (self.value, self.low, self.high, self.number):
            if one is not None and not isinstance(one, int | float):
                raise TypeError(f"{one!r} stands where a number should")

    def number_needed(self, rule: Rule) -> int | None:
        """How many of the unit would show a rule that the value satisfies and its bound does not.

        Returns:
            None where no number of them would.
        """
        if self.needed is not None:
            return self.needed(rule)
        bound = self.high if rule.reads_upper else self.low
        if self.value is None or bound is None or rule.limit == self.value:
            return None
        times = ((bound - self.value) / (rule.limit - self.value)) ** 2
        return max(self.number + 1, math.ceil(times * self.number))


def counted(value: float | None, lacking: str = "") -> Figure:
    """A number without an interval, such as a count."""
    return Figure(value, bounded=False, lacking=lacking)


def of_entry(
    entry: Mapping[str, Any], unit: str, number: int, fewest: int, also: tuple[str, ...] = ()
) -> Figure:
    """Of a score as evaluations hold it, with "value", "low" and "high"."""
    return Figure(
        entry["value"],
        entry["low"],
        entry["high"],
        unit=unit,
        number=number,
        fewest=fewest,
        # One patient: the sentence on their number says it, and how many are needed.
        lacking="" if number < fewest else entry.get("no_interval") or "",
        also=also,
    )

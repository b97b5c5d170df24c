"""Numbers and names as a reader sees them, the same in every table and sentence."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

MINUS = "\u2212"
TO = "\u2013"
NONE = "\u2014"


def number(value: float | None, style: str = ".3f", missing: str = NONE) -> str:
    """A number in one of Python's format styles, such as ".4g"."""
    return missing if value is None else _zero_unsigned(format(value, style))


def _zero_unsigned(text: str) -> str:
    """The text of a number; a rounded -0.000 is none."""
    is_zero = text.startswith("-") and not any(digit in text for digit in "123456789")
    return text[1:] if is_zero else text


def probability(value: float | None) -> str:
    """Four decimals, and as many as it takes where those would read as 0 or as 1."""
    if value is None:
        return NONE
    if not 0 < value < 1:
        return f"{value:.4f}"
    nearer = min(value, 1 - value)
    decimals = 4 if nearer >= 0.0001 else 1 - math.floor(math.log10(nearer))
    return f"{value:.{decimals}f}"


def interval(
    low: float | None,
    high: float | None,
    style: str | Callable[[float], str] = ".3f",
    between: str = " to ",
    missing: str = "no interval",
) -> str:
    """Both ends of an interval, without brackets; `missing` where there is none.

    Args:
        low: None where there is none.
        high: None where there is none.
        style: One of Python's format styles, or what makes a number's text.
        between: Stands between the ends.
        missing: Said where there is none.
    """
    if low is None or high is None:
        return missing
    if callable(style):
        return f"{style(low)}{between}{style(high)}"
    return f"{_zero_unsigned(format(low, style))}{between}{_zero_unsigned(format(high, style))}"


def bracketed(
    entry: Mapping[str, Any], style: str | Callable[[float], str] = ".3f", between: str = " to "
) -> str:
    """The interval of a score in brackets, or why there is none; empty where there is no score."""
    if entry["value"] is None:
        return ""
    alone = entry.get("num_patients") == 1
    missing = entry.get("no_interval") or ("one patient: no interval" if alone else "no interval")
    return f"[{interval(entry['low'], entry['high'], style, between, missing)}]"


def span(values: Sequence[Any], show: Callable[[Any], str] = str) -> str:
    """The first and the last of sorted values, such as `3 to 5`; one of them where they are alike.

    Args:
        values: Sorted, at least one.
        show: A value as it is read.
    """
    first, last = show(values[0]), show(values[-1])
    return first if first == last else f"{first} to {last}"


def score(value: float | None, percent: bool) -> str:
    """A score: one decimal in percent, else three significant digits."""
    if value is None:
        return NONE
    return _signed(f"{100 * value:.1f}" if percent else f"{value:#.3g}".rstrip("."))


def difference(value: float | None, percent: bool) -> str:
    """A difference with its sign."""
    if value is None:
        return NONE
    return _signed(f"{100 * value:+.1f}" if percent else f"{value:+#.3g}".rstrip("."))


def with_interval(group: Mapping[str, Any], percent: bool, signed: bool = False) -> str:
    """`bracketed` in the digits of `score`, or of `difference` where it is signed."""
    show = partial(difference if signed else score, percent=percent)
    return bracketed(group, show, " to " if signed else TO)


def count(number: int, name: str) -> str:
    """Such as `1 cell`, `3 cells` or `1,200 films`."""
    return f"{number:,} {name}" + ("" if number == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Such as `a`, `a and b` or `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def p_value(value: float | None) -> str:
    """A p value with two significant digits; tiny ones as a bound."""
    if value is None:
        return NONE
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.2g}" if value < 0.995 else "1"


def p_phrase(value: float | None) -> str:
    """Such as `p = 0.031` or `p < 0.0001`."""
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _signed(text: str) -> str:
    text = "0.0" if text in ("-0.0", "+0.0") else text
    return text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 0.4 s, 34 s, 5 min 20 s, 3 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

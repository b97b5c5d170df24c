"""The language of --require: `copies<=0.01, coverage>=0.6`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from gates.names import Kind, kind_of
from provenance import UserError
from spelling import meant

Sign = Literal["<=", ">=", "<", ">"]

_RULE = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>[^,<>=]*?)\s*(?:,|$)")
_EXPECTED = "Expected rules with commas between them, such as 'copies<=0.01, coverage>=0.6'"


@dataclass(frozen=True)
class Rule:
    """What one number must be.

    Attributes:
        name: Name of the number.
        sign: `<=` or `<` for a number that must be small, `>=` or `>` for one that must be large.
        limit: Limit of the number; finite.
        in_percent: Whether the limit was written in percent.
    """

    name: str
    sign: Sign
    limit: float
    in_percent: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.name}{self.sign}{self.limit:g}"

    @property
    def reads_upper(self) -> bool:
        """Whether the upper end of an interval is the unfavourable one."""
        return self.sign in ("<=", "<")

    def allows(self, value: float) -> bool:
        """Whether a number satisfies the rule."""
        limit = self.limit
        return {
            "<=": value <= limit, ">=": value >= limit, "<": value < limit, ">": value > limit
        }[self.sign]  # fmt: skip


def parse_rules(text: str | None, known: Mapping[str, Kind], flag: str = "--require") -> list[Rule]:
    """The rules in a text; none where there is no text.

    Args:
        text: Names, each with a sign and a number, and commas between them. Of a share it may be a
            percentage: `copies<=1%`.
        known: The numbers that rules may be about, as in `gates.names`.
        flag: Where the text was given, for the sentence.

    Raises:
        UserError: It is no list of rules, a name is unknown, or a rule is one that no number
            satisfies; the sentence names the part that is wrong.
    """
    if text is None:
        return []
    rules: list[Rule] = []
    place = 0
    while place < len(text.rstrip()):
        found = _RULE.match(text, place)
        if found is None:
            part = text[place:].strip().split(",")[0]
            raise UserError(
                f"{flag} {text!r}: {part!r} is no rule of a name, one of <=, >=, <, >, and a "
                f"number. {_EXPECTED}; in a shell within quotes."
            )
        limit = _number(found["limit"])
        if limit is None:
            raise UserError(
                f"{flag} {text!r}: {found['limit']!r} of the rule {found[0].strip(' ,')!r} is no "
                f"number. {_EXPECTED}."
            )
        percent = found["limit"].endswith("%")
        rules.append(Rule(found["name"], cast(Sign, found["sign"]), limit, percent))
        place = found.end()
    if not rules:
        raise UserError(f"{flag}: holds no rule. {_EXPECTED}, or leave it out.")
    for rule in rules:
        _check(rule, known, flag)
    return rules


def _check(rule: Rule, known: Mapping[str, Kind], flag: str) -> None:
    kind = kind_of(rule.name, known)
    if kind is None:
        names = [name for name in known if "*" not in name]
        raise UserError(
            f"{flag} {rule}: there is no number {rule.name!r}.{meant(rule.name, names)} "
            "`evaluate.py gate DIR` names the numbers of a finished evaluation or audit."
        )
    if rule.in_percent and not kind.in_percent:
        share = f"{rule.name}_share"
        instead = (
            f"Its share of the images is {share}: {share}{rule.sign}{100 * rule.limit:g} %."
            if share in known
            else "Give the number itself, without %."
        )
        raise UserError(
            f"{flag} {rule.name}{rule.sign}{100 * rule.limit:g} %: {rule.name} is {kind.what}, and "
            f"a percentage of it means nothing. {instead}"
        )
    least, most = kind.range
    beyond = rule.limit < least if rule.reads_upper else rule.limit > most
    at_end = rule.limit == (least if rule.reads_upper else most)
    if beyond or (at_end and rule.sign in ("<", ">")):
        span = f"from {least:g} to {most:g}" if math.isfinite(most) else f"at least {least:g}"
        raise UserError(f"{flag} {rule}: nothing satisfies it. {rule.name} is {kind.what}, {span}.")


def _number(text: str) -> float | None:
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return (value / 100 if percent else value) if math.isfinite(value) else None

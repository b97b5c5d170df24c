"""The language of --require: `copies<=0.01, coverage>=0.6`."""

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

from provenance import UserError

Sign = Literal["<=", ">=", "<", ">"]

_RULE = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>[^,<>=]*?)\s*(?:,|$)")
_EXPECTED = "Expected rules with commas between them, such as 'copies<=0.01, coverage>=0.6'"


@dataclass(frozen=True)
class Rule:
    """What one number must be.

    Attributes:
        name: Of the number.
        sign: `<=` or `<` for a number that must be small, `>=` or `>` for one that must be large.
        limit: Finite.
    """

    name: str
    sign: Sign
    limit: float

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


def parse_rules(text: str | None, flag: str = "--require") -> list[Rule]:
    """The rules in a text; none where there is no text.

    Args:
        text: Names, each with a sign and a number, and commas between them. A number may be a
            percentage: `copies<=1%`.
        flag: Where the text was given, for the sentence.

    Raises:
        UserError: It is no list of rules; the sentence names the part that is wrong.
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
        rules.append(Rule(found["name"], cast(Sign, found["sign"]), limit))
        place = found.end()
    if not rules:
        raise UserError(f"{flag}: holds no rule. {_EXPECTED}, or leave it out.")
    return rules


def _number(text: str) -> float | None:
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return (value / 100 if percent else value) if math.isfinite(value) else None

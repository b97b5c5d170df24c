"""Labels that differ in spelling alone: `Normal` and `normal`, `0` and `0.0`, `A|B` and `B|A`.

Taken as they stand they become two classes, and nobody notices until a classifier confuses them.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

from provenance import UserError

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?")
_MOST_LISTED = 5
_TRUTH = {"true": "1", "yes": "1", "false": "0", "no": "0"}
# What pandas and other programs write where there is no value; any of it may be meant as a label.
_MISSING = {
    "nan", "-nan", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "null", "none", "nil", "nat", "?",
    "-", "--", ".", "#ref!", "#value!",
}  # fmt: skip


def check_spelling(
    where: str, column: str, values: Iterable[str], label_map: Mapping[str, str]
) -> None:
    """Refuse labels of one column that are spelt alike, and words that stand for no value.

    Args:
        where: The file or flag that the labels come from, for the message.
        column: The column, for the message.
        values: Its labels as the map left them; empty ones are none.
        label_map: Labels that it names as new ones are meant as they are.

    Raises:
        UserError: Names the labels, and a map that settles them.
    """
    named = set(label_map.values())
    distinct = sorted({*values} - {""})
    missing = [value for value in distinct if value.lower() in _MISSING and value not in named]
    if missing:
        raise UserError(
            f"{where}: {column} holds the text {_quoted(missing)}, which may be a label or stand "
            f"for none. Say which: --label-map '{missing[0]}=' leaves such films without a label, "
            f"'{missing[0]}={missing[0]}' keeps it as one."
        )
    alike: dict[str, list[str]] = defaultdict(list)
    for value in distinct:
        alike[_spoken(value)].append(value)
    for twins in alike.values():
        if len(twins) > 1 and not named.issuperset(twins):
            merged = ",".join(f"{twin}={twins[0]}" for twin in twins[1:])
            apart = ",".join(f"{twin}={twin}" for twin in twins)
            raise UserError(
                f"{where}: {column} holds {_quoted(twins)}, which differ in spelling alone and "
                f"would be {len(twins)} classes. Make them one with --label-map '{merged}', or "
                f"keep them apart with --label-map '{apart}'."
            )


def fractions_note(where: str, column: str, values: Iterable[str]) -> list[str]:
    """A sentence where labels are numbers that are not whole: these look like probabilities.

    Args:
        where: The file that the labels come from.
        column: The column.
        values: Its labels as the map left them.
    """
    distinct = sorted({*values})
    broken = [
        v
        for v in distinct
        if _NUMBER.fullmatch(v.casefold()) and not float(_spoken(v)).is_integer()
    ]
    if not broken:
        return []
    more = f" and {len(broken) - _MOST_LISTED} more" if len(broken) > _MOST_LISTED else ""
    return [
        f"{where}: {column} holds {', '.join(broken[:_MOST_LISTED])}{more}; each is a class of its "
        "own. If they are probabilities or means of several readers, give each the class that it "
        f"stands for: --label-map {broken[0]}=0 and so on, into another --out."
    ]


def _quoted(values: Iterable[str]) -> str:
    return " and ".join(map(repr, values))


def _spoken(value: str) -> str:
    """What spellings of one label have in common."""
    text = unicodedata.normalize("NFKC", value).strip().casefold()
    if _NUMBER.fullmatch(text):
        return repr(float(text.replace(",", ".")) + 0.0)  # + 0.0: -0 is 0
    parts = [part for part in re.split(r"[|;,]", text) if part.strip()]
    if len(parts) > 1:
        return "|".join(sorted({_spoken(part) for part in parts}))
    if text in _TRUTH:
        return _spoken(_TRUTH[text])
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")  # invisible ones
    text = re.sub(r"(?<!\d)[\W_]+|[\W_]+(?!\d)", "", text) or text  # but 1-2 is not 12
    return re.sub("ae|oe", "e", text).replace("tumour", "tumor")

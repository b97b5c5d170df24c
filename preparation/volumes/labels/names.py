"""The names of labels, as a person or a data set gives them."""

import re
from collections.abc import Mapping, Sequence

from provenance import UserError

# Would be the names of scores over several classes.
_TAKEN = ("mean", "foreground")


def parse_labels(words: Sequence[str]) -> dict[int, str] | None:
    """Read `background,liver,tumour`, or `0=background,5=liver` where values are not 0, 1, 2, ...

    Args:
        words: Each holds names separated by commas.

    Returns:
        Name by value; None where there are no words.

    Raises:
        UserError: A value is given twice, or is none; names and pairs are mixed; or see
            `checked_labels`.
    """
    if not words:
        return None
    flag = f"--labels {' '.join(words)}"
    entries = [entry.strip() for word in words for entry in word.split(",")]
    if len({"=" in entry for entry in entries}) > 1:
        raise UserError(
            f"{flag}: mixes names and pairs. Expected names in the order of their values, such as "
            "background,liver,tumour, or pairs such as 0=background,5=liver."
        )
    labels: dict[int, str] = {}
    for place, entry in enumerate(entries):
        value, equals, name = entry.partition("=")
        if equals and not value.strip().isdecimal():
            raise UserError(f"{flag}: {value.strip()!r} is no whole number from 0 up.")
        number = int(value) if equals else place
        if number in labels:
            raise UserError(f"{flag}: names the value {number} twice. Keep one.")
        labels[number] = name if equals else entry
    return checked_labels(labels, flag)


def checked_labels(labels: Mapping[int, str], where: str) -> dict[int, str]:
    """Names as they can stand in flags and in the names of scores: small letters and `_`.

    Args:
        labels: The name of each value, as somebody wrote it.
        where: The file or flag that they are from.

    Raises:
        UserError: No background, nothing else, too many, or a name without a letter, or one that
            scores over several classes have.
    """
    if 0 not in labels:
        raise UserError(
            f"{where}: gives 0 no name, and 0 is the background in every label map here. Expected "
            "such as background,liver,tumour; prepare masks that mark something with 0 anew."
        )
    if len(labels) < 2:
        raise UserError(f"{where}: names the background alone, so there is nothing to find.")
    if len(labels) > 256:
        raise UserError(f"{where}: names {len(labels)} labels, expected at most 256.")
    named = {}
    for value, written in sorted(labels.items()):
        name = re.sub(r"[\W_]+", "_", written.strip().lower()).strip("_")
        if not any(map(str.isalpha, name)):
            raise UserError(
                f"{where}: calls the value {value} {written!r}; expected a name with a letter in "
                "it, since scores are named by it."
            )
        if name in _TAKEN:
            raise UserError(
                f"{where}: calls the value {value} {written!r}, which is what scores over several "
                "classes are called here. Give it another name."
            )
        named[value] = name
    return named

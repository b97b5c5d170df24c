"""Label maps: what a source calls its labels, and what they shall be called (`--label-map`)."""

from collections.abc import Collection, Sequence
from pathlib import Path

from preparation.text_file import text_of
from provenance import UserError

_MOST_LISTED = 10


def parse_label_map(words: Sequence[str]) -> dict[str, str]:
    """Read `normal=Normal,nan=`, or a file that holds one such pair per line.

    A label maps to itself to be kept as it is, and to nothing to be no label. Maps are not
    chained: of `a=b,b=c` the label a becomes b.

    Args:
        words: Each is a file, or pairs separated by commas. In a file commas belong to the
            labels, and lines that are empty or begin with # are passed over.

    Returns:
        New label by old label, both stripped.

    Raises:
        UserError: A file cannot be read, a pair has not exactly one =, or a label is given twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        entries = word.split(",") if "=" in word else _lines(Path(word))
        for entry in entries:
            if entry.count("=") != 1:
                raise UserError(
                    f"--label-map {word}: {entry!r} is no pair old=new. Expected pairs such as "
                    "normal=Normal, separated by commas, or a file with one pair per line."
                )
            old, new = (part.strip() for part in entry.split("="))
            if pairs.setdefault(old, new) != new:
                raise UserError(
                    f"--label-map: {old!r} becomes both {pairs[old]!r} and {new!r}. Keep one."
                )
    return pairs


def lost_pairs(where: str, lost: Sequence[str], labels: Collection[str]) -> list[str]:
    """A sentence where labels of a map are none of the source, and which ones there are.

    Args:
        where: The file or flag that the labels come from.
        lost: Old labels of the map that nothing has.
        labels: Those of the source.
    """
    if not lost:
        return []
    there = ", ".join(map(repr, sorted(labels)[:_MOST_LISTED])) or "none"
    more = f" and {len(labels) - _MOST_LISTED} more" if len(labels) > _MOST_LISTED else ""
    return [
        f"{where}: --label-map names {', '.join(map(repr, lost))}, which no label is; is it "
        f"misspelt? The labels are {there}{more}."
    ]


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise UserError(
            f"--label-map {file}: is neither a pair old=new nor a file that can be read."
        )
    lines = [line.strip() for line in text_of(file, "the label map").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]

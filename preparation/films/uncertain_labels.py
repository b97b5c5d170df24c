"""Columns of 0, 1, -1 and blanks, as the tables of CheXpert and MIMIC-CXR have them.

There a finding is 1 (positive), 0 (negative), -1 (uncertain) or blank (not mentioned in the
report). Irvin et al. 2019 (CheXpert, arXiv:1901.07031) take blanks for negative and compare what
may be done with the uncertain ones: leave them out (U-Ignore), or take them for positive (U-Ones)
or negative (U-Zeroes).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from preparation.films.label_table import LabelTable, as_number
from provenance import UserError

_NO_FINDING = "no finding"


def decided(
    table: LabelTable,
    uncertain: Literal["ignored", "positive", "negative"],
    blank: Literal["negative", "unlabelled"] | None,
    label_map: Mapping[str, str] | None = None,
) -> tuple[LabelTable, list[str]]:
    """Make such columns 0 and 1, and No Finding the negative class of its column.

    A column counts as one if it holds numbers 0, 1 and -1 alone, and -1 is among them or has a
    new name, or the table has a column No Finding, or `blank` is given. Others stay as they are.
    What a map has given a name counts as the number that it was, and keeps its name.

    Args:
        table: As read.
        uncertain: What -1 becomes; ignored: no label.
        blank: What a blank becomes; None: negative.
        label_map: New names of labels; the table has them already.

    Returns:
        The table, and a sentence for each such column.

    Raises:
        UserError: `blank` is negative, and a label column holds other values; or one holds -1
            beside others than 0 and 1, and no map says what it is.
    """
    names = {name.lower().replace("_", " ") for name in table.header}
    renamed = {as_number(old): new for old, new in (label_map or {}).items()}
    named = {new: old for old, new in renamed.items() if new and as_number(new) is None}
    new_rows = {key: dict(row) for key, row in table.rows.items()}
    notes = []
    for column in table.columns:
        counts = Counter(row[column] for row in table.rows.values())
        numbers = {value: named.get(value, as_number(value)) for value in counts if value}
        plain = set(numbers.values()) <= {0.0, 1.0, -1.0} and bool(numbers)
        if not plain and blank == "negative":
            other = next((v for v, number in numbers.items() if number not in (0, 1, -1)), "")
            raise UserError(
                f"--blank-labels negative: {column} of {table.path} holds {other!r}; expected 0, "
                "1, -1 and blanks alone. Map its labels with --label-map, or leave the flag out."
            )
        if not plain and -1.0 in numbers.values() and -1.0 not in renamed:
            raise UserError(
                f"{table.path}: {column} holds -1 beside other labels than 0 and 1, which may be a "
                "class, or mean uncertain or unknown. Say which: --label-map=-1=unsure makes it a "
                "class of that name, --label-map=-1= leaves such films without a label, "
                "--label-map=-1=-1 keeps it as a class."
            )
        told = _NO_FINDING in names or blank is not None
        # Also 1.0: the table of another split has no blanks, and its classes need the same names.
        open_values = bool(counts.keys() - {"0", "1"})
        uncertain_ones = -1.0 in numbers.values() or bool(renamed.get(-1.0))
        if not plain or not (uncertain_ones or (open_values and told)):
            continue
        if renamed.get(-1.0) == "":
            raise UserError(
                f"--label-map -1=: {column} of {table.path} would not tell such films from blank "
                "ones. Leave the pair out: --uncertain-labels ignored leaves them without a label."
            )
        zero, one = renamed.get(0.0) or "0", renamed.get(1.0) or "1"
        if column.lower().replace("_", " ") == _NO_FINDING:
            zero, one = "Finding", column
        becomes: dict[float | None, str] = {
            0.0: zero,
            1.0: one,
            -1.0: {"ignored": "", "positive": one, "negative": zero}[uncertain],
            None: "" if blank == "unlabelled" else zero,
        }
        for row in new_rows.values():
            if row[column] not in named:
                row[column] = becomes[as_number(row[column])]
        unsure = sum(
            count
            for value, count in counts.items()
            if numbers.get(value) == -1.0 and value not in named
        )
        notes.append(
            f"{table.path}: of {column}, {unsure:,} of {len(table.rows):,} are uncertain (-1) and "
            f"{uncertain} (--uncertain-labels), {counts['']:,} are blank and "
            f"{blank or 'negative'} (--blank-labels)."
        )
    return replace(table, rows=new_rows) if notes else table, notes

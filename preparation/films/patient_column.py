"""The column of a label table that names the patients: what in it does not tell who is who."""

from collections.abc import Sequence
from pathlib import Path

from patient_names import Ids, RoundedNumberError, identity
from provenance import UserError


def check_patients(
    path: Path,
    header: Sequence[str],
    lines: Sequence[tuple[int, Sequence[str]]],
    column: int,
    others: Sequence[int],
    ids: Ids,
) -> None:
    """Refuse ids that were rounded, and a second column that divides the people otherwise.

    Args:
        path: The table.
        header: The names of its columns.
        lines: Line number and cells of each row.
        column: The column that names the patients.
        others: Columns that could as well, where nobody said which one does.
        ids: Which identifiers are one patient.

    Raises:
        UserError: Names the line.
    """
    of_line: dict[int, list[str]] = {}
    for number, cells in lines:
        texts = [cells[index] if index < len(cells) else "" for index in (column, *others)]
        try:
            of_line[number] = [identity(text, ids) for text in texts]
        except RoundedNumberError as error:
            raise UserError(f"{path}: line {number} ({', '.join(texts)}): {error}") from None
    for place, other in enumerate(others, start=1):
        pairs = {number: (own[0], own[place]) for number, own in of_line.items() if all(own)}
        for one, two in ((0, 1), (1, 0)):
            first: dict[str, tuple[str, int]] = {}
            for number, pair in pairs.items():
                partner, line = first.setdefault(pair[one], (pair[two], number))
                names = header[column], header[other]
                if partner != pair[two]:
                    raise UserError(
                        f"{path}: {' and '.join(names)} both name patients, but not the same ones: "
                        f"lines {line} and {number} are one patient by {names[one]} and two by "
                        f"{names[two]}. Say which is right with --patient-column."
                    )

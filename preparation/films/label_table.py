"""Label tables: a CSV that names films in one column and their labels and patients in others."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patient_names import Ids
from preparation.films.label_spelling import check_spelling, fractions_note
from preparation.films.patient_column import check_patients
from preparation.label_map import lost_pairs
from preparation.text_file import csv_lines
from provenance import UserError

KEY_COLUMNS = ("image", "file", "filename", "path", "sop_instance_uid", "Image Index")
PATIENT_COLUMNS = ("patient", "patient_id", "Patient ID")
# In this order they come first among the classes, so that class 0 means that nothing was found.
NEGATIVE_NAMES = ("normal", "no finding", "negative", "healthy", "0", "false", "no")


@dataclass(frozen=True)
class LabelTable:
    """What a table says about films. Picklable, so that workers can have it.

    Attributes:
        path: Its file.
        rows: By key (a film's file name, path or UID): the kept columns, stripped. Empty cells
            are empty strings.
        columns: The label columns.
        patient_column: The column of the patient, or None where the table has none.
        header: The names of all its columns.
        notes: Sentences for the person.
    """

    path: Path
    rows: dict[str, dict[str, str]]
    columns: tuple[str, ...]
    patient_column: str | None
    header: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def row_of(self, film_keys: Sequence[str]) -> dict[str, str] | None:
        """Return the row of a film: of the first of its keys that the table has, or None."""
        return next((self.rows[k] for k in map(_as_key, film_keys) if k in self.rows), None)


def read_label_table(
    path: Path,
    key_column: str | None,
    label_columns: Sequence[str],
    patient_column: str | None,
    label_map: Mapping[str, str] | None = None,
    patient_ids: Ids = "as_numbers",
) -> LabelTable:
    """Read a table, and of it only the columns that are named: the rest may identify somebody.

    Args:
        path: CSV with a header, separated by comma, semicolon or tab; see `text_of`.
        key_column: Names the films. Default: the first of `KEY_COLUMNS`, in any case.
        label_columns: Columns to keep; their values are stripped, mapped and otherwise as they are.
        patient_column: Default: the first of `PATIENT_COLUMNS`, if there is one.
        label_map: New names of labels.
        patient_ids: Which identifiers are one patient.

    Raises:
        UserError: The file is missing or not such a table, a column is missing or there twice,
            the table is empty, it lists a film twice with different contents, its labels differ
            in spelling alone or name somebody, or its patients are uncertain (`check_patients`).
    """
    filled = csv_lines(path, "the label table")
    if len(filled) < 2:
        raise UserError(f"{path}: the label table is empty. Expected a header and a row per film.")
    header = filled[0][1]
    key_index = _column_index(path, header, key_column, KEY_COLUMNS, "--key-column")
    if key_index is None:
        raise UserError(
            f"{path}: has none of the columns {', '.join(KEY_COLUMNS)} that name the films. Name "
            f"the column with --key-column; there are {', '.join(header)}."
        )
    patient_index = _column_index(path, header, patient_column, PATIENT_COLUMNS, "--patient-column")
    kept = {name: _index_of(path, header, name, "--label-columns") for name in label_columns}
    for name in label_columns:
        if kept[name] in (key_index, patient_index):
            whom = "films" if kept[name] == key_index else "patients"
            raise UserError(
                f"{path}: {name} names the {whom}, so it is no label: every cache, checkpoint and "
                "report would hold the names. Give other --label-columns."
            )
    if patient_index is not None:
        others = [] if patient_column else _others(header, patient_index)
        check_patients(path, header, filled[1:], patient_index, others, patient_ids)
        kept[header[patient_index]] = patient_index
    new_names, used, held = label_map or {}, set(), set()
    for name in label_columns:
        for _, cells in filled[1:]:
            cells += [""] * (len(header) - len(cells))
            held.add(cells[kept[name]])
            old = _meant(cells[kept[name]], new_names)
            if old is not None:
                used.add(old)
                cells[kept[name]] = new_names[old]
    lost = [name for name in new_names if name not in used]
    rows = _rows(path, filled[1:], len(header), key_index, kept)
    notes = lost_pairs(str(path), lost, held - {""})
    for name in label_columns:
        values = {row[name] for row in rows.values()}
        check_spelling(str(path), name, values, new_names)
        notes += fractions_note(str(path), name, values)
    return LabelTable(
        path,
        rows,
        tuple(label_columns),
        None if patient_index is None else header[patient_index],
        tuple(header),
        tuple(notes),
    )


def _meant(value: str, label_map: Mapping[str, str]) -> str | None:
    """Which label of a map a value is: as it is written or, of numbers, by size."""
    if value in label_map:
        return value
    number = as_number(value)
    return next((old for old in label_map if number is not None and as_number(old) == number), None)


def _column_index(
    path: Path, header: list[str], given: str | None, usual: tuple[str, ...], flag: str
) -> int | None:
    if given is not None:
        return _index_of(path, header, given, flag)
    lowered = [name.lower() for name in header]
    name = next((name for name in usual if name.lower() in lowered), None)
    return None if name is None else _index_of(path, lowered, name.lower(), flag)


def _others(header: list[str], chosen: int) -> list[int]:
    """Further columns that are called like the patients' one."""
    usual = {name.lower() for name in PATIENT_COLUMNS}
    return [i for i, name in enumerate(header) if i != chosen and name.lower() in usual]


def _index_of(path: Path, header: list[str], name: str, flag: str) -> int:
    match header.count(name):
        case 1:
            return header.index(name)
        case 0:
            raise UserError(
                f"{path}: has no column {name} ({flag}). There are {', '.join(header)}."
            )
        case _:
            raise UserError(f"{path}: has several columns {name} ({flag}). Rename all but one.")


def _rows(
    path: Path,
    lines: list[tuple[int, list[str]]],
    num_columns: int,
    key_index: int,
    kept: dict[str, int],
) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    line_of: dict[str, int] = {}
    for number, cells in lines:
        if any(cells[num_columns:]):
            raise UserError(
                f"{path}: line {number} has {len(cells)} cells, the header {num_columns}. A "
                "separator inside a cell shifts the labels; put quotes around such cells."
            )
        cells += [""] * (num_columns - len(cells))
        key = _as_key(cells[key_index])
        if not key:
            raise UserError(f"{path}: line {number} does not name its film. Fill or remove it.")
        row = {name: cells[index] for name, index in kept.items()}
        if rows.setdefault(key, row) != row:
            raise UserError(
                f"{path}: line {number} lists the film of line {line_of[key]} again, with another "
                f"value in {' or '.join(kept)}. Keep the line that is right."
            )
        line_of.setdefault(key, number)
    return rows


def _as_key(name: str) -> str:
    """A film's name without what differs between systems: with `/`, and no `./` before it."""
    return name.strip().replace("\\", "/").removeprefix("./")


def class_order(values: Iterable[str]) -> list[str]:
    """Return the distinct values, negative ones first, then numbers by size, then names.

    A value is negative if it is one of `NEGATIVE_NAMES`, in any case, or a number equal to 0.
    """

    def order(value: str) -> tuple[int, float, str, str]:
        name, number = value.strip().lower(), as_number(value)
        name = "0" if number == 0 else name
        if name in NEGATIVE_NAMES:
            return 0, NEGATIVE_NAMES.index(name), name, value
        return (2, 0.0, name, value) if number is None else (1, number, name, value)

    return sorted(set(values), key=order)


def as_number(value: str) -> float | None:
    """A label as a finite number; None where it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

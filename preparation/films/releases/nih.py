"""NIH ChestX-ray14: `Data_Entry_2017.csv`, findings in one cell, two lists of films as its split.

Wang et al. 2017 (arXiv:1705.02315). Patients are numbers; the lists divide them, not films.
"""

from collections.abc import Mapping
from pathlib import Path

from preparation.films.releases.options import ReleaseOptions, plain
from preparation.films.releases.policy import NO_FINDING, age_in_years, sex
from preparation.films.releases.release import PATIENT, SPLIT, VIEW, Collected, Release
from preparation.films.releases.table import Table, found_table, read_table
from preparation.text_file import text_of
from provenance import UserError
from spelling import meant

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
    "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening",
    "Hernia",
)  # fmt: skip
_SPELT = {plain(name): name for name in (*FINDINGS, NO_FINDING)}
_TABLES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
_LISTS = {"train_val_list.txt": "", "test_list.txt": "test"}


def read_nih(source: Path, options: ReleaseOptions) -> Release:
    """Read the tables of ChestX-ray14.

    Args:
        source: The folder of the release.
        options: What of it is kept.

    Raises:
        UserError: A table is missing or has other columns or findings.
    """
    path = found_table(source, _TABLES, "the table of ChestX-ray14")
    assert path is not None
    table, kept = read_table(path), options.wanted_findings(FINDINGS)
    split_of, lists = _lists(source) if options.published_split else ({}, ())
    collected, unlisted, odd_ages = Collected(table), 0, 0
    columns = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    for line, cells in table.rows(*columns, "Patient Age?", "Patient Gender?"):
        film, said, patient, view, age, gender = cells
        there = _findings(table, line, said)
        odd_ages += bool(age and not age_in_years(age))
        row = {
            "label": "" if not said else "abnormal" if there else "normal",
            **{name: "" if not said else str(int(name in there)) for name in kept},
            "sex": sex(gender),
            "age": age_in_years(age),
            PATIENT: patient,
            VIEW: view.upper() if view.upper() in ("PA", "AP") else "",
        }
        if options.published_split:
            unlisted += film not in split_of
            row[SPLIT] = split_of.get(film, "")
        collected.add(line, film, row)
    if unlisted:
        raise UserError(
            f"--published-split: {unlisted:,} of the {len(collected.rows):,} films of {path} are "
            f"in none of {' and '.join(_LISTS)}. Give the lists of the same release, or leave the "
            "flag out."
        )
    notes = []
    if odd_ages:
        notes.append(
            f"{path}: ages that nobody has, such as 411 years: {odd_ages:,}, unknown here."
        )
    return Release(collected.rows, kept, (path, *lists), "nih", tuple(notes))


def _findings(table: Table, line: int, cell: str) -> set[str]:
    """The findings of a cell such as `Effusion|Mass`; none of `No Finding`."""
    found = set()
    for part in cell.split("|") if cell else ():
        name = _SPELT.get(plain(part))
        if name is None:
            other = next((mark for mark in ",;/" if mark in part), None)
            raise UserError(
                f"{table.path}: line {line}: {part!r} is no finding of ChestX-ray14."
                + (
                    f" Findings are separated by |, not by {other}."
                    if other
                    else meant(part, [*FINDINGS, NO_FINDING])
                )
                + f" It has {', '.join(FINDINGS)} and {NO_FINDING}."
            )
        found.add(name)
    if NO_FINDING in found and len(found) > 1:
        raise UserError(
            f"{table.path}: line {line}: {cell} names findings, and that there is none. Give the "
            "table as it was published."
        )
    return found - {NO_FINDING}


def _lists(source: Path) -> tuple[Mapping[str, str], tuple[Path, ...]]:
    """Split by film: `test`, or nothing where it is training or validation."""
    split_of: dict[str, str] = {}
    paths = []
    for name, split in _LISTS.items():
        path = found_table(source, [name], "one of the two lists of its published split")
        assert path is not None
        paths.append(path)
        for film in text_of(path, "the list of films").split():
            if split_of.setdefault(film, split) != split:
                raise UserError(f"{path}: lists {film}, which the other list has too. Keep one.")
    return split_of, tuple(paths)

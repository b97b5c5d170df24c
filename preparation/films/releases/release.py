"""What the tables of a release say of its films, put together for `MakeFilmShard`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preparation.films.film import Film, FilmFile, FilmReader, RejectedFilm
from preparation.films.label_table import LabelTable
from preparation.films.releases.policy import Policy, normal_or_not
from preparation.films.releases.table import Table
from provenance import UserError

PATIENT, VIEW, SPLIT = "patient", "view", "split"
"""Keys of a row besides its labels."""
ANY_FRONTAL = "frontal"
"""The view of a film of which only that it is frontal is known."""

Row = dict[str, str]


@dataclass(frozen=True)
class Release:
    """A release's tables, read.

    Attributes:
        rows: By the film's name or path: labels, and what `PATIENT`, `VIEW` and `SPLIT` name.
        findings: Kept findings, in the release's order; label columns of 0 and 1.
        tables: The files that were read, the one that lists the films first.
        licence: Key of `licences.KNOWN_DATA`.
        notes: Sentences for the person.
    """

    rows: dict[str, Row]
    findings: tuple[str, ...]
    tables: tuple[Path, ...]
    licence: str
    notes: tuple[str, ...] = ()

    def label_table(self) -> LabelTable:
        """As a label table: normal or abnormal first, then the findings, sex and age if known."""
        told = [name for name in ("sex", "age") if any(row.get(name) for row in self.rows.values())]
        columns = ("label", *self.findings, *told)
        return LabelTable(self.tables[0], self.rows, columns, PATIENT, notes=self.notes)


class Collected:
    """Rows by film, each film once.

    Args:
        table: The table that lists the films, for sentences.
    """

    def __init__(self, table: Table) -> None:
        self._path = table.path
        self._line_of: dict[str, int] = {}
        self.rows: dict[str, Row] = {}

    def add(self, line: int, film: str, row: Row) -> None:
        """Keep a film's row.

        Raises:
            UserError: The line names no film, or one that another line says something else of.
        """
        film = film.replace("\\", "/").removeprefix("./")
        if not film:
            raise UserError(
                f"{self._path}: line {line} does not name its film. Give the table as it was "
                "published."
            )
        if self.rows.setdefault(film, row) != row:
            raise UserError(
                f"{self._path}: line {line} lists the film of line {self._line_of[film]} again, "
                "with other contents. Keep the line that is right."
            )
        self._line_of.setdefault(film, line)


def findings_of(
    table: Table, line: int, cells: Mapping[str, str], policy: Policy, kept: Sequence[str]
) -> Row:
    """The labels of a film by a release with a column per finding.

    Args:
        table: The table of the cells, for the sentence.
        line: Of the cells.
        cells: By finding, all of the release, for what is normal.
        policy: What uncertain and blank cells become.
        kept: Findings to keep.

    Raises:
        UserError: A cell is none of 1, 0, -1 and blank.
    """
    decided = {
        name: policy.of(cell, f"{table.path}: line {line}: {name}") for name, cell in cells.items()
    }
    return {"label": normal_or_not(decided), **{name: decided[name] for name in kept}}


@dataclass(frozen=True)
class ReleaseReader:
    """Reads a film of a release: its picture, with the view and the split that the tables tell.

    Attributes:
        pictures: Reads the picture.
        told: View and published split (may be empty) by the film's name.
        views: Those that are wanted.
    """

    pictures: FilmReader
    told: Mapping[str, tuple[str, str]]
    views: tuple[str, ...]

    def __call__(self, file: FilmFile) -> Film:
        """Return the film.

        Raises:
            RejectedFilm: no_label, view or no_view, before anything is decoded; or as the
                picture's reader says.
        """
        if file.name not in self.told:
            raise RejectedFilm("no_label", "is not in the tables of the release.")
        view, split = self.told[file.name]
        if not view:
            raise RejectedFilm("no_view", "is of no view that the tables of the release name.")
        frontal = view == ANY_FRONTAL and {"PA", "AP"} <= {*self.views}
        if view not in self.views and not frontal:
            raise RejectedFilm("view", f"is {view}, expected {' or '.join(self.views)} (--views).")
        film = self.pictures(file)
        return replace(
            film, split=split or None, geometry={**film.geometry, "view": view}, labels={}
        )

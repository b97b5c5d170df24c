"""Which labels a film gets: those that a table gives it, else those that the source knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from preparation.films.film import Film, RejectedFilm
from preparation.films.label_table import LabelTable


@dataclass(frozen=True)
class LabelsOfFilms:
    """The labels of a cache.

    Attributes:
        table: Label table, None where the source has none.
        columns: Labels that the cache keeps, by name.
        new_names: New names of labels that the source itself knows; the table's have theirs.
        keep_unlabelled: Keep a film that lacks one of the labels.
    """

    table: LabelTable | None = None
    columns: tuple[str, ...] = ()
    new_names: Mapping[str, str] = field(default_factory=dict)
    keep_unlabelled: bool = False

    def row_of(self, film: Film) -> dict[str, str] | None:
        """The table's row of a film; None without one."""
        return self.table.row_of(film.keys) if self.table else None

    def patient_in(self, row: Mapping[str, str] | None) -> str:
        """The patient that a row of the table names; empty for nobody."""
        return row.get(self.table.patient_column or "", "") if self.table and row else ""

    def of(self, film: Film, row: Mapping[str, str] | None) -> dict[str, str]:
        """The film's labels by column; empty where it has none.

        Args:
            film: As it was read.
            row: See `row_of`.

        Raises:
            RejectedFilm: It lacks one, and such films are not kept.
        """
        own = {name: self.new_names.get(value, value) for name, value in film.labels.items()}
        known = {**own, **(row or {})}
        labels = {name: known.get(name, "") for name in self.columns}
        if self.columns and not all(labels.values()) and not self.keep_unlabelled:
            missing = ", ".join(name for name, value in labels.items() if not value)
            where = "is not in the label table" if self.table and row is None else "has no label"
            raise RejectedFilm(
                "no_label",
                f"{where} ({missing}). Left out; pass --unlabelled keep to have it without.",
            )
        return labels

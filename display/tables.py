"""Tables as rows of text, once for HTML (`macros.html.j2`) and once for Markdown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from foreign_text import printable


@dataclass(frozen=True)
class TableCell:
    """One cell: its main text, smaller lines below it, and how it is to be stressed."""

    text: str
    notes: tuple[str, ...] = ()
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table: column titles, and rows whose first cell names the row.

    Raises:
        ValueError: A row has more or fewer cells than there are columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    footnotes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Table: {len(self.columns)} columns ({', '.join(self.columns)}), but a row "
                    f"of {len(row)}: {', '.join(cell.text for cell in row)}."
                )


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *footnotes: str) -> Table:
    """A table whose cells are nothing but text."""
    cells = tuple(tuple(TableCell(text) for text in row) for row in rows)
    return Table(tuple(columns), cells, footnotes)


def markdown(table: Table) -> str:
    """A table in Markdown; the smaller lines follow the main text, and footnotes the table.

    Ends with a newline, so that an empty line follows in a page of lines.
    """
    lines = ["| " + " | ".join(_escaped(column) for column in table.columns) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.rows:
        texts = [" ".join((cell.text, *filter(None, cell.notes))) for cell in row]
        lines.append("| " + " | ".join(_escaped(text) for text in texts) + " |")
    return "\n".join([*lines, "", *(f"{as_text(note)}\n" for note in table.footnotes)])


def as_text(text: str) -> str:
    """Markdown without tags, and without pictures, which a viewer would fetch.

    Names of classes, scenarios and data sets may come from others.
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("![", r"!\[")


def _escaped(text: str) -> str:
    text = as_text(text).replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
    return printable(text)

"""Tables of a release: found below its source, read by the names of their columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from preparation.text_file import csv_lines
from provenance import UserError
from spelling import meant

_DEEPEST = 3  # folders below the source in which tables are looked for


def found_table(source: Path, patterns: Sequence[str], what: str | None) -> Path | None:
    """The one file below a source with such a name, also as `.gz`; the shallowest.

    Args:
        source: The folder of the release.
        patterns: Of names, such as `train.csv`; the first one that is there counts.
        what: What is missing, for the sentence; None where it may be missing.

    Raises:
        UserError: It is missing, or several equally deep ones are there.
    """
    for pattern in patterns:
        for depth in range(_DEEPEST):
            places = ["*/" * depth + pattern + ending for ending in ("", ".gz")]
            found = sorted(path for place in places for path in source.glob(place))
            if len(found) > 1:
                raise UserError(
                    f"--source {source}: holds {found[0].relative_to(source)} and "
                    f"{found[1].relative_to(source)}, and one of them can be the release's. Take "
                    "the other one out, or give the folder of one release."
                )
            if found:
                return found[0]
    if what is None:
        return None
    raise UserError(
        f"--source {source}: holds no {' or '.join(patterns)}, {what}. Give the folder of the "
        "release with its tables as they were published (also as .gz), or another --layout."
    )


@dataclass(frozen=True)
class Table:
    """A table's lines.

    Attributes:
        path: Its file.
        header: The names of its columns.
        lines: Line number and cells, stripped, as many as the header has names.
    """

    path: Path
    header: tuple[str, ...]
    lines: list[tuple[int, list[str]]]

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.header

    def index(self, name: str) -> int:
        """Where a column is.

        Raises:
            UserError: There is none of the name, or several.
        """
        match self.header.count(name):
            case 1:
                return self.header.index(name)
            case 0:
                raise UserError(
                    f"{self.path}: has no column {name}, which this release's table has."
                    f"{meant(name, self.header)} There are {', '.join(self.header)}. Give the "
                    "table as it was published."
                )
            case _:
                raise UserError(f"{self.path}: has several columns {name}. Keep one.")

    def rows(self, *names: str) -> Iterator[tuple[int, list[str]]]:
        """Line number and the cells of these columns; empty cells for those that may be missing.

        Args:
            *names: Columns; `name?` may be missing.

        Raises:
            UserError: A column is missing.
        """
        where = [
            self.index(name.removesuffix("?"))
            if not name.endswith("?") or self.has(name.removesuffix("?"))
            else None
            for name in names
        ]
        for number, cells in self.lines:
            yield number, ["" if index is None else cells[index] for index in where]


def read_table(path: Path) -> Table:
    """Read a table with a header, separated by comma, semicolon or tab.

    Raises:
        UserError: It is no such table, it is empty, or a line has more cells than the header.
    """
    filled = csv_lines(path, "the table of the release")
    if len(filled) < 2:
        raise UserError(f"{path}: is empty. Expected a header and a row per film or study.")
    header, rest = filled[0][1], filled[1:]
    while header and not header[-1] and not any(any(cells[len(header) - 1 :]) for _, cells in rest):
        header.pop()
    for number, cells in rest:
        if any(cells[len(header) :]) or (len(cells) == 1 and len(header) > 1):
            raise UserError(
                f"{path}: line {number} has {len(cells)} cells, the header {len(header)}. Are "
                "lines separated by other marks than the header, or is a separator inside a cell? "
                "Give the table as it was published."
            )
        cells[:] = (cells + [""] * len(header))[: len(header)]
    return Table(path, tuple(header), rest)

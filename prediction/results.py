"""The tables of a prediction: rows are added as images are done, so that nothing is done twice."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prediction.items import Item
from provenance import UserError, whole_file

TABLE, LEFT_OUT = "predictions.csv", "left_out.csv"


class Results:
    """The tables in a folder, while they grow.

    A row that a killed process or a full disk cut short is dropped, and its image done again.
    What was left out is tried again each time, since it may have been mended.

    Args:
        out: The folder, which is this command's.
        columns: Of `predictions.csv`; the first two are the file and its bytes.

    Raises:
        UserError: The table has other columns.
    """

    def __init__(self, out: Path, columns: Sequence[str]) -> None:
        self.out, self.columns = out, list(columns)
        self.left_out = 0
        _drop_torn_line(out / TABLE)
        rows = self._rows()
        header = next(rows, None)
        if header is not None and header != self.columns:
            raise UserError(
                f"{out / TABLE}: has other columns than this version writes. Nothing was changed; "
                "give another --out."
            )
        self.done = {row[0]: int(row[1]) for row in rows}
        """Bytes of each file that was predicted, by its name."""
        if header is None:
            self._append(TABLE, [self.columns], anew=True)
        self._append(LEFT_OUT, [["file", "reason"]], anew=True)

    def left_to_do(self, items: Sequence[Item]) -> list[Item]:
        """Items without a row.

        Raises:
            UserError: A predicted file is gone or has changed since.
        """
        there = {item.name: item.num_bytes for item in items}
        for name, size in self.done.items():
            if there.get(name) != size:
                what = "is no longer in the source" if name not in there else "has changed since"
                raise UserError(
                    f"{self.out}: {name} was predicted, and {what}. Nothing was changed; give "
                    "another --out."
                )
        return [item for item in items if item.name not in self.done]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of finished images."""
        self._append(TABLE, [[row[name] for name in self.columns] for row in rows])

    def leave_out(self, name: str, reason: str) -> None:
        """List an image that cannot be predicted."""
        self.left_out += 1
        self._append(LEFT_OUT, [[name, reason]])

    def finish(self) -> int:
        """Sort the rows by file, so that every way to get them ends with the same bytes.

        Returns:
            How many images are predicted.
        """
        for name in (LEFT_OUT, TABLE):
            with open(self.out / name, "rb") as stream:
                header, *lines = stream.readlines()
            with whole_file(self.out / name) as stream:
                stream.writelines([header, *sorted(lines)])
        return len(lines)

    def _rows(self) -> Iterator[list[str]]:
        path = self.out / TABLE
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as stream:
                yield from csv.reader(stream)

    def _append(self, name: str, rows: Sequence[Sequence[Any]], anew: bool = False) -> None:
        with (
            _named(self.out / name),
            open(self.out / name, "w" if anew else "a", newline="", encoding="utf-8") as stream,
        ):
            csv.writer(stream, lineterminator="\n").writerows(rows)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk names no file by itself."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _drop_torn_line(path: Path) -> None:
    if not path.is_file():
        return
    with open(path, "rb+") as stream:
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            stream.truncate(whole)
            os.fsync(stream.fileno())

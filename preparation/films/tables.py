"""Tables of a cache of films: `items.csv`, and `rejected.csv` of those that are not in it."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from datamodules.film_cache import COLUMNS, header
from preparation.films.tally import records
from provenance import whole_file


def write_items(
    out: Path, shards: Sequence[str], label_columns: Sequence[str], splits: Mapping[str, str]
) -> None:
    """Rows of the films that have a split, by their ids."""
    with whole_file(out / "items.csv") as items:
        write_item = _rows(items)
        write_item(header(label_columns))
        for record in records(out, shards):
            for item in record["items"]:
                if item["id"] not in splits:
                    continue
                item["split"] = splits[item["id"]]
                item["spacing_row_mm"], item["spacing_column_mm"] = item["spacing_mm"] or ("", "")
                item["suspicions"] = " ".join(item["suspicions"])
                labels = [item["labels"][name] for name in label_columns]
                write_item([*(item[column] for column in COLUMNS), *labels])


def write_rejected(out: Path, refused: Iterable[Sequence[str]]) -> None:
    """(id, reason, sentence) of every file that was refused."""
    with whole_file(out / "rejected.csv") as stream:
        write = _rows(stream)
        write(["id", "reason", "sentence"])
        for entry in refused:
            write(entry)


def _rows(stream: BinaryIO) -> Callable[[Sequence[Any]], None]:
    """Writes rows of a CSV table as UTF-8; names of files may hold any bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def write(row: Sequence[Any]) -> None:
        writer.writerow(row)
        stream.write(text.getvalue().encode(errors="surrogateescape"))
        text.seek(0)
        text.truncate()

    return write

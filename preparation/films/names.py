"""Which film is which file, and whom it shows: beside the cache, never in it.

Each shard's names are written before its record, so that a preparation that was killed and goes
on loses none of them; the tables are made of all shards' names at the end.
"""

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from preparation.private_table import PATIENTS, keep_rows, private_folder, replace_rows

FILMS, REJECTED = "films.csv", "rejected.csv"
_COLUMNS = ("id", "file", "patient_id", "identifier", "split_key")


def write_names(out: Path, shard: str, rows: Iterable[Mapping[str, str]]) -> None:
    """Keep the names of one shard's files.

    Args:
        out: The cache folder; the names lie beside it.
        shard: The shard's name.
        rows: Per file `id` and `file`; of a film that is used also `patient_id`,
            `identifier` and `split_key`.
    """
    replace_rows(out, _file(shard), _COLUMNS, ([row.get(c, "") for c in _COLUMNS] for row in rows))


def bring_names(part: Path, out: Path, shard: str) -> None:
    """Copy the names of a part's shard, where they are there."""
    path = private_folder(part) / _file(shard)
    if path.is_file():
        replace_rows(out, _file(shard), _COLUMNS, ([r[c] for c in _COLUMNS] for r in _read(path)))


def write_name_tables(
    out: Path, shards: Sequence[str], rejected: Iterable[Sequence[str]]
) -> Path | None:
    """Write `films.csv`, `patients.csv` and `rejected.csv` of the names that are there.

    Args:
        out: The cache folder; the tables lie beside it.
        shards: The names of all shards.
        rejected: (id, reason, sentence) of every file that was refused.

    Returns:
        The table of refused files; None where nobody is named, as with phantoms.
    """
    files = ((row["id"], row["file"]) for row in _names(out, shards))
    keep_rows(out, FILMS, ("id", "file"), files)
    patients = ((row["patient_id"], row["identifier"]) for row in _names(out, shards))
    keep_rows(out, PATIENTS, ("patient_id", "identifier"), (row for row in patients if row[1]))
    refused = {film: why for film, *why in rejected}
    file_of = {row["id"]: row["file"] for row in _names(out, shards) if row["id"] in refused}
    listed = ((file, *refused[film]) for film, file in file_of.items())
    return keep_rows(out, REJECTED, ("file", "reason", "sentence"), listed)


def spellings_of(
    patients: Mapping[str, Collection[str]], out: Path, shards: Sequence[str]
) -> dict[str, dict[str, str]]:
    """What each spelling's split is drawn from, by patient and by spelling.

    Args:
        patients: The keys of each, see `Split.divide`; spellings without a name are called so.
        out: The cache folder.
        shards: The names of all shards.
    """
    spelt = {patient: {key: key for key in keys} for patient, keys in patients.items()}
    for row in _names(out, shards) if spelt else ():
        if row["patient_id"] in spelt and row["identifier"]:
            of_patient = spelt[row["patient_id"]]
            of_patient.pop(row["split_key"], None)
            of_patient[row["identifier"]] = row["split_key"]
    return spelt


def _names(out: Path, shards: Sequence[str]) -> Iterator[dict[str, str]]:
    for path in (private_folder(out) / _file(shard) for shard in shards):
        if path.is_file():
            yield from _read(path)


def _read(path: Path) -> Iterator[dict[str, str]]:
    # Names of files may hold any bytes.
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        yield from csv.DictReader(stream)


def _file(shard: str) -> str:
    return f"names/{shard}.csv"

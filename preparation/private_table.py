"""Who is who, and which file is which: tables beside a cache that are never handed on.

A cache holds pseudonyms alone. What they stand for lies in `<cache>.private/`, a folder that only
its owner may open.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from os.path import abspath
from pathlib import Path

from preparation.text_file import as_text
from provenance import UserError, whole_file

PATIENTS, FILES, SKIPPED = "patients.csv", "files.csv", "skipped.csv"
COMMAND = "command.txt"
_OWNER_FOLDER, _OWNER_FILE = 0o700, 0o600


def private_folder(out: Path) -> Path:
    """Return the folder beside a cache that says who is who."""
    folder = Path(abspath(out))
    return folder.with_name(f"{folder.name}.private")


def kept_note(out: Path) -> str:
    """A sentence on what stays of a preparation that is refused at its end; begins with a blank."""
    folder = private_folder(out)
    names = f" and the names in {folder}" if folder.is_dir() else ""
    return (
        f" No cache was made. What was prepared stays in {out}{names}: the same command with "
        "another split goes on from there; or remove them."
    )


def made_private_folder(out: Path) -> Path:
    """The same folder, made where it is missing, and closed to everybody else."""
    folder = private_folder(out)
    folder.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
    folder.chmod(_OWNER_FOLDER)
    return folder


def keep_rows(
    out: Path, file: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> Path | None:
    r"""Add rows to a private table; rows that are there stay.

    Args:
        out: The cache folder.
        file: Name of the table.
        columns: Its header.
        rows: As many texts each. Of names of files, bytes that are no UTF-8 are written as
            such as `\xfc`: a spreadsheet opens the table, and no letter is guessed.

    Returns:
        The table, or None where there are no rows and no table.

    Raises:
        UserError: It cannot be written, or holds other columns.
    """
    path = private_folder(out) / file
    own = _as_texts(rows)
    there = _rows(path, columns)
    if not own <= there:
        _write(out, file, columns, own | there)
    return path if own | there else None


def replace_rows(
    out: Path, file: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> Path | None:
    """Write a private table that says how things are now; without rows there is none.

    Args, returns and errors: as `keep_rows`.
    """
    path, own = private_folder(out) / file, _as_texts(rows)
    if own != _rows(path, columns):
        if own:
            _write(out, file, columns, own)
        else:
            path.unlink(missing_ok=True)
    return path if own else None


def keep_command(out: Path, command: str) -> None:
    """Write what was typed, with its files and folders, beside what is handed on without them.

    Raises:
        UserError: It cannot be written.
    """
    _write_text(out, COMMAND, f"{command}\n", "It names your files and folders")


def _rows(path: Path, columns: Sequence[str]) -> set[tuple[str, ...]]:
    if not path.is_file():
        return set()
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = [tuple(row) for row in csv.reader(stream)]
    header, *rows = rows or [tuple(columns)]
    if header != tuple(columns):
        raise UserError(
            f"{path}: has the columns {', '.join(header)}, expected {', '.join(columns)}. It says "
            "who is who, so it was not changed. Move it away, or give another --out."
        )
    return _as_texts(rows)


def _as_texts(rows: Iterable[Sequence[str]]) -> set[tuple[str, ...]]:
    return {tuple(as_text(cell) for cell in row) for row in rows}


def _write(out: Path, file: str, columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(sorted(rows))
    _write_text(out, file, text.getvalue(), "It says whose pseudonym is whose")


def _write_text(out: Path, file: str, text: str, what: str) -> None:
    path = private_folder(out) / file
    try:
        made_private_folder(out)
        path.parent.mkdir(mode=_OWNER_FOLDER, exist_ok=True)
        with whole_file(path) as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
        path.chmod(_OWNER_FILE)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}). {what}, and lies beside the "
            "output; give an --out in a folder that can be written."
        ) from error

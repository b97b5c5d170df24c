"""Which row of a label table speaks of which film: by name, by path, by the end of a path."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from preparation.films.film import FilmFile
from preparation.films.label_table import LabelTable
from provenance import UserError

# A name may be listed without one of these; without `.4` the name 1.2.840.4 is another one.
_ENDINGS = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".dic", ".ima",
)  # fmt: skip


def matched(
    table: LabelTable, files: Sequence[FilmFile], uid_of: Callable[[FilmFile], str] | None = None
) -> tuple[LabelTable, list[str]]:
    """Find the films that a table lists, wherever the source lies in its paths.

    A film is found by its path from any folder above it down, with or without the ending, the
    longest path first; or where the table's path ends in the film's path below the source.

    Args:
        table: As read.
        files: The films of the source.
        uid_of: Reads a film's SOPInstanceUID, where the table may list films by theirs.

    Returns:
        The table with rows under the films' paths below the source, and sentences for the person.

    Raises:
        UserError: The table lists no film of the source; or a row may be of films in two folders,
            or a film of two rows that differ.
    """
    found = {file: key for file in files if (key := _listed(table, file)) is not None}
    _check_one_folder(table, found)
    by_end = _by_end(table, [file for file in files if file not in found], set(found.values()))
    notes = []
    if by_end:
        notes.append(
            f"{table.path}: its paths begin above the source; {len(by_end):,} films were found by "
            "the end of theirs."
        )
    found |= by_end
    if not found and files:
        if uid_of is None or not any(uid_of(file) in table.rows for file in files):
            raise UserError(
                f"{table.path}: none of the {len(table.rows):,} films that it lists is among the "
                f"{len(files):,} of the source. It lists {next(iter(table.rows))}, the source "
                f"holds {files[0].name}. Nothing was prepared; mend the table's names, or name "
                "the column of the films with --key-column."
            )
        return table, notes
    missing = len(table.rows.keys() - set(found.values()))
    if missing:
        notes.append(
            f"{table.path}: {missing:,} of {len(table.rows):,} films that it lists are not in the "
            "source."
        )
    # Under their bare names they are found as they are.
    at_path = {file.name: table.rows[key] for file, key in found.items() if "/" in key}
    return replace(table, rows={**table.rows, **at_path}), notes


def _listed(table: LabelTable, file: FilmFile) -> str | None:
    """The key of the table that is the longest end of the film's own path."""
    return next((end for path in _paths(file) for end in _ends(path) if end in table.rows), None)


def _paths(file: FilmFile) -> Iterator[str]:
    """The path of a film from the root, and the same without its ending."""
    path = os.path.abspath(file.path).replace("\\", "/")
    yield path
    bare, ending = os.path.splitext(path)
    if ending.lower() in _ENDINGS:
        yield bare


def _ends(path: str) -> Iterator[str]:
    """A path, and what is left of it when folder after folder is taken away from its beginning."""
    yield path
    while "/" in path:
        path = path[path.index("/") + 1 :]
        yield path


def _check_one_folder(table: LabelTable, found: dict[FilmFile, str]) -> None:
    folders = defaultdict(set)
    for file, key in found.items():
        path = PurePosixPath(file.name)
        folders[key, path.suffix.lower()].add(path.parent)
    for (key, _), own in folders.items():
        if len(own) > 1:
            raise UserError(
                f"{table.path}: lists {key}, but {len(own)} folders of the source hold a file of "
                "that name. Name the films in the table by their paths below the source."
            )


def _by_end(table: LabelTable, files: Sequence[FilmFile], used: set[str]) -> dict[FilmFile, str]:
    """The keys of the table that end in a film's path below the source, by film."""
    wanted: dict[str, list[str]] = {
        name: []
        for file in files
        for name in (file.name, os.path.splitext(file.name)[0])
        if name == file.name or file.name.lower().endswith(_ENDINGS)
    }
    for key in table.rows if wanted else ():
        if key not in used:
            for end in _ends(key):
                if end in wanted:
                    wanted[end].append(key)
                    break
    found = {}
    for file in files:
        keys = wanted[file.name] or wanted.get(os.path.splitext(file.name)[0], [])
        if any(table.rows[key] != table.rows[keys[0]] for key in keys):
            raise UserError(
                f"{table.path}: lists {keys[0]} and {keys[1]} with different contents, and each "
                f"may be {file.name} of the source. Give the folder above as --source, so that "
                "paths tell them apart."
            )
        if keys:
            found[file] = keys[0]
    return found

"""The folder of the films, be it given as one or in an archive."""

from pathlib import Path

from display.numbers import count
from preparation.films.archives.judged import MARKER
from preparation.films.archives.unpack import is_archive, unpack
from preparation.private_table import made_private_folder
from provenance import UserError, read_json
from spelling import meant_path

_MOST_TOLD = 5


def opened(source: Path, out: Path) -> Path:
    """The folder of the films: the source, or what its archive holds, unpacked beside the cache.

    Raises:
        UserError: There is nothing, or the archive is not safe to unpack.
    """
    if not source.exists():
        raise UserError(
            f"--source {source}: there is no such folder or file.{meant_path(source)} Give the "
            "folder that holds the films, or a zip or tar of it."
        )
    if is_archive(source):
        folder = unpacked_folder(out)
        unpack(source, folder)
        return folder
    if source.is_dir():
        return source
    raise UserError(
        f"--source {source}: is neither a folder nor a zip, tar or MedMNIST .npz file. "
        "Give the folder that holds the films."
    )


def unpacked_folder(out: Path) -> Path:
    """Where a source is unpacked: with all its names, so it is no part of the cache."""
    return made_private_folder(out) / "unpacked"


def empty_members_note(folder: Path) -> list[str]:
    """A sentence on members that could not be unpacked, of a folder that `unpack` has made."""
    marker = folder / MARKER
    empty = read_json(marker).get("empty") if marker.is_file() else None
    if not empty:
        return []
    listed = "; ".join(f"member {n} {why}" for n, why in list(empty.items())[:_MOST_TOLD])
    more = f"; and {len(empty) - _MOST_TOLD:,} more" if len(empty) > _MOST_TOLD else ""
    return [
        f"{count(len(empty), 'member')} of the archive could not be unpacked ({listed}{more}). "
        "Empty files take their places; films among them are listed as truncated."
    ]

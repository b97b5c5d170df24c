"""Archives of films: checked as a whole, unpacked into a new folder, or refused.

An archive from outside may try to write beside its folder, to plant links, or to fill the disk.
Nothing of it is trusted: names, kinds and sizes are judged before anything is written, and then
tarfile and zipfile extract it, without its owners, permissions and times.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from output_folder import check_folder
from preparation.films.archives.judged import MARKER, judged
from preparation.films.archives.members import Member, listed_members
from provenance import DISK_FULL, UserError, read_json, sha256_of, write_json_atomic

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(path: Path) -> bool:
    """Whether a path is named like an archive that `unpack` reads, and is no folder."""
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir()


def unpack(archive: Path, folder: Path, max_bytes: int = 500 * 2**30) -> int:
    """Unpack a zip (also npz) or tar (also gz, bz2, xz) into a folder that is whole or not there.

    It is unpacked beside it, into `<folder>.part`, and renamed. A folder that holds this very
    archive already (its size and SHA-256 stand in `.unpacked`) is left as it is. Archives inside
    the archive are not opened.

    Of a member of a zip that is encrypted, listed twice, packed by an unknown method or damaged, an
    empty file takes the place: it is refused and listed as any other film, and the others are used.

    Args:
        archive: The file; only read.
        folder: New, empty, or unpacked from this archive before.
        max_bytes: Most bytes that it may unpack to.

    Returns:
        The number of files in the archive.

    Raises:
        UserError: The archive is damaged as a whole, none of its members can be unpacked, or one is
            a link or a device, or would lie outside the folder; or it unpacks to more than it
            declares, than `max_bytes`, than the disk has room for, or than films can. Nothing of it
            is left.
        OSError: The disk is full or not writable. Nothing of it is left.
    """
    if not archive.is_file():
        raise UserError(f"{archive}: there is no such file. Expected {', '.join(SUFFIXES)}.")
    identity = {"archive_bytes": archive.stat().st_size, "archive_sha256": sha256_of(archive)}
    if check_folder(folder, MARKER, identity, "unpacked archive"):
        return int(read_json(folder / MARKER)["files"])
    part = folder.with_name(folder.name + ".part")
    check_folder(part, MARKER, {}, "unpacked archive")  # what a killed run left is removed, no more
    shutil.rmtree(part, ignore_errors=True)
    with _damage_as_user_error(archive), listed_members(archive) as listed:
        members = list(judged(listed, archive, max_bytes, _disk_room(folder)))
        num_files = sum(not member.is_folder for member in members)
        empty: dict[str, str] = {}
        try:
            part.mkdir(parents=True)
            # First, so that a part left by a killed run is known as ours; the folder's name comes
            # last and says that it is whole.
            write_json_atomic(part / MARKER, {**identity, "files": num_files})
            for number, member in enumerate(members, start=1):
                if why := _extract(member, part, archive):
                    empty[str(number)] = why
            if empty:
                _check_something_is_left(members, part, archive, empty)
                told = {**identity, "files": num_files, "empty": empty}
                write_json_atomic(part / MARKER, told)
            os.replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return num_files


def _disk_room(folder: Path) -> int:
    existing = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return shutil.disk_usage(existing).free


def _extract(member: Member, part: Path, archive: Path) -> str | None:
    """Write a member; or an empty file where it is lost, and return why."""
    path, lost = part / PurePosixPath(member.name), member.lost
    if lost is None:
        try:
            member.extract(part)
        except Exception as error:  # damage raises many kinds
            if not member.may_be_lost or member.is_folder or _is_of_the_disk(error):
                raise
            lost = f"is damaged ({type(error).__name__}): copy the archive again"
    if lost is not None and not member.is_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return lost
    if not member.is_folder and path.stat().st_size != member.num_bytes:
        raise UserError(
            f"{archive.name}: a member unpacks to another size than the {member.num_bytes:,} bytes "
            "that it declares. What was unpacked is removed; copy the archive again, or do not "
            "trust it."
        )
    return None


def _check_something_is_left(
    members: Sequence[Member], part: Path, archive: Path, empty: dict[str, str]
) -> None:
    """Refuse an archive of which no file that should hold something could be unpacked."""
    filled = {part / PurePosixPath(m.name) for m in members if m.num_bytes and not m.is_folder}
    if any(path.stat().st_size for path in filled):
        return
    number, why = next(iter(empty.items()))
    raise UserError(f"{archive.name}: member {number} {why}. Nothing was unpacked.")


def _is_of_the_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and bool(error.filename or error.errno in DISK_FULL)


@contextmanager
def _damage_as_user_error(archive: Path) -> Iterator[None]:
    """Turn any exception but one of the disk into a UserError: the archive is damaged."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if _is_of_the_disk(error):
            raise
        raise UserError(
            f"{archive.name}: is damaged, or no such archive ({type(error).__name__}). Nothing of "
            "it was kept; copy it again, or give it the suffix of what it is."
        ) from error

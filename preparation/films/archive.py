"""Archives of films: checked as a whole, unpacked into a new folder, or refused.

An archive from outside may try to write beside its folder, to plant links, or to fill the disk.
Nothing of it is trusted: names, kinds and sizes are judged before anything is written, and then
tarfile and zipfile extract it, without its owners, permissions and times.
"""

import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

from display.numbers import count
from output_folder import check_folder
from preparation.private_table import made_private_folder
from provenance import DISK_FULL, UserError, read_json, sha256_of, write_json_atomic
from spelling import meant_path

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MARKER = ".unpacked"
# Beyond 1 GiB, more than 200 bytes out of one are no films: JPEG itself gains about 20.
_MOST_RATIO, _RATIO_FREE_BYTES = 200, 2**30
_MOST_TOLD = 5
_MOST_MEMBERS, _MOST_NAME_CHARACTERS, _MOST_HEADER_BYTES = 2_000_000, 1024, 2**20
_TAR_HEADERS = (b"L", b"K", b"x", b"g", b"X")  # long names and links, pax headers
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def is_archive(path: Path) -> bool:
    """Whether a path is named like an archive that `unpack` reads, and is no folder."""
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir()


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
    with _damage_as_user_error(archive), _members(archive) as listed:
        members = list(_judged(listed, archive, max_bytes, _disk_room(folder)))
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
        "Empty files stand in their places; films among them are listed as cut short."
    ]


@dataclass(frozen=True)
class _Member:
    """A member as its archive lists it.

    Attributes:
        name, num_bytes, is_folder: As it is listed.
        refusal: What it is for which nothing is unpacked.
        extract: Writes it below a folder.
        lost: Why it cannot be unpacked though the others can.
        may_be_lost: Whether damage to it is no damage to the others.
    """

    name: str
    num_bytes: int
    is_folder: bool
    refusal: str | None
    extract: Callable[[Path], object]
    lost: str | None = None
    may_be_lost: bool = False


def _disk_room(folder: Path) -> int:
    existing = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return shutil.disk_usage(existing).free


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Open an archive and list its members; it stays open for extracting them."""
    if archive.suffix.lower() in (".zip", ".npz"):
        with zipfile.ZipFile(archive) as file:
            # The arrays of an npz belong together; the films of a zip do not.
            yield _zip_members(file, may_be_lost=archive.suffix.lower() == ".zip")
    else:
        with tarfile.open(archive, tarinfo=_TarInfo) as file:
            # Python before 3.11.4 has no filter; what it refuses, `_judged` has refused before.
            if hasattr(tarfile, "data_filter"):
                file.extraction_filter = tarfile.data_filter
            yield _tar_members(file)


def _zip_members(file: zipfile.ZipFile, may_be_lost: bool) -> Iterator[_Member]:
    for info in file.infolist():
        refusal = lost = None
        if info.flag_bits & 0x41:
            lost = "is encrypted: unpack it yourself and give the folder"
        elif info.compress_type not in _METHODS:
            lost = "is compressed by a method that is not read here: pack it again by deflate"
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = "is a link or a device: pack the films themselves"
        num_bytes = info.file_size
        # zipfile stops silently at the declared size; one byte more shows that there is more.
        info.file_size += 1
        # orig_filename: as it stands there, before zipfile cuts it at a zero byte. Some programs on
        # Windows separate folders by backslashes, against the standard (APPNOTE 4.4.17.1).
        name = info.orig_filename.replace("\\", "/")
        info.filename = name.partition("\0")[0]
        extract = partial(file.extract, info)
        if not may_be_lost:
            refusal, lost = refusal or lost, None
        yield _Member(name, num_bytes, info.is_dir(), refusal, extract, lost, may_be_lost)


class _TarInfo(tarfile.TarInfo):
    """Refuses headers whose own data, such as a long name, would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _TAR_HEADERS and info.size > _MOST_HEADER_BYTES):
            raise tarfile.ReadError("a header of impossible size")
        return info

    def _proc_gnusparse_10(self, *_: Any) -> None:
        raise tarfile.ReadError("a sparse file, whose map may have any length")


def _tar_members(file: tarfile.TarFile) -> Iterator[_Member]:
    for info in file:
        special = not (info.isreg() or info.isdir()) or info.issparse()
        refusal = "is a link, a device or sparse: pack the films themselves" if special else None
        extract = partial(file.extract, info, set_attrs=False)
        yield _Member(info.name, info.size, info.isdir(), refusal, extract)
    # tarfile takes a header that it cannot read for the end; the end is a block of zeros.
    stream: Any = file.fileobj
    stream.seek(file.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends before its end mark")
    while stream.read(1 << 20):  # the checksum of what is compressed comes last
        pass


def _judged(
    members: Iterator[_Member], archive: Path, max_bytes: int, room: int
) -> Iterator[_Member]:
    """Give members on, unless one is refused.

    Sentences number the members and do not name them: names may identify.
    """
    folders: dict[PurePosixPath, bool] = {}  # whether what lies at a path is one
    again = "has the name of another member: pack the films again"
    total, packed = 0, archive.stat().st_size
    for number, member in enumerate(members, start=1):
        total += 0 if member.is_folder else member.num_bytes
        # Of a member that is there twice, nobody knows which is right: both are lost.
        is_twice = not member.is_folder and folders.get(PurePosixPath(member.name)) is False
        refusal = member.refusal or _refusal_of_name(member, folders)
        if refusal is None and is_twice:
            if member.may_be_lost:
                member = replace(member, lost=again)
            else:
                refusal = again
        if number > _MOST_MEMBERS:
            refusal = f"follows {_MOST_MEMBERS:,} others, as no films do: unpack it yourself"
        elif member.num_bytes < 0:
            refusal = "has a negative size: do not trust this archive"
        elif total > max_bytes:
            refusal = f"brings it beyond {max_bytes:,} bytes: unpack it yourself"
        elif total > room:
            refusal = f"brings it beyond the {room:,} bytes free on the disk: make room"
        elif total > max(_RATIO_FREE_BYTES, _MOST_RATIO * packed):
            refusal = (
                f"brings it to {total:,} bytes out of {packed:,}, as no films do: do not trust "
                "this archive"
            )
        if refusal is not None:
            raise UserError(f"{archive.name}: member {number} {refusal}. Nothing was unpacked.")
        yield member


def _refusal_of_name(member: _Member, folders: dict[PurePosixPath, bool]) -> str | None:
    distrust = "do not trust this archive, or pack the films again"
    name, path = member.name, PurePosixPath(member.name)
    if len(name) > _MOST_NAME_CHARACTERS or any(ord(character) < 32 for character in name):
        return f"has a name that is too long or has control characters: {distrust}"
    if path.is_absolute() or "\\" in name or re.match("[A-Za-z]:", name):
        return f"has an absolute path, or one of another system: {distrust}"
    if ".." in path.parts:
        return f"would lie outside the folder: {distrust}"
    if not member.is_folder and path in (PurePosixPath(), PurePosixPath(MARKER)):
        return f"has no name, or the reserved name {MARKER}: pack the films again"
    above = [folders.setdefault(parent, True) for parent in path.parents]
    is_other_kind = folders.get(path, member.is_folder) != member.is_folder
    folders[path] = member.is_folder
    if is_other_kind or not all(above):
        return "has the name of another member: pack the films again"
    return None


def _extract(member: _Member, part: Path, archive: Path) -> str | None:
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
    members: Sequence[_Member], part: Path, archive: Path, empty: dict[str, str]
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

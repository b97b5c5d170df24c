"""Archives of films: checked as a whole, unpacked into a new folder, or refused.

An archive from outside may try to write beside its folder, to plant links, or to fill the disk.
Nothing of it is trusted: names and sizes are judged before anything is written, and files are
written by this module, without the archive's owners, permissions and times.
"""

import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from provenance import UserError, read_json, sha256_of, write_json_atomic

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MARKER = ".unpacked"
# Beyond 1 GiB, more than 200 bytes out of one are no films: JPEG itself gains about 20.
_MOST_RATIO, _RATIO_FREE_BYTES = 200, 2**30
_MOST_MEMBERS, _MOST_NAME_CHARACTERS, _MOST_HEADER_BYTES = 2_000_000, 1024, 2**20
_BLOCK_BYTES = 1 << 20
_TAR_HEADERS = (b"L", b"K", b"x", b"g", b"X")  # long names and links, pax headers
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def is_archive(path: Path) -> bool:
    """Whether a path is named like an archive that `unpack` reads, and is no folder."""
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir()


def opened(source: Path, out: Path) -> Path:
    """The folder of the films: the source, or what its archive holds, unpacked into the cache.

    Raises:
        UserError: There is nothing, or the archive is not safe to unpack.
    """
    if not source.exists():
        raise UserError(
            f"--source {source}: there is no such folder or file. Give the folder that holds the "
            "films, or a zip or tar of it."
        )
    if is_archive(source):
        unpack(source, out / "unpacked")
        return out / "unpacked"
    if source.is_dir():
        return source
    raise UserError(
        f"--source {source}: is neither a folder nor a zip, tar or MedMNIST .npz file. "
        "Give the folder that holds the films."
    )


def unpack(archive: Path, folder: Path, max_bytes: int = 500 * 2**30) -> int:
    """Unpack a zip or tar (also gz, bz2, xz) into a folder that is whole or not there.

    It is unpacked beside it, into `<folder>.part`, and renamed. A folder that holds this very
    archive already (its size and SHA-256 stand in `.unpacked`) is left as it is. Archives inside
    the archive are not opened.

    Args:
        archive: The file; only read.
        folder: New, empty, or unpacked from this archive before.
        max_bytes: Most bytes that it may unpack to.

    Returns:
        The number of files in the archive.

    Raises:
        UserError: The archive is damaged, or a member of it is a link or a device, is encrypted,
            listed twice, or would lie outside the folder; or it unpacks to more than it declares,
            than `max_bytes`, than the disk has room for, or than films can. Nothing of it is left.
        OSError: The disk is full or not writable. Nothing of it is left.
    """
    if not archive.is_file():
        raise UserError(f"{archive}: there is no such file. Expected {', '.join(SUFFIXES)}.")
    identity = {"archive_bytes": archive.stat().st_size, "archive_sha256": sha256_of(archive)}
    if (folder / MARKER).is_file():
        marker = read_json(folder / MARKER)
        if all(marker.get(key) == value for key, value in identity.items()):
            return int(marker["files"])
        raise UserError(
            f"{folder}: was unpacked from another archive than {archive.name}, or it has changed "
            "since. Remove the folder, or give another."
        )
    part = folder.with_name(folder.name + ".part")
    _check_free(folder, part)
    with _members(archive) as members:
        listed = _checked(members, archive, _disk_room(folder), max_bytes)
        num_files = sum(not member.is_folder for _, member in listed)
        try:
            part.mkdir(parents=True)
            # First, so that a part left by a killed run is known as ours; the folder's name comes
            # last and says that it is whole.
            write_json_atomic(part / MARKER, {**identity, "files": num_files})
            for place, member in listed:
                _write(part.joinpath(*place), member, archive)
            os.replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return num_files


@dataclass(frozen=True)
class _Member:
    """A member as its archive lists it; `refusal` says what it is that is not unpacked."""

    name: str
    num_bytes: int
    is_folder: bool
    refusal: str | None
    open: Callable[[], IO[bytes]]


def _check_free(folder: Path, part: Path) -> None:
    """Make sure that nothing of somebody else's is overwritten, and remove what a kill left."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder}: holds files that were not unpacked from an archive. Give a new folder."
        )
    if not part.exists():
        return
    if not part.is_dir() or (any(part.iterdir()) and not (part / MARKER).is_file()):
        raise UserError(
            f"{part}: is in the way and was not made here. Remove it, or give another folder."
        )
    shutil.rmtree(part)


def _disk_room(folder: Path) -> int:
    existing = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return shutil.disk_usage(existing).free


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Open an archive and list its members; it stays open for reading them."""
    with _damage_named(archive):
        is_zip = archive.name.lower().endswith(".zip")
        file = zipfile.ZipFile(archive) if is_zip else tarfile.open(archive, tarinfo=_TarInfo)  # noqa: SIM115
    with file:
        yield _zip_members(file) if isinstance(file, zipfile.ZipFile) else _tar_members(file)


def _zip_members(file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        refusal = None
        if info.flag_bits & 0x41:
            refusal = "is encrypted: unpack it yourself and give the folder"
        elif info.compress_type not in _METHODS:
            refusal = "is compressed by a method that is not read here: pack it again by deflate"
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            refusal = "is a link or a device: pack the films themselves"
        num_bytes = info.file_size
        # zipfile stops silently at the declared size; one byte more shows that there is more.
        info.file_size += 1
        # orig_filename: as it stands there, before zipfile cuts it at a zero byte.
        yield _Member(
            info.orig_filename, num_bytes, info.is_dir(), refusal, partial(file.open, info)
        )


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
        yield _Member(info.name, info.size, info.isdir(), refusal, partial(_tar_data, file, info))
    # tarfile takes a header that it cannot read for the end; the end is a block of zeros.
    stream: Any = file.fileobj
    stream.seek(file.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends before its end mark")
    while stream.read(_BLOCK_BYTES):  # the checksum of what is compressed comes last
        pass


def _tar_data(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = file.extractfile(info)
    assert stream is not None  # it is a regular file
    return stream


def _checked(
    members: Iterator[_Member], archive: Path, room: int, max_bytes: int
) -> list[tuple[tuple[str, ...], _Member]]:
    """Judge the whole listing; returns members with the parts of their paths.

    Sentences number the members and do not name them: names may identify.
    """
    listed: list[tuple[tuple[str, ...], _Member]] = []
    places = _Places()
    sizes = _Sizes(archive.stat().st_size, room, max_bytes)
    with _damage_named(archive):
        for number, member in enumerate(members, start=1):
            refusal = member.refusal or _refusal_of_name(member.name)
            place = tuple(p for p in member.name.split("/") if p not in ("", "."))
            refusal = refusal or places.refusal(place, member.is_folder)
            if not member.is_folder:
                refusal = refusal or sizes.refusal(member.num_bytes)
            if number > _MOST_MEMBERS:
                refusal = f"follows {_MOST_MEMBERS:,} others, as no films do: unpack it yourself"
            if refusal is not None:
                raise UserError(f"{archive.name}: member {number} {refusal}. Nothing was unpacked.")
            listed.append((place, member))
    return listed


def _refusal_of_name(name: str) -> str | None:
    distrust = "do not trust this archive, or pack the films again"
    if len(name) > _MOST_NAME_CHARACTERS or any(ord(character) < 32 for character in name):
        return f"has a name that is too long or has control characters: {distrust}"
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name):
        return f"has an absolute path, or one of another system: {distrust}"
    return f"would lie outside the folder: {distrust}" if ".." in name.split("/") else None


@dataclass
class _Places:
    """The paths listed so far, each as its parts."""

    files: set[tuple[str, ...]] = field(default_factory=set)
    folders: set[tuple[str, ...]] = field(default_factory=set)

    def refusal(self, place: tuple[str, ...], is_folder: bool) -> str | None:
        above = {place[:length] for length in range(1, len(place))}
        if not is_folder and place in ((), (MARKER,)):
            return f"has no name, or the reserved name {MARKER}: pack the films again"
        if place in self.files or above & self.files or (not is_folder and place in self.folders):
            return "has the name of another member: pack the films again"
        self.folders |= above | ({place} if is_folder else set())
        self.files |= set() if is_folder else {place}
        return None


@dataclass
class _Sizes:
    """The bytes declared so far, of an archive of `packed` bytes."""

    packed: int
    room: int
    max_bytes: int
    total: int = 0

    def refusal(self, num_bytes: int) -> str | None:
        self.total += num_bytes
        if num_bytes < 0:
            return "has a negative size: do not trust this archive"
        if self.total > self.max_bytes:
            return f"brings it beyond {self.max_bytes:,} bytes: unpack it yourself"
        if self.total > self.room:
            return f"brings it beyond the {self.room:,} bytes free on the disk: make room"
        if self.total > max(_RATIO_FREE_BYTES, _MOST_RATIO * self.packed):
            return (
                f"brings it to {self.total:,} bytes out of {self.packed:,}, as no films do: "
                "do not trust this archive"
            )
        return None


def _write(path: Path, member: _Member, archive: Path) -> None:
    if member.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as target:
        written = sum(map(target.write, _blocks(member, archive)))
    if written != member.num_bytes:
        raise UserError(
            f"{archive.name}: a member unpacks to another size than the {member.num_bytes:,} bytes "
            "that it declares. What was unpacked is removed; copy the archive again, or do not "
            "trust it."
        )


def _blocks(member: _Member, archive: Path) -> Iterator[bytes]:
    with _damage_named(archive), member.open() as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Say that the archive is damaged, of whichever kind the exception is: there are many."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{archive.name}: is damaged, or no such archive ({type(error).__name__}). Nothing of "
            "it was kept; copy it again."
        ) from error

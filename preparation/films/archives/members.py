"""What is in a zip or a tar, as it is listed there."""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

_MOST_HEADER_BYTES = 2**20
_TAR_HEADERS = (b"L", b"K", b"x", b"g", b"X")  # long names and links, pax headers
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@dataclass(frozen=True)
class Member:
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


@contextmanager
def listed_members(archive: Path) -> Iterator[Iterator[Member]]:
    """Open an archive and list its members; it stays open for extracting them."""
    if archive.suffix.lower() in (".zip", ".npz"):
        with zipfile.ZipFile(archive) as file:
            # The arrays of an npz belong together; the films of a zip do not.
            yield _zip_members(file, may_be_lost=archive.suffix.lower() == ".zip")
    else:
        with tarfile.open(archive, tarinfo=_TarInfo) as file:
            # Python before 3.11.4 has no filter; what it refuses, `judged` has refused before.
            if hasattr(tarfile, "data_filter"):
                file.extraction_filter = tarfile.data_filter
            yield _tar_members(file)


def _zip_members(file: zipfile.ZipFile, may_be_lost: bool) -> Iterator[Member]:
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
        yield Member(name, num_bytes, info.is_dir(), refusal, extract, lost, may_be_lost)


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


def _tar_members(file: tarfile.TarFile) -> Iterator[Member]:
    for info in file:
        special = not (info.isreg() or info.isdir()) or info.issparse()
        refusal = "is a link, a device or sparse: pack the films themselves" if special else None
        extract = partial(file.extract, info, set_attrs=False)
        yield Member(info.name, info.size, info.isdir(), refusal, extract)
    # tarfile takes a header that it cannot read for the end; the end is a block of zeros.
    stream: Any = file.fileobj
    stream.seek(file.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends before its end mark")
    while stream.read(1 << 20):  # the checksum of what is compressed comes last
        pass

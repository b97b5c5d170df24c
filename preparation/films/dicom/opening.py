"""Opens a file as DICOM, whether or not it has all that the standard wants before its data set."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pydicom
from pydicom import uid
from pydicom.filereader import read_dataset, read_file_meta_info

from preparation.films.dicom.pixels import DECODERS, check_size
from preparation.films.film import RejectedFilm

_PREAMBLE = bytes(128) + b"DICM"
# Groups of the elements that a file, or a data set, begins with; the first is never long.
_FILE_META, _IDENTIFYING = 0x0002, 0x0008
_MOST_FIRST_BYTES, _MAX_META_BYTES = 1024, 1 << 16


class DicomFile(NamedTuple):
    """An open DICOM file.

    Attributes:
        stream: Begins with a preamble, whatever the file itself does.
        syntax: One that can be read without danger.
        has_preamble: Whether the file has one, as the standard wants.
    """

    stream: BinaryIO
    syntax: uid.UID
    has_preamble: bool


@contextmanager
def opened(path: Path) -> Iterator[DicomFile]:
    """Open a file as DICOM, also one that lacks the preamble, or everything before its data set.

    Older archives and research exports write such files. Of one that does not say its transfer
    syntax, the beginning does: its pixels are then taken for uncompressed, and refused if their
    number is not that of the header.

    Raises:
        InvalidDicomError: It is no DICOM file.
        RejectedFilm: The syntax is not read, or the file is larger than any film.
    """
    with open(path, "rb") as stream:
        head = stream.read(len(_PREAMBLE))
        stream.seek(0)
        if head.endswith(_PREAMBLE[-4:]) or not (group := _first_group(head)):
            yield DicomFile(stream, _readable_syntax(read_file_meta_info(path)), True)
            return
        check_size(stream)
        stream.seek(0)
        data = stream.read()
    if group != _FILE_META:
        syntax = _syntax_of_data_set(head)
        value = syntax.encode() + b"\0" * (len(syntax) % 2)
        data = struct.pack("<HH2sH", 2, 0x10, b"UI", len(value)) + value + data
    beginning = io.BytesIO(data[:_MAX_META_BYTES])
    meta = read_dataset(beginning, False, True, stop_when=lambda tag, *_: tag.group != _FILE_META)
    yield DicomFile(io.BytesIO(_PREAMBLE + data), _readable_syntax(meta), False)


def _first_group(head: bytes) -> int | None:
    """The group that a data set without a preamble begins with; None if that is no data set."""
    if len(head) < 12:
        return None
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", head)
        is_short = struct.unpack_from(f"{order}I", head, 4)[0] < _MOST_FIRST_BYTES
        is_first = group in (_FILE_META, _IDENTIFYING) and element < 0x100
        if is_first and (_is_explicit(head) or is_short):
            return int(group)
    return None


def _is_explicit(head: bytes) -> bool:
    """Whether two capitals, the value representation, follow the first tag."""
    return head[4:6].isalpha() and head[4:6].isupper()


def _syntax_of_data_set(head: bytes) -> uid.UID:
    if head[0] == 0:  # the higher byte of the group comes first
        return uid.ExplicitVRBigEndian
    return uid.ExplicitVRLittleEndian if _is_explicit(head) else uid.ImplicitVRLittleEndian


def _readable_syntax(meta: pydicom.Dataset) -> uid.UID:
    """The transfer syntax of a file, if it is one that can be read without danger.

    A deflated file is refused unread: a megabyte of it can unpack to gigabytes.

    Raises:
        RejectedFilm: The syntax is missing or not read.
    """
    syntax = meta.get("TransferSyntaxUID", "")
    if syntax not in DECODERS:
        name = syntax.name if syntax in uid.UID_dictionary else "none that is known"
        raise RejectedFilm(
            "pixels_undecodable",
            f"Its transfer syntax ({name}) is not read. Export the film uncompressed.",
        )
    return uid.UID(syntax)

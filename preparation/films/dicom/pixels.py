"""The stored pixels of a DICOM film, decoded only after the compressed stream has been looked at.

Decoders are C and C++ libraries that were written for whole files. What they do with damaged ones
(grey filling for a missing end, an abort of the process, a picture of another size) is kept from
them: the stream's own header must be well-formed and agree with that of the file.
"""

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.pixels import get_decoder, pixel_array

from preparation.films.dicom.header import TAGS, whole
from preparation.films.film import MAX_PIXELS, RejectedFilm

# The one decoder that is used for a syntax: pydicom would try one after the other on a damaged
# stream, until one is lenient enough. Of 1,500 damaged streams, gdcm aborted the process for 17 of
# JPEG 2000 and for every tenth of baseline JPEG. For what only gdcm reads, lossless JPEG and
# JPEG-LS, it aborted for none of 15,000 each, once they had passed the checks below.
_DECODERS = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "gdcm",
    uid.JPEGLSNearLossless: "gdcm",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
}
_JPEG2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
# Start-of-frame markers of the JPEG family.
_FRAME_MARKERS = {
    uid.JPEGBaseline8Bit: (0xFFC0, 0xFFC1),
    uid.JPEGExtended12Bit: (0xFFC0, 0xFFC1),
    uid.JPEGLossless: (0xFFC3,),
    uid.JPEGLosslessSV1: (0xFFC3,),
    uid.JPEGLSLossless: (0xFFF7,),
    uid.JPEGLSNearLossless: (0xFFF7,),
}
_START_OF_SCAN = 0xFFDA
_END_OF_IMAGE = b"\xff\xd9"
# Bytes of a file that its pixels cannot account for.
_MAX_OTHER_BYTES = 1 << 26
_MAX_TILES = 4096
_PREAMBLE = bytes(128) + b"DICM"
# Groups of the elements that a file, or a data set, begins with; the first is never long.
_FILE_META, _IDENTIFYING = 0x0002, 0x0008
_MOST_FIRST_BYTES, _MAX_META_BYTES = 1024, 1 << 16


class _Frame(NamedTuple):
    """What a compressed stream says about itself."""

    rows: int
    columns: int
    samples: int
    bits: int


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
            yield DicomFile(stream, _judged(read_file_meta_info(path)), True)
            return
        _check_size(stream)
        stream.seek(0)
        data = stream.read()
    if group != _FILE_META:
        syntax = _syntax_of_data_set(head)
        value = syntax.encode() + b"\0" * (len(syntax) % 2)
        data = struct.pack("<HH2sH", 2, 0x10, b"UI", len(value)) + value + data
    beginning = io.BytesIO(data[:_MAX_META_BYTES])
    meta = read_dataset(beginning, False, True, stop_when=lambda tag, *_: tag.group != _FILE_META)
    yield DicomFile(io.BytesIO(_PREAMBLE + data), _judged(meta), False)


def _first_group(head: bytes) -> int | None:
    """The group that a data set without a preamble begins with; None if that is no data set."""
    if len(head) < 12:
        return None
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", head)
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        implicit = struct.unpack_from(f"{order}I", head, 4)[0] < _MOST_FIRST_BYTES
        if group in (_FILE_META, _IDENTIFYING) and element < 0x100 and (explicit or implicit):
            return int(group)
    return None


def _syntax_of_data_set(head: bytes) -> uid.UID:
    if head[0] == 0:  # the higher byte of the group comes first
        return uid.ExplicitVRBigEndian
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return uid.ExplicitVRLittleEndian if explicit else uid.ImplicitVRLittleEndian


def _judged(meta: pydicom.Dataset) -> uid.UID:
    """The transfer syntax of a file, if it is one that can be read without danger.

    A deflated file is refused unread: a megabyte of it can unpack to gigabytes.

    Raises:
        RejectedFilm: The syntax is missing or not read.
    """
    syntax = meta.get("TransferSyntaxUID", "")
    if syntax not in _DECODERS:
        name = syntax.name if syntax in uid.UID_dictionary else "none that is known"
        raise RejectedFilm(
            "pixels_undecodable",
            f"Its transfer syntax ({name}) is not read. Export the film uncompressed.",
        )
    return uid.UID(syntax)


def decode(stream: BinaryIO, syntax: uid.UID) -> NDArray[Any]:
    """Return the stored pixels of an open file, (Rows, Columns) of 8- or 16-bit integers.

    The header must have passed `dicom_header.check_picture`.

    Raises:
        RejectedFilm: The pixels are missing, damaged, cut off, or not what the header says.
    """
    _check_size(stream)
    stream.seek(0)
    dataset = pydicom.dcmread(stream, specific_tags=[*TAGS, "PixelData"])
    if "PixelData" not in dataset:
        raise RejectedFilm("truncated", "It ends within its pixels.")
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    allocated = whole(dataset, "BitsAllocated") or 0
    try:
        if syntax.is_encapsulated:
            data = next(generate_frames(dataset.PixelData, number_of_frames=1))
            _check_frame(data, syntax, _Frame(rows, columns, 1, allocated))
        else:
            _check_length(len(dataset.PixelData), rows * columns * allocated // 8)
        stored: NDArray[Any] = pixel_array(dataset, decoding_plugin=_decoder(syntax, dataset))
    except (RejectedFilm, MemoryError):
        raise
    except Exception as error:  # decoders raise what they like
        raise RejectedFilm(
            "pixels_undecodable",
            f"Its pixels cannot be decoded ({type(error).__name__}, {syntax.name}).",
        ) from None
    if stored.shape != (rows, columns):
        raise _other_shape(stored.shape, (rows, columns))
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise RejectedFilm("bit_depth", f"Its pixels are {stored.dtype}; expected 8 or 16 bits.")
    return stored


def _check_size(stream: BinaryIO) -> None:
    num_bytes = stream.seek(0, os.SEEK_END)
    if num_bytes > 2 * MAX_PIXELS + _MAX_OTHER_BYTES:
        raise RejectedFilm("too_large", f"The file has {num_bytes} bytes, more than any film.")


def _decoder(syntax: uid.UID, dataset: Any) -> str:
    """Name of the decoder to use, empty where nothing is compressed."""
    name = _DECODERS[syntax]
    if syntax == uid.JPEGExtended12Bit and whole(dataset, "BitsStored") == 8:
        name = "pillow"
    if name and name not in get_decoder(syntax).available_plugins:
        package = "pylibjpeg-libjpeg (GPL)" if syntax == uid.JPEGExtended12Bit else name
        raise RejectedFilm(
            "pixels_undecodable",
            f"{syntax.name} of that depth needs {package}, which is not installed.",
        )
    return name


def _check_length(num_bytes: int, expected: int) -> None:
    """Refuse uncompressed pixels that are not as long as the header says.

    Longer ones too: with wrong Rows or Columns they would make a sheared picture.
    """
    if num_bytes < expected:
        raise RejectedFilm("truncated", f"It has {num_bytes} bytes of pixels of {expected}.")
    if num_bytes > expected + expected % 2:
        raise RejectedFilm(
            "wrong_shape", f"It has {num_bytes} bytes of pixels, its header says {expected}."
        )


def _check_frame(data: bytes, syntax: uid.UID, wanted: _Frame) -> None:
    """Refuse a compressed stream that is damaged at its beginning or end, or another picture."""
    if syntax == uid.RLELossless:
        _check_rle(data, wanted)
        return
    frame = _jpeg2000_frame(data) if syntax in _JPEG2000 else _jpeg_frame(data, syntax)
    if frame is None:
        raise RejectedFilm("pixels_undecodable", f"Its {syntax.name} stream is damaged.")
    if frame[:2] != wanted[:2]:
        raise _other_shape(frame[:2], wanted[:2])
    if frame.samples != wanted.samples:
        raise RejectedFilm("colour", f"Its compressed pixels have {frame.samples} samples.")
    if not 2 <= frame.bits <= wanted.bits:
        raise RejectedFilm(
            "bit_depth", f"Its compressed pixels have {frame.bits} bits, its header {wanted.bits}."
        )
    if not data.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise RejectedFilm("truncated", "Its compressed pixels have no end.")


def _check_rle(data: bytes, wanted: _Frame) -> None:
    """Refuse RLE that does not unpack to one byte for each pixel in each segment.

    The decoder would unpack longer ones, however long, and cut the picture off. One byte more is
    the padding to an even length.

    Source: DICOM PS3.5 G.3 and G.5.
    """
    num_segments, *starts = struct.unpack_from("<16I", data)
    num_pixels = wanted.rows * wanted.columns
    if num_segments != wanted.bits // 8:
        raise RejectedFilm("bit_depth", "Its RLE segments are not as many as its bytes per pixel.")
    ends = [*starts[1:num_segments], len(data)]
    for offset, end in zip(starts[:num_segments], ends, strict=True):
        length = 0
        while offset < end and length <= num_pixels + 1:
            control = data[offset]
            if control < 128:  # that many and one bytes as they are
                length += min(control + 1, end - offset - 1)
                offset += control + 2
            elif control > 128:  # one byte repeated
                length += 257 - control
                offset += 2
            else:
                offset += 1
        if length < num_pixels:
            raise RejectedFilm("truncated", f"It unpacks to {length} pixels of {num_pixels}.")
        if length > num_pixels + 1:
            raise RejectedFilm("wrong_shape", f"It unpacks to more than {num_pixels} pixels.")


def _jpeg_frame(data: bytes, syntax: uid.UID) -> _Frame | None:
    """Walk the segments of a JPEG or JPEG-LS stream up to its scan; None if that fails.

    Source: ITU-T T.81 B.1 and B.2.
    """
    frame = None
    offset = 2 if data.startswith(b"\xff\xd8") else len(data)
    while offset + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, offset)
        if marker == 0xFFFF:  # a fill byte
            offset += 1
            continue
        if marker == _START_OF_SCAN:
            return frame
        if marker < 0xFFC0 or 0xFFD0 <= marker <= 0xFFD9 or length < 2:
            return None
        if marker in _FRAME_MARKERS[syntax]:
            if frame is not None or length != 11 or offset + 13 > len(data):
                # Eight bytes and three for each component: more are a colour picture.
                return None
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, offset + 4)
            frame = _Frame(rows, columns, samples, bits)
        offset += 2 + length
    return None


def _jpeg2000_frame(data: bytes) -> _Frame | None:
    """Read the SIZ segment of a JPEG 2000 stream; None if it makes no sense.

    Source: ITU-T T.800 A.5.1.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 43:
        return None
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, samples, depth = (
        struct.unpack_from(">8IHB", data, start + 8)
    )
    if not tile_width or not tile_height or left >= right or top >= bottom:
        return None
    num_tiles = math.ceil((right - tile_left) / tile_width) * math.ceil(
        (bottom - tile_top) / tile_height
    )
    if num_tiles > _MAX_TILES:  # each takes memory before a pixel is decoded
        return None
    return _Frame(bottom - top, right - left, samples, (depth & 0x7F) + 1)


def _other_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> RejectedFilm:
    return RejectedFilm("wrong_shape", f"Its pixels have shape {found}, its header says {wanted}.")

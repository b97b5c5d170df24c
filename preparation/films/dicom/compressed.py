"""What a compressed stream says about itself, looked at before it is decoded.

Decoders are C and C++ libraries that were written for whole files. What they do with damaged ones
(grey filling for a missing end, an abort of the process, a picture of another size) is kept from
them: the stream's own header must be well-formed and agree with that of the file.
"""

import math
import struct
from typing import NamedTuple

from pydicom import uid

from preparation.films.film import RejectedFilm

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
_MAX_TILES = 4096


class Frame(NamedTuple):
    """Size, samples per pixel and bits per sample of a picture, as its stream or header says."""

    rows: int
    columns: int
    samples: int
    bits: int


def check_frame(data: bytes, syntax: uid.UID, wanted: Frame) -> None:
    """Refuse a compressed stream that is damaged at its beginning or end, or another picture."""
    if syntax == uid.RLELossless:
        _check_rle(data, wanted)
        return
    frame = _jpeg2000_frame(data) if syntax in _JPEG2000 else _jpeg_frame(data, syntax)
    if frame is None:
        raise RejectedFilm("pixels_undecodable", f"Its {syntax.name} stream is damaged.")
    if frame[:2] != wanted[:2]:
        raise other_shape(frame[:2], wanted[:2])
    if frame.samples != wanted.samples:
        raise RejectedFilm("colour", f"Its compressed pixels have {frame.samples} samples.")
    if not 2 <= frame.bits <= wanted.bits:
        raise RejectedFilm(
            "bit_depth", f"Its compressed pixels have {frame.bits} bits, its header {wanted.bits}."
        )
    if not data.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise RejectedFilm("truncated", "Its compressed pixels have no end.")


def _check_rle(data: bytes, wanted: Frame) -> None:
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


def _jpeg_frame(data: bytes, syntax: uid.UID) -> Frame | None:
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
            frame = Frame(rows, columns, samples, bits)
        offset += 2 + length
    return None


def _jpeg2000_frame(data: bytes) -> Frame | None:
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
    return Frame(bottom - top, right - left, samples, (depth & 0x7F) + 1)


def other_shape(found: tuple[int, ...], wanted: tuple[int, ...]) -> RejectedFilm:
    """The refusal of pixels of another (Rows, Columns) than the header has."""
    return RejectedFilm("wrong_shape", f"Its pixels have shape {found}, its header says {wanted}.")

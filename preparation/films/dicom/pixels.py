"""The stored pixels of a DICOM film: a decoder for each transfer syntax, its result checked."""

import os
from typing import Any, BinaryIO

import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, pixel_array

from preparation.films.dicom.compressed import Frame, check_frame, other_shape
from preparation.films.dicom.header import TAGS, whole
from preparation.films.film import MAX_PIXELS, RejectedFilm

# The one decoder that is used for a syntax: pydicom would try one after the other on a damaged
# stream, until one is lenient enough. Of 1,500 damaged streams, gdcm aborted the process for 17 of
# JPEG 2000 and for every tenth of baseline JPEG. For what only gdcm reads, lossless JPEG and
# JPEG-LS, it aborted for none of 15,000 each, once they had passed the checks below.
DECODERS = {
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
# Bytes of a file that its pixels cannot account for.
_MAX_OTHER_BYTES = 1 << 26


def decode(stream: BinaryIO, syntax: uid.UID) -> NDArray[Any]:
    """Return the stored pixels of an open file, (Rows, Columns) of 8- or 16-bit integers.

    The header must have passed `header.check_picture`.

    Raises:
        RejectedFilm: The pixels are missing, damaged, cut off, or not what the header says.
    """
    check_size(stream)
    stream.seek(0)
    dataset = pydicom.dcmread(stream, specific_tags=[*TAGS, "PixelData"])
    if "PixelData" not in dataset:
        raise RejectedFilm("truncated", "It ends within its pixels.")
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    allocated = whole(dataset, "BitsAllocated") or 0
    try:
        if syntax.is_encapsulated:
            data = next(generate_frames(dataset.PixelData, number_of_frames=1))
            check_frame(data, syntax, Frame(rows, columns, 1, allocated))
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
        raise other_shape(stored.shape, (rows, columns))
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        raise RejectedFilm("bit_depth", f"Its pixels are {stored.dtype}; expected 8 or 16 bits.")
    return stored


def check_size(stream: BinaryIO) -> None:
    """Refuse a file that has more bytes than any film."""
    num_bytes = stream.seek(0, os.SEEK_END)
    if num_bytes > 2 * MAX_PIXELS + _MAX_OTHER_BYTES:
        raise RejectedFilm("too_large", f"The file has {num_bytes} bytes, more than any film.")


def _decoder(syntax: uid.UID, dataset: Any) -> str:
    """Name of the decoder to use, empty where nothing is compressed."""
    name = DECODERS[syntax]
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

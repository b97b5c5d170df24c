"""Small sound DICOM films in the encodings that hospitals use, and ways to damage their headers."""

import io
import struct
import tempfile
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pydicom
from byte_changes import (
    BYTE_CHANGES,
    Base,
    Change,
    flip_bits,
    insert,
    overwrite,
    remove,
)
from PIL import Image
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import encapsulate

# Planted into the small films; no sentence of a refusal may hold one of them.
IDENTIFIERS = ("MRN-4711", "Doe^Jane", "19700101")
SHAPE = (64, 48)

_EDITED = [
    "TransferSyntaxUID", "Modality", "BodyPartExamined", "ViewPosition", "PatientOrientation",
    "PatientID", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
    "PhotometricInterpretation", "PixelRepresentation", "NumberOfFrames", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept", "PixelSpacing",
    "ImagerPixelSpacing", "PixelPaddingValue", "BurnedInAnnotation", "LUTDescriptor", "LUTData",
    "ModalityLUTSequence", "VOILUTSequence", "PixelData",
]  # fmt: skip
_TEXTS = [
    "", "0", "1", "-1", "2", "NaN", "inf", "1e400", "-1e-300", "abc", "1\\2\\3", "9" * 16, "\0",
    "RGB", "PALETTE COLOR", "YBR_FULL_422", "MONOCHROME1", "SIGMOID", "LINEAR_EXACT", "LL", "CT",
    "YES", "\xff\xfe", *(str(value) for value in uid.AllTransferSyntaxes),
]  # fmt: skip
_VRS = b"AE AS CS DA DS DT FD FL IS LO OB OW PN SH SL SQ SS TM UI UL UN US UT ZZ".split()
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT")


class Element(NamedTuple):
    """Where an attribute lies in a file: its VR (none if implicit), length field and value."""

    vr: int | None
    length: int
    length_format: str
    value: int
    end: int


def _edit_number(random: Random, data: bytes) -> bytes:
    """Other bytes for an attribute, as many as before."""
    found = _find(random, data)
    if found is None:
        return flip_bits(random, data)
    size = min(found.end - found.value, 8)
    value = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))
    if size == 2:
        value = random.choice((value, struct.pack("<H", random.randrange(130))))
    return data[: found.value] + value + data[found.value + size :]


def _edit_text(random: Random, data: bytes) -> bytes:
    """Another text for an attribute, with its length."""
    found = _find(random, data)
    if found is None:
        return insert(random, data)
    text = random.choice(_TEXTS).encode("latin-1")
    text += b" " * (len(text) % 2)
    length = struct.pack(found.length_format, len(text))
    return (
        data[: found.length]
        + length
        + data[found.length + len(length) : found.value]
        + text
        + data[found.end :]
    )


def _edit_length(random: Random, data: bytes) -> bytes:
    found = _find(random, data)
    if found is None:
        return remove(random, data)
    size = struct.calcsize(found.length_format)
    old = struct.unpack_from(found.length_format, data, found.length)[0]
    new = random.choice((0, 1, old + 1, old - 1, 2 * old, random.getrandbits(8 * size), -1))
    length = struct.pack(found.length_format, new % (1 << 8 * size))
    return data[: found.length] + length + data[found.length + size :]


def _edit_vr(random: Random, data: bytes) -> bytes:
    found = _find(random, data)
    if found is None or found.vr is None:
        return overwrite(random, data)
    return data[: found.vr] + random.choice(_VRS) + data[found.vr + 2 :]


DICOM_CHANGES: tuple[Change, ...] = (
    *BYTE_CHANGES,
    _edit_number, _edit_number, _edit_number, _edit_text, _edit_text, _edit_length, _edit_vr,
)  # fmt: skip


def _find(random: Random, data: bytes) -> Element | None:
    """One of the edited attributes, if the file has it; its first occurrence."""
    tag = tag_for_keyword(random.choice(_EDITED)) or 0
    for order in "<>":
        start = data.find(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF), 128)
        if start < 0 or start + 12 > len(data):
            continue
        vr = data[start + 4 : start + 6]
        explicit = vr.isalpha() and vr.isupper()
        long = vr in _LONG_VRS
        length_at = start + (4 if not explicit else 8 if long else 6)
        length_format = f"{order}H" if explicit and not long else f"{order}I"
        length = struct.unpack_from(length_format, data, length_at)[0]
        value = length_at + struct.calcsize(length_format)
        return Element(
            start + 4 if explicit else None, length_at, length_format, value,
            min(value + length, len(data)) if length != 0xFFFFFFFF else value,
        )  # fmt: skip
    return None


def small_films() -> list[Base]:
    """Films of 64x48 pixels, one for each encoding that hospitals use."""
    native, codes = _film(), {"rle": uid.RLELossless, "jpeg2000_lossless": uid.JPEG2000Lossless}
    films = {"explicit": native, "signed_sigmoid": _film(signed=True), "luts": _film(luts=True)}
    for name, syntax in codes.items():
        films[name] = _film()
        films[name].compress(syntax)
    films["jpeg2000_lossy"] = _film()
    films["jpeg2000_lossy"].compress(uid.JPEG2000, j2k_cr=[8])
    films["jpeg_baseline"] = _jpeg_baseline(_film())
    written = {name: _bytes_of(film) for name, film in films.items()}
    for name, syntax in (
        ("implicit", uid.ImplicitVRLittleEndian),
        ("big_endian", uid.ExplicitVRBigEndian),
        ("jpegls", uid.JPEGLSLossless),
        ("jpegls_near", uid.JPEGLSNearLossless),
        ("jpeg_lossless", uid.JPEGLosslessSV1),
    ):
        written[name] = _transcoded(written["explicit"], syntax)
    return [Base(name, data, SHAPE) for name, data in written.items()]


def _film(signed: bool = False, luts: bool = False) -> pydicom.Dataset:
    """A 12-bit chest of two dark ellipses, with a window, or tables, or signed values."""
    rows, columns = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    lungs = ((np.abs(columns) - 0.5) / 0.3) ** 2 + (rows / 0.7) ** 2 < 1
    noise = np.random.default_rng(0).integers(0, 60, SHAPE)
    pixels = np.where(lungs, 900, 2600) + noise + (200 * rows).astype(int)
    film = pydicom.Dataset()
    film.file_meta = pydicom.dataset.FileMetaDataset()
    film.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = uid.ComputedRadiographyImageStorage, "1.2.3.4"
    film.Modality, film.PatientID, film.PatientName = "CR", IDENTIFIERS[0], IDENTIFIERS[1]
    film.PatientBirthDate, film.BodyPartExamined = IDENTIFIERS[2], "CHEST"
    film.ViewPosition, film.PatientOrientation = "PA", ["L", "F"]
    film.SeriesDescription, film.BurnedInAnnotation = "Thorax PA", "NO"
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.Rows, film.Columns = SHAPE
    film.PixelSpacing, film.ImagerPixelSpacing = [0.2, 0.2], [0.22, 0.22]
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
    film.PixelRepresentation = int(signed)
    film.NumberOfFrames = 1
    film.WindowCenter, film.WindowWidth = [1800, 2000], [3000, 1000]
    film.RescaleSlope, film.RescaleIntercept = 1, 0
    if signed:
        film.VOILUTFunction, film.PixelPaddingValue = "SIGMOID", -2000
        film.WindowCenter, film.WindowWidth = 0, 2500
    if luts:
        film.PhotometricInterpretation = "MONOCHROME1"
        for tag in ("ModalityLUTSequence", "VOILUTSequence"):
            table = pydicom.Dataset()
            table.LUTDescriptor = [4096, 0, 12]
            table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
            setattr(film, tag, [table])
    film.PixelData = (pixels - 2000 * signed).astype("<i2").tobytes()
    return film


def _jpeg_baseline(film: pydicom.Dataset) -> pydicom.Dataset:
    pixels = np.frombuffer(film.PixelData, "<u2").reshape(SHAPE) // 16
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=90)
    film.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    film.BitsAllocated, film.BitsStored, film.HighBit = 8, 8, 7
    film.WindowCenter, film.WindowWidth = 112, 190
    film.PixelData = encapsulate([stream.getvalue()])
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = True
    return film


def _bytes_of(film: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    film.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _transcoded(data: bytes, syntax: uid.UID) -> bytes:
    """Another encoding by gdcm, which can write what pydicom cannot."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.dcm")
        path.write_bytes(data)
        reader, change, codec = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), None
        reader.SetFileName(str(path))
        if not reader.Read():
            raise SystemExit("gdcm cannot read the film that pydicom has written.")
        if syntax == uid.JPEGLSNearLossless:
            codec = gdcm.JPEGLSCodec()
            codec.SetLossless(False)
            codec.SetLossyError(3)
            change.SetUserCodec(codec)
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise SystemExit(f"gdcm cannot write {syntax.name}.")
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
        return path.read_bytes()

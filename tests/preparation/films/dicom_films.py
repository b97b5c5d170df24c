"""Writes small DICOM films for tests, and reads them."""

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileMetaDataset

from preparation.films.dicom.film_reader import DicomFilmReader
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import FilmFile, RejectedFilm

PERMISSIVE = DicomFilmReader(
    DicomOptions(view=("any",), without_body_part="keep", orientation="ignore")
)


def dataset_of(pixels, **tags):
    """A sound PA chest film; a tag given as None is left out."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = tags.pop("syntax", uid.ExplicitVRLittleEndian)
    ds.SOPClassUID, ds.SOPInstanceUID = uid.ComputedRadiographyImageStorage, "1.2.3.4"
    bits = 8 * pixels.dtype.itemsize
    values = {
        "Modality": "CR",
        "PatientID": "MRN-4711 ",
        "PatientName": "Doe^Jane",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": tags.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
        **tags,
    }
    for name, value in values.items():
        if value is not None:
            setattr(ds, name, value)
    if pixels.dtype.itemsize == 1:
        ds["PixelData"].VR = "OB"
    return ds


def write(path, pixels, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset_of(pixels, **tags).save_as(path, enforce_file_format=True)
    return FilmFile(path.name, path, path.stat().st_size)


def ramp(low=0, high=4095, dtype=np.uint16, shape=(16, 20)):
    return np.linspace(low, high, shape[0] * shape[1]).astype(dtype).reshape(shape)


def refusal(file, reader=PERMISSIVE):
    with pytest.raises(RejectedFilm) as caught:
        reader(file)
    assert "4711" not in caught.value.sentence
    return caught.value.reason


def item(entries, first, bits, vr="US"):
    table = pydicom.Dataset()
    table.LUTDescriptor = [len(entries) % 65536, first, bits]
    value = np.asarray(entries, "<u2").tobytes() if vr == "OW" else [int(e) for e in entries]
    table.add_new("LUTData", vr, value)
    return [table]

"""A drawn film as a DICOM file, as the systems of different makers would store it."""

import datetime
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from phantom.chest.film import View
from phantom.chest.patient import ChestPatient

# The detector lies a little behind the patient, so its pixels show less than their size.
_MAGNIFICATION = 1.05
# openjpeg halves an image five times, and refuses one of which nothing would be left.
_SMALLEST_JPEG2000 = 32
_FIRST_DAY = datetime.date(2000, 1, 1)
_VIEW_POSITION = {"PA": "PA", "LATERAL": "LL"}
# To the right and downwards on the film: left and feet, or back and feet.
_ORIENTATION = {"PA": ["L", "F"], "LATERAL": ["P", "F"]}


@dataclass(frozen=True)
class Encoding:
    """How one film is stored.

    Attributes:
        modality: "CR" or "DX".
        bits: Stored per pixel: 8, 10, 12, 14 or 16.
        is_inverted: MONOCHROME1: black is the largest value.
        transfer_syntax: UID.
        window: (lowest, highest) stored values as shares of the largest possible one; what lies
            outside is never shown.
    """

    modality: str
    bits: int
    is_inverted: bool
    transfer_syntax: str
    window: tuple[float, float]


def draw_encoding(rng: np.random.Generator) -> Encoding:
    """Draw an encoding: most films uncompressed, two in five MONOCHROME1."""
    syntaxes = (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    )
    return Encoding(
        modality=str(rng.choice(("DX", "CR"), p=(0.65, 0.35))),
        bits=int(rng.choice((8, 10, 12, 14, 16), p=(0.1, 0.15, 0.4, 0.2, 0.15))),
        is_inverted=bool(rng.random() < 0.4),
        transfer_syntax=str(syntaxes[int(rng.choice(4, p=(0.68, 0.1, 0.11, 0.11)))]),
        window=(float(rng.uniform(0.0, 0.12)), float(rng.uniform(0.85, 1.0))),
    )


def _uid(*key: int | str) -> UID:
    """A UID that depends on the key only."""
    return generate_uid(entropy_srcs=["understudy-phantom-cxr", *(str(part) for part in key)])


def _identify(dataset: Dataset, patient: ChestPatient, view: View) -> None:
    """Who, when and which file. All of it is invented, and says so."""
    key = (patient.seed, patient.index, patient.visit.number)
    day = _FIRST_DAY + datetime.timedelta(days=37 * patient.visit.number)
    dataset.PatientID = f"PHANTOM-{patient.index:06d}"
    dataset.PatientName = f"Phantom^{patient.index:06d}"
    dataset.PatientSex = patient.sex
    dataset.PatientAge = f"{patient.age_years:03d}Y"
    dataset.PatientBirthDate = ""
    dataset.StudyInstanceUID = _uid("study", *key)
    dataset.SeriesInstanceUID = _uid("series", *key, view)
    dataset.SOPInstanceUID = _uid("instance", *key, view)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = f"{day:%Y%m%d}"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "120000"
    dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber, dataset.InstanceNumber = (1 if view == "PA" else 2), 1
    dataset.StudyDescription = "Phantom chest"


def film_dataset(
    film: NDArray[np.float32], patient: ChestPatient, view: View, encoding: Encoding
) -> Dataset:
    """Put a film into an uncompressed dataset.

    Args:
        film: (H, W) in [0, 1] as looked at.
        patient: Whose film it is.
        view: How it was taken.
        encoding: How it is stored; the transfer syntax is not applied here.
    """
    dataset = Dataset()
    _identify(dataset, patient, view)
    is_dx = encoding.modality == "DX"
    dataset.SOPClassUID = (
        DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    )
    dataset.Modality = encoding.modality
    dataset.Manufacturer = "Understudy phantom"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ImageComments = "Drawn by a program: synthetic, no patient, not for clinical use"
    dataset.BurnedInAnnotation = "NO"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = _VIEW_POSITION[view]
    dataset.PatientOrientation = _ORIENTATION[view]
    dataset.KVP = "120"
    pixel_mm = patient.visit.field_of_view_mm / len(film)
    dataset.PixelSpacing = [f"{pixel_mm:.6f}"] * 2
    dataset.PixelSpacingCalibrationType = "GEOMETRY"
    dataset.ImagerPixelSpacing = [f"{pixel_mm * _MAGNIFICATION:.6f}"] * 2
    dataset.EstimatedRadiographicMagnificationFactor = f"{_MAGNIFICATION}"
    if is_dx:
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageLaterality = "U"
        dataset.PixelIntensityRelationship = "LOG"
        dataset.PixelIntensityRelationshipSign = 1 if encoding.is_inverted else -1
        dataset.PresentationLUTShape = "INVERSE" if encoding.is_inverted else "IDENTITY"
        dataset.LossyImageCompression = "00"
    _store_pixels(dataset, film, encoding)
    return dataset


def _store_pixels(dataset: Dataset, film: NDArray[np.float32], encoding: Encoding) -> None:
    """Store grey values that window and inversion, in this order, turn into the film."""
    largest = 2**encoding.bits - 1
    low, high = (round(share * largest) for share in encoding.window)
    shown = 1 - film if encoding.is_inverted else film
    stored = np.rint(low + shown.astype(np.float64) * (high - low))
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if encoding.is_inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = film.shape
    dataset.BitsAllocated = 8 if encoding.bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = encoding.bits, encoding.bits - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "US"
    # PS3.3 C.11.2.1.2: the window's first and last grey value are centre - 0.5 -+ (width - 1) / 2.
    dataset.WindowCenter = f"{(low + high + 1) / 2}"
    dataset.WindowWidth = f"{high - low + 1}"
    dtype = "<u1" if encoding.bits == 8 else "<u2"
    dataset.PixelData = stored.astype(dtype).tobytes()


def file_bytes(dataset: Dataset, transfer_syntax: str) -> bytes:
    """The dataset as the bytes of a DICOM file, compressed if the transfer syntax says so.

    An image of less than 32 pixels a side is not compressed by JPEG 2000, but stored as it is. The
    same dataset gives the same bytes, as long as the JPEG 2000 encoder is the same version.
    """
    side = min(dataset.Rows, dataset.Columns)
    if transfer_syntax == JPEG2000Lossless and side < _SMALLEST_JPEG2000:
        transfer_syntax = ExplicitVRLittleEndian
    compressed = transfer_syntax in (RLELossless, JPEG2000Lossless)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if compressed else UID(transfer_syntax)
    meta.ImplementationClassUID = _uid("implementation")
    meta.ImplementationVersionName = "UNDERSTUDY"
    dataset.file_meta = meta
    if compressed:
        plugin = "pydicom" if transfer_syntax == RLELossless else "pylibjpeg"
        dataset.compress(transfer_syntax, encoding_plugin=plugin, generate_instance_uid=False)
    else:
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    stream: Any = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return bytes(stream.getvalue())

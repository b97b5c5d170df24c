"""A synthetic image as a DICOM file: CT, a digital radiograph, or a secondary capture.

Written by hand after the modules of PS3.3 and not by a library: highdicom has no writer of CT or of
radiographs. Every file is a study of an invented patient of its own, since images that were made
one by one are no volume and no series.
"""

import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.hounsfield import GreyScale
from provenance import __version__
from synthetic_marks import NOTICE, SOFTWARE, SYNTHESIZING_EQUIPMENT

Kind = Literal["ct", "dx", "sc"]
NAMES: dict[Kind, str] = {
    "ct": "CT Image",
    "dx": "Digital X-Ray Image, for presentation",
    "sc": "Secondary Capture Image",
}
_SOP_CLASSES: dict[Kind, str] = {
    "ct": "1.2.840.10008.5.1.4.1.1.2",
    "dx": "1.2.840.10008.5.1.4.1.1.1.1",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
}
_CHEST = ("51185008", "SCT", "Chest")
POSTERO_ANTERIOR = ("272479007", "SCT", "postero-anterior")
UNKNOWN_VIEW = ("261665006", "SCT", "Unknown")


@dataclass(frozen=True)
class Origin:
    """What all files of a set have in common; drawn once, when the set is begun.

    Attributes:
        uid: 32 random hex digits, from which all UIDs and patients of the set are made: two sets
            share none, also where checkpoint and seed are the same.
        date, time: When the set was begun, as DICOM writes them, UTC.
    """

    uid: str
    date: str
    time: str

    @classmethod
    def new(cls) -> "Origin":
        """Of a set that begins now."""
        now = datetime.now(UTC)
        return cls(secrets.token_hex(16), f"{now:%Y%m%d}", f"{now:%H%M%S}")


@dataclass(frozen=True)
class Described:
    """One image and what its file says of it.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) colour, uint8.
        name: Of the image in its set.
        generator: Class of the network that made it.
        comment: What is assumed, such as the size of a pixel; sentences.
        spacing_mm: (row, column) distance of pixels.
        thickness_mm: Of a slice; None where it is not known.
        body_part: A word of DICOM's list; "" where it is not known.
        view: Code of the view of a film.
    """

    pixels: NDArray[np.uint8]
    name: str
    generator: str
    comment: str = ""
    spacing_mm: tuple[float, float] | None = None
    thickness_mm: float | None = None
    body_part: str = ""
    view: tuple[str, str, str] = UNKNOWN_VIEW


def dicom_bytes(
    image: Described, kind: Kind, origin: Origin, scale: GreyScale | None = None
) -> bytes:
    """An image as the bytes of a DICOM file, uncompressed.

    Args:
        image: The image.
        kind: What it is written as.
        origin: Of its set.
        scale: CT: which HU its greys stand for.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    _identify(dataset, image, kind, origin)
    _say_synthetic(dataset, image)
    _store_pixels(dataset, image.pixels, scale if kind == "ct" else None)
    if kind == "ct":
        assert scale is not None
        _describe_ct(dataset, image, scale, origin)
    elif kind == "dx":
        _describe_dx(dataset, image)
    else:
        dataset.ConversionType = "SYN"
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        dataset.PatientOrientation = ""
        if image.spacing_mm is not None:
            dataset.PixelSpacing = _decimals(image.spacing_mm)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation", __version__)
    meta.ImplementationVersionName = f"{SOFTWARE.upper()} {__version__}"[:16]
    dataset.file_meta = meta
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _identify(dataset: Any, image: Described, kind: Kind, origin: Origin) -> None:
    """Patient, study, series and instance (PS3.3 C.7.1 to C.7.6, C.12.1): all invented and new."""
    from pydicom.uid import UID

    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(_SOP_CLASSES[kind])
    for level in ("Study", "Series", "SOP"):
        setattr(dataset, f"{level}InstanceUID", _uid(origin.uid, level, image.name))
    # A PatientID of another set would make two patients one in an archive.
    dataset.PatientID = f"SYN-{origin.uid[:12]}-{image.name.removeprefix('synthetic_')}"
    dataset.PatientName = f"Synthetic^{image.name.removeprefix('synthetic_')}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.ContentDate = origin.date
    dataset.StudyTime = dataset.ContentTime = origin.time
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, 1
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality = {"ct": "CT", "dx": "DX", "sc": "OT"}[kind]
    dataset.Manufacturer = SOFTWARE
    dataset.ManufacturerModelName = image.generator
    dataset.SoftwareVersions = __version__
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    if image.body_part:
        dataset.BodyPartExamined = image.body_part
    elif kind != "dx":  # which says it by Image Laterality
        dataset.Laterality = ""


def _say_synthetic(dataset: Any, image: Described) -> None:
    """In four places, since de-identifiers remove some of them (PS3.3 C.12.1, C.7.6.1)."""
    dataset.SyntheticData = "YES"
    dataset.SeriesDescription = NOTICE
    dataset.ImageComments = f"{NOTICE} {image.comment}".strip()
    dataset.DerivationDescription = NOTICE
    equipment = _item(
        PurposeOfReferenceCodeSequence=[_code(SYNTHESIZING_EQUIPMENT)],
        Manufacturer=SOFTWARE,
        ManufacturerModelName=image.generator,
        SoftwareVersions=__version__,
        ContributionDescription=NOTICE,
    )
    dataset.ContributingEquipmentSequence = [equipment]


def _store_pixels(dataset: Any, pixels: NDArray[np.uint8], scale: GreyScale | None) -> None:
    """Image Pixel (PS3.3 C.7.6.3): 8 bits, or 16 where greys are stored as CT numbers."""
    colour = pixels.ndim == 3
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    bits = 8 if scale is None else 16
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    stored = pixels if scale is None else scale.stored(pixels).astype("<u2")
    content = np.ascontiguousarray(stored).tobytes()
    dataset.PixelData = content + bytes(len(content) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"


def _describe_ct(dataset: Any, image: Described, scale: GreyScale, origin: Origin) -> None:
    """Frame of Reference, Image Plane, CT Image, VOI LUT (PS3.3 C.7.4.1, C.7.6.2, C.8.2.1, C.11.2).

    An axial slice whose middle lies at 0, rows to the back, columns to the left.
    """
    assert image.spacing_mm is not None
    row_mm, column_mm = image.spacing_mm
    height, width = image.pixels.shape
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = _uid(origin.uid, "frame", image.name)
    dataset.PositionReferenceIndicator = ""
    dataset.PixelSpacing = _decimals(image.spacing_mm)
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    corner = (-(width - 1) / 2 * column_mm, -(height - 1) / 2 * row_mm, 0.0)
    dataset.ImagePositionPatient = _decimals(corner)
    dataset.SliceThickness = "" if image.thickness_mm is None else _decimal(image.thickness_mm)
    dataset.KVP = dataset.AcquisitionNumber = ""
    dataset.RescaleIntercept, dataset.RescaleSlope = _decimals((scale.intercept, scale.slope))
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = _decimals((scale.center_hu, scale.width_hu))


def _describe_dx(dataset: Any, image: Described) -> None:
    """DX Series, Anatomy, Image, Detector and Positioning, Acquisition Context (PS3.3 C.8.11)."""
    assert image.spacing_mm is not None
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_code(_CHEST)]
    dataset.PatientOrientation = ["L", "F"]
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    # PS3.3 C.11.2.1.2: of 0 to 255 these show 0 as black, 255 as white, and all between linearly.
    dataset.WindowCenter, dataset.WindowWidth = "128", "256"
    dataset.DetectorType = dataset.PositionerType = ""
    dataset.ImagerPixelSpacing = _decimals(image.spacing_mm)
    view = _code(image.view)
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]
    dataset.AcquisitionContextSequence = []


def _code(code: tuple[str, str, str]) -> Any:
    value, scheme, meaning = code
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _uid(*key: str) -> Any:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[SOFTWARE, *key])


def _decimals(values: Sequence[float]) -> list[str]:
    return [_decimal(value) for value in values]


def _decimal(value: float) -> str:
    """A number as a Decimal String: at most 16 characters."""
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)

"""A label map as a DICOM Segmentation, which belongs into the record of the patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from preparation.volumes.dicom_file import as_filed
from provenance import __version__, whole_file

_ANATOMY = ("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")
# Category and type of classes by their usual names, in SNOMED CT.
_CODES = {
    "kidney": (_ANATOMY, ("64033007", "SCT", "Kidney")),
    "liver": (_ANATOMY, ("10200004", "SCT", "Liver")),
    "spleen": (_ANATOMY, ("78961009", "SCT", "Spleen")),
    "pancreas": (_ANATOMY, ("15776009", "SCT", "Pancreas")),
    "lung": (_ANATOMY, ("39607008", "SCT", "Lung")),
    "heart": (_ANATOMY, ("80891009", "SCT", "Heart")),
    "stomach": (_ANATOMY, ("69695003", "SCT", "Stomach")),
    "prostate": (_ANATOMY, ("41216001", "SCT", "Prostate")),
    "brain": (_ANATOMY, ("12738006", "SCT", "Brain")),
    "tumour": (_ABNORMAL, ("108369006", "SCT", "Neoplasm")),
    "cyst": (_ABNORMAL, ("367643001", "SCT", "Cyst")),
}
_PRIVATE_SCHEME = "99UNDERSTUDY"


def write_seg(
    path: Path,
    paths: Sequence[Path],
    labels: NDArray[np.uint8],
    class_names: Sequence[str],
    checkpoint_sha256: str,
) -> list[str]:
    """Write a series' label map as a binary Segmentation that refers to its slices.

    It carries the patient and the study of the series, as the standard asks for; its own UIDs are
    functions of the checkpoint and the slices.

    Args:
        path: Ends in `.dcm`.
        paths: The series' files, from head to feet.
        labels: (S, H, W) as `canonical` turns slices, in the order of `paths`.
        class_names: Of the labels 0, 1, ...
        checkpoint_sha256: Of the model.

    Returns:
        Sentences on what the series does not tell.

    Raises:
        Exception: The headers lack what a Segmentation needs; highdicom raises any kind.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    sources = [pydicom.dcmread(one, stop_before_pixels=True) for one in paths]
    notes = []
    if not sources[0].get("FrameOfReferenceUID"):
        notes.append(
            "Names no frame of reference, so the Segmentation has one of its own; it refers to the "
            "slices all the same."
        )
    for one in sources:
        _fill_in(one, sources)
    planes = [as_filed(one, of) for one, of in zip(labels, sources, strict=True)]
    algorithm = hd.AlgorithmIdentificationSequence(
        name="Understudy predict.py",
        version=f"{__version__}, checkpoint {checkpoint_sha256[:12]}",
        family=codes.cid7162.ArtificialIntelligence,
    )
    described = []
    for number, name in enumerate(class_names[1:], start=1):
        category, kind = _CODES.get(name, (_ANATOMY, (_short(name), _PRIVATE_SCHEME, name[:64])))
        described.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=name[:64],
                segmented_property_category=hd.sr.CodedConcept(*category),
                segmented_property_type=hd.sr.CodedConcept(*kind),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        )
    of_slices = [checkpoint_sha256, *(str(one.SOPInstanceUID) for one in sources)]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(np.stack(planes)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(entropy_srcs=["series", *of_slices]),
        series_number=9000,
        sop_instance_uid=generate_uid(entropy_srcs=["instance", *of_slices]),
        instance_number=1,
        manufacturer="Understudy",
        manufacturer_model_name="predict.py",
        software_versions=__version__,
        device_serial_number=checkpoint_sha256[:16],
        omit_empty_frames=bool(labels.any()),  # where nothing is marked, that is said in full
        content_label="PREDICTION",
        content_description="Predicted by a network. Not for diagnosis.",
    )
    made.SeriesDescription = "Predicted segmentation, not for diagnosis"
    with whole_file(path) as stream:
        made.save_as(stream)
    return notes


def _fill_in(source: Any, series: Sequence[Any]) -> None:
    """Attributes that every Segmentation has, empty where the series does not tell them.

    Slices that do not tell their thickness are as thick as they lie apart.
    """
    if not source.get("FrameOfReferenceUID"):
        names = ["frame", str(source.SeriesInstanceUID)]
        source.FrameOfReferenceUID = generate_uid(entropy_srcs=names)
    if not source.get("SliceThickness"):
        first, *more = (np.array(one.ImagePositionPatient, float) for one in series[:2])
        source.SliceThickness = round(float(np.linalg.norm(more[0] - first)), 6) if more else 1
    for tag in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate",
                "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):  # fmt: skip
        if tag not in source:
            setattr(source, tag, "")


def _short(name: str) -> str:
    """A code value: at most 16 characters."""
    return "".join(letter for letter in name.upper() if letter.isalnum())[:16] or "CLASS"

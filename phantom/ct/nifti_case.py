"""Writes one phantom patient to disk, whole or not at all."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantom.ct.volume import PhantomPatient
from provenance import UserError, read_json, whole_file, write_json_atomic

PATIENT_FILE = "phantom_patient.json"
IMAGE_FILE, LABEL_FILE = "imaging.nii.gz", "segmentation.nii.gz"


def is_finished(case: Path) -> bool:
    """Whether a case was written to its end: both volumes in their recorded sizes."""
    path = case / PATIENT_FILE
    if not path.is_file():
        return False
    try:
        record = read_json(path)
        sizes = record["bytes"]
        return all((case / name).stat().st_size == sizes[name] for name in (IMAGE_FILE, LABEL_FILE))
    except (UserError, OSError, KeyError, TypeError):
        # Damaged or foreign: written again, it is whole.
        return False


def write_case(case: Path, patient: PhantomPatient) -> None:
    """Write a patient's two volumes, then the record that marks the case finished.

    Raises:
        UserError: The disk refuses (full, read-only); the sentence names the case.
    """
    spacing = (patient.slice_spacing_mm, patient.pixel_spacing_mm)
    try:
        case.mkdir(parents=True, exist_ok=True)
        # A record of an earlier, damaged write must not vouch for what is being replaced.
        (case / PATIENT_FILE).unlink(missing_ok=True)
        sizes = {
            name: _write_nifti(case / name, volume, *spacing)
            for name, volume in ((IMAGE_FILE, patient.hounsfield), (LABEL_FILE, patient.labels))
        }
        write_json_atomic(
            case / PATIENT_FILE, {"synthetic": True, **patient.description, "bytes": sizes}
        )
    except OSError as error:
        raise UserError(
            f"{case}: cannot be written ({error.strerror or error}). Cases before it are kept; "
            "make room or pass another --out, then run the same command again to continue."
        ) from error


def _write_nifti(path: Path, volume: NDArray[Any], slice_mm: float, pixel_mm: float) -> int:
    """Write (S, H, W) with KiTS19's axes (to the feet, back, left); returns the file's bytes."""
    import nibabel

    affine = np.zeros((4, 4))
    affine[0, 2] = affine[1, 1] = -pixel_mm
    affine[2, 0] = -slice_mm
    affine[3, 3] = 1
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    buffer = io.BytesIO()
    # No time stamp and no name inside: the same patient gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=buffer, mtime=0) as stream:
        image.to_stream(stream)
    content = buffer.getbuffer()
    with whole_file(path) as whole:
        whole.write(content)
    return len(content)

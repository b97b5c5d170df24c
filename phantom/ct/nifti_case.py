"""Writes one phantom patient to disk, whole or not at all, and knows a set from another folder."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantom.ct.volume import PhantomPatient
from provenance import UserError, __version__, read_json, whole_file, write_json_atomic

SETTINGS_FILE = "phantom.json"
PATIENT_FILE = "phantom_patient.json"
IMAGE_FILE, LABEL_FILE = "imaging.nii.gz", "segmentation.nii.gz"
_FORMAT = "understudy-phantom-ct"
# Raised whenever the same settings give other voxels, so that a set is never half old.
_DRAWING_VERSION = 1


def claim_folder(out: Path, settings: dict[str, int]) -> None:
    """Make the folder this set's, or see that it is.

    Raises:
        UserError: It is a file, holds something else, or a phantom set of other settings.
    """
    wanted: dict[str, Any] = {
        "format": _FORMAT,
        "drawing_version": _DRAWING_VERSION,
        **settings,
    }
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file, expected a folder. Nothing was written; pass another.")
    path = out / SETTINGS_FILE
    if path.exists():
        found = read_json(path)
        found = found if isinstance(found, dict) else {}
        if found.get("format") != _FORMAT:
            raise UserError(
                f"{path}: is not a phantom set's. Nothing was written; pass another --out."
            )
        other = [
            f"{key} {found.get(key)} instead of {value}"
            for key, value in wanted.items()
            if found.get(key) != value
        ]
        if other:
            raise UserError(
                f"{out}: holds a phantom set of other settings ({', '.join(other)}). Nothing was "
                "written; use the same settings to continue it, or another --out."
            )
        return
    # What an interrupted first write of the settings leaves is no foreign content.
    foreign = (
        [p.name for p in out.iterdir() if not p.name.startswith(".phantom")] if out.exists() else []
    )
    if foreign:
        raise UserError(
            f"{out}: holds {sorted(foreign)[0]!r} and {len(foreign) - 1} more, but no "
            f"{SETTINGS_FILE}, so it is not a phantom set. Nothing was written; pass an empty or "
            "new folder as --out."
        )
    note = "Drawn by a program: synthetic, nobody's anatomy, not for clinical conclusions."
    write_json_atomic(
        path,
        {**wanted, "synthetic": True, "note": note, "software_version": __version__},
    )


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
        for stale in case.glob(".*.part"):
            stale.unlink(missing_ok=True)
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

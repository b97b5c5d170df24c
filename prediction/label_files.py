"""Label maps in the geometry of their source: NIfTI for volumes, PNG for pictures."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from display.png import save_png
from prediction.volumes import SliceInput
from preparation.volumes.dicom_file import as_filed, normal_of, read_dicom
from provenance import whole_file

Labels = npt.NDArray[np.uint8]

_DESCRIBED = b"Predicted label map. Not for diagnosis."


def write_labels(path: Path, source: Path, read: SliceInput, labels: Labels) -> None:
    """Write the label map of one item: of its own shape, spacing, orientation and place.

    A NIfTI file has the two affines of its source with their codes, and nothing else of its header,
    whose texts may name somebody.

    Args:
        path: Ends in `.nii.gz` or `.png`.
        source: The item's file, or the first of its series.
        read: What was made of the item.
        labels: (S, H, W), as the source's slices lie in our axes.
    """
    if read.grid is not None:
        _write_nifti(path, _as_nifti(source, read.grid.in_file_axes(labels)))
    elif read.paths:
        _write_nifti(path, _of_series(read.paths, labels))
    else:
        save_png(path, labels[0])


def _as_nifti(source: Path, labels: Labels) -> Any:
    header: Any = nib.load(source).header
    image: Any = nib.Nifti1Image(np.ascontiguousarray(labels), None)
    image.header.set_xyzt_units(*header.get_xyzt_units())
    image.header["pixdim"][:4] = header["pixdim"][:4]  # the first is the handedness of the qform
    for name in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
                 "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):  # fmt: skip
        image.header[name] = header[name]
    return image


def _of_series(paths: tuple[Path, ...], labels: Labels) -> Any:
    """Axes of the DICOM files: columns, rows, then slices from feet to head."""
    headers = [read_dicom(path)[0] for path in reversed(paths)]
    planes = [as_filed(one, of) for one, of in zip(labels[::-1], headers, strict=True)]
    image: Any = nib.Nifti1Image(np.stack(planes).transpose(2, 1, 0), affine_of(headers))
    image.header.set_xyzt_units("mm")
    return image


def affine_of(headers: list[Any]) -> NDArray[np.float64]:
    """From (column, row, slice) of a series to mm in NIfTI's axes: right, front and head.

    Source: DICOM PS3.3 C.7.6.2.1.1; its x and y run to the left and to the back.

    Args:
        headers: Of the slices, in their order.
    """
    first, last = (np.array(one.ImagePositionPatient, float) for one in (headers[0], headers[-1]))
    across, down = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    spacing = headers[0].get("PixelSpacing")
    row_mm, column_mm = (float(v) for v in spacing) if spacing else (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * column_mm, down * row_mm
    several = len(headers) > 1
    affine[:3, 2] = (last - first) / (len(headers) - 1) if several else normal_of(headers[0])
    affine[:3, 3] = first
    turned: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return turned


def _write_nifti(path: Path, image: Any) -> None:
    image.header.set_intent("label")
    image.header["descrip"] = _DESCRIBED
    # No time stamp and no name inside: the same labels give the same bytes.
    with whole_file(path) as stream, gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
        image.to_stream(packed)

"""A synthetic slice, or its label map, as a NIfTI file."""

import gzip
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.hounsfield import GreyScale
from synthetic_marks import NOTICE, as_json


def nifti_bytes(
    pixels: NDArray[np.uint8],
    spacing_mm: tuple[float, float],
    thickness_mm: float,
    scale: GreyScale | None = None,
    notice: str = NOTICE,
) -> bytes:
    """One axial slice as the bytes of a `.nii.gz`: int16 HU, or uint8 where greys have no HU.

    Its middle lies at 0, as in the DICOM file of the same slice.

    Args:
        pixels: (H, W) greys or labels, rows to the back, columns to the left.
        spacing_mm: (row, column) distance of pixels.
        thickness_mm: Of the slice.
        scale: Which HU the greys stand for; None stores them as they are.
        notice: What the header says of it, at most 80 characters.
    """
    import nibabel

    row_mm, column_mm = spacing_mm
    height, width = pixels.shape
    # NIfTI's x and y run to the right and to the front, against our columns and rows.
    affine = np.diag([-column_mm, -row_mm, thickness_mm, 1.0])
    affine[:2, 3] = (width - 1) / 2 * column_mm, (height - 1) / 2 * row_mm
    values, slope, intercept = _stored(pixels, scale)
    image: Any = nibabel.Nifti1Image(values.T[..., None], affine)
    image.header.set_slope_inter(slope, intercept)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = notice.encode()
    told = json.dumps(as_json(notice)).encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", told))
    buffer = io.BytesIO()
    # No time stamp and no name inside: the same image gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        image.to_stream(stream)
    return buffer.getvalue()


def _stored(
    pixels: NDArray[np.uint8], scale: GreyScale | None
) -> tuple[NDArray[Any], float, float]:
    """Values as the file holds them, and by what they are rescaled; whole HU as they are."""
    if scale is None:
        return pixels, 1.0, 0.0
    if scale.in_whole_hu:
        return scale.hounsfield(scale.stored(pixels)).astype(np.int16), 1.0, 0.0
    return scale.stored(pixels).astype(np.int16), scale.slope, scale.intercept

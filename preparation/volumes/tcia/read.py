"""Reads a DICOM series and the NIfTI label map that lies on it."""

from dataclasses import replace

import nibabel as nib
import numpy as np

from preparation.volumes.dicom_folder import read_folder
from preparation.volumes.dicom_pixels import hounsfield_units
from preparation.volumes.dicom_series import Series, read_series
from preparation.volumes.nifti.case import read_mask
from preparation.volumes.nifti.file import NiftiFile
from preparation.volumes.nifti.grid import Grid, mask_on_image
from preparation.volumes.pixel_checks import all_marked_note, check_image
from preparation.volumes.volume import Job, Volume, is_synthetic
from synthetic_marks import mark_in_nifti


def grid_of_series(series: Series) -> Grid:
    """The voxels of a DICOM series as NIfTI places them: in mm to the right, front and head."""
    first, last = series.slices[0], series.slices[-1]
    pixel = first.spacing_mm or (1.0, 1.0)
    corner = first.corners(pixel)[0]
    steps = max(1, len(series.slices) - 1)
    along = (last.corners(pixel)[0] - corner) / steps if len(series.slices) > 1 else -first.normal
    down, across = first.turned_axes
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along, down * pixel[0], across * pixel[1]], axis=1)
    affine[:3, 3] = corner
    affine[:2] *= -1  # DICOM counts to the left and back, NIfTI to the right and front
    shape = (len(series.slices), *first.shape)
    axes = "".join(nib.aff2axcodes(affine))
    return Grid(shape, (0, 1, 2), (False,) * 3, True, axes, affine)


def read_series_and_mask(job: Job) -> Volume:
    """Read one study: int16 image and uint8 labels, slices from head to feet.

    Raises:
        SkipVolume: A series that is synthetic or cannot be used, or a label map that does not lie
            on it or holds values that mean nothing.
    """
    (path, mask_path), (name, mask_name) = job.files, job.names
    folder = read_folder(path, name)
    variable = job.options["variable"]
    series = read_series(folder, job.options["series"], is_image=True, variable=variable)
    num_synthetic = series.num_synthetic(job)
    file = NiftiFile.open(mask_path, mask_name)
    mask_is_synthetic = is_synthetic(mask_name, mark_in_nifti(mask_path, file.image.header), job)
    grid, _, on_it = mask_on_image(file.grid, grid_of_series(series), mask_name, name)
    image, said = hounsfield_units(series, name)
    mapped: set[int] = set()
    mask = read_mask(replace(file, grid=grid), job, mapped)
    notes = [*job.options["chose"], *series.notes, *said, *on_it, *check_image(image, name)]
    notes += all_marked_note(mask, mask_name)
    if not mask.any():
        notes.append(f"{mask_name}: is empty; nothing is marked in any slice.")
    if mask_is_synthetic:
        num_synthetic = len(mask)
    return series.volume(image, mask, notes, num_synthetic, mapped)

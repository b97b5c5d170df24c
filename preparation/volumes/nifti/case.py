"""Reads one case: a label map, and the channels of its image on the same voxels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.labels.values import labels_of
from preparation.volumes.nifti.file import NiftiFile
from preparation.volumes.nifti.grid import FILE_ORDER, mask_on_image, notes_on
from preparation.volumes.nifti.images import on_first, read_channels
from preparation.volumes.nifti.voxels import read_into
from preparation.volumes.pixel_checks import all_marked_note
from preparation.volumes.volume import Job, SkipVolume, Volume, is_synthetic
from synthetic_marks import mark_in_nifti

# A label that a rescale slope was multiplied into, in single precision, is still whole.
_WHOLE = 1e-3


def read_case(job: Job) -> Volume:
    """Read one case; at most its image and its uint8 mask are in memory at once.

    `in_hu` among the job's options tells which channels hold Hounsfield units; without, all.

    Raises:
        SkipVolume: A file says that it is synthetic or is cut short, shapes differ, a voxel is NaN,
            a channel is constant, or a label has no name.
    """
    mask_file, *image_files = _opened(job)
    synthetic = [
        is_synthetic(file.name, mark_in_nifti(file.path, file.image.header), job)
        for file in (mask_file, *image_files)
    ]
    mask_file, image_files, notes = _on_one_another(mask_file, image_files)
    mapped: set[int] = set()
    mask = read_mask(mask_file, job, mapped)
    if mask_file.rescale:
        notes.append(
            f"{mask_file.name}: its labels are read as its header rescales them "
            f"({mask_file.rescale})."
        )
    notes += all_marked_note(mask, mask_file.name)
    image = None
    if image_files:
        num_channels = len(image_files) * job.options["channels_in_file"]
        in_hu = job.options.get("in_hu", [True] * num_channels)
        image, said = read_channels(
            image_files, in_hu, "or pass --window percentiles if it is no CT."
        )
        notes += said
    grid = (image_files or [mask_file])[0].grid
    spacing = grid.spacing_mm
    return Volume(
        image=image,
        mask=mask,
        slice_indices=list(range(mask.shape[0])),
        pixel_spacing_mm=None if spacing is None else (float(spacing[1]), float(spacing[2])),
        slice_spacing_mm=None if spacing is None else round(float(spacing[0]), 6),
        geometry={
            "source_shape": list(grid.file_shape),
            "source_axes": grid.axes,
            "axes_read_as": "IPL" if grid.known else "file order",
        },
        notes=notes,
        mapped=mapped,
        num_synthetic=len(mask) if any(synthetic) else 0,
    )


def _opened(job: Job) -> list[NiftiFile]:
    """The label map, then the files of the image."""
    (mask, *images) = zip(job.files, job.names, strict=True)
    in_one_file: int = job.options["channels_in_file"]
    return [NiftiFile.open(*mask), *(NiftiFile.open(*image, in_one_file) for image in images)]


def _on_one_another(
    mask: NiftiFile, images: Sequence[NiftiFile]
) -> tuple[NiftiFile, list[NiftiFile], list[str]]:
    """A mask and the channels of its image as they lie on one another, and sentences about it.

    Raises:
        SkipVolume: They cover different voxels, or lie in different places.
    """
    if not images:
        notes = notes_on(mask.image, mask.grid, mask.name) if mask.grid.known else [FILE_ORDER]
        return mask, [], notes
    first = images[0]
    mask_grid, image_grid, notes = mask_on_image(mask.grid, first.grid, mask.name, first.name)
    mask, first = replace(mask, grid=mask_grid), replace(first, grid=image_grid)
    notes += notes_on(first.image, first.grid, first.name)
    placed = [first]
    for image in images[1:]:
        image, said = on_first(image, first)
        notes += [note for note in said if note not in notes]
        placed.append(image)
    return mask, placed, notes


def read_mask(file: NiftiFile, job: Job, mapped: set[int]) -> NDArray[np.uint8]:
    """Read a label map: (slices, H, W).

    Args:
        file: It, with the grid that its voxels are read by.
        job: Whose mask it is; its options say what values mean.
        mapped: Takes in the values that a label map changed.

    Raises:
        SkipVolume: It is cut short, or holds values that mean nothing.
    """
    mask = np.empty(file.grid.shape, np.uint8)
    said = f" (rescaled by its header: {file.rescale})" if file.rescale else ""

    def labels(values: NDArray[Any], _channel: int) -> NDArray[Any]:
        if values.dtype.kind == "f":
            whole = np.rint(values)
            if np.abs(values - whole).max() > _WHOLE:
                raise SkipVolume(
                    file.name, "holds fractional labels; it is not a label map. Left out."
                )
            values = whole
        return labels_of(values, file.name, job.class_names, job.options, mapped, said)

    read_into(mask[None], file, labels)
    return mask

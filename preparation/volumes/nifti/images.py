"""Reads the channels of an image from one NIfTI file or several."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.nifti.file import NamedFile, NiftiFile
from preparation.volumes.nifti.grid import FILE_ORDER, Grid, mask_on_image, notes_on
from preparation.volumes.nifti.voxels import read_into
from preparation.volumes.pixel_checks import check_image
from preparation.volumes.volume import AIR_HU, MAX_HU, SkipVolume

# Of values without a unit: far beyond any scanner's, and far below what float32 holds.
_LARGEST = 1e30


def read_images(
    named: Sequence[NamedFile], in_hu: Sequence[bool], or_else: str
) -> tuple[NDArray[Any], Grid, list[str]]:
    """Read the channels of one image, without a mask.

    Args:
        named: One file that holds all channels, or one for each.
        in_hu: Whether each channel holds Hounsfield units.
        or_else: See `check_image`.

    Returns:
        As of `read_channels`, with the grid of the first file before the sentences.

    Raises:
        SkipVolume: A file cannot be read, is cut short, or has NaN, a channel is constant, or they
            lie in different places.
    """
    files: list[NiftiFile] = []
    notes: list[str] = []
    for path, name in named:
        file = NiftiFile.open(path, name, len(in_hu) // len(named))
        if files:
            file, said = on_first(file, files[0])
        else:
            said = notes_on(file.image, file.grid, name) if file.grid.known else [FILE_ORDER]
        notes += [note for note in said if note not in notes]
        files.append(file)
    image, said = read_channels(files, in_hu, or_else)
    return image, files[0].grid, notes + said


def on_first(file: NiftiFile, first: NiftiFile) -> tuple[NiftiFile, list[str]]:
    """A further channel as it lies on the first one, and sentences on what was done.

    Raises:
        SkipVolume: They cover different voxels, or lie in different places.
    """
    grid, _, said = mask_on_image(file.grid, first.grid, file.name, first.name)
    return replace(file, grid=grid), said


def read_channels(
    files: Sequence[NiftiFile], in_hu: Sequence[bool], or_else: str
) -> tuple[NDArray[Any], list[str]]:
    """Read opened files.

    Args:
        files: See `read_images`.
        in_hu: Whether each channel holds Hounsfield units.
        or_else: See `check_image`.

    Returns:
        (slices, H, W), or (slices, channels, H, W) of several: int16 where all are in Hounsfield
        units, else float32; and sentences on the channels.

    Raises:
        SkipVolume: A file is cut short or has NaN, or a channel is constant.
    """
    count, in_one_file = len(in_hu), len(in_hu) // len(files)
    channels = np.empty((count, *files[0].grid.shape), np.int16 if all(in_hu) else np.float32)
    notes: list[str] = []
    for number, file in enumerate(files):
        own = slice(number, number + in_one_file)
        read_into(channels[own], file, partial(_stored, in_hu=in_hu[own], name=file.name))
        for place in range(own.start, own.stop):
            which = file.name if in_one_file == 1 else f"{file.name}, channel {place}"
            notes += check_image(channels[place], which, in_hu[place], or_else)
    return (channels[0] if count == 1 else channels.swapaxes(0, 1)), notes


def _stored(values: NDArray[Any], channel: int, in_hu: Sequence[bool], name: str) -> NDArray[Any]:
    """Hounsfield units rounded and within the range of a CT; values without a unit as they are.

    Raises:
        SkipVolume: These are beyond any picture's.
    """
    if in_hu[channel]:
        whole = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int32)
        return np.clip(whole, AIR_HU, MAX_HU)
    if max(abs(float(values.min())), abs(float(values.max()))) > _LARGEST:
        raise SkipVolume(
            name,
            f"holds values beyond {_LARGEST:.0e}, which are no picture's. Left out; export "
            "the volume again.",
        )
    return values

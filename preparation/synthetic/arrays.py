"""Numbers of a NumPy or a NIfTI file as pictures one by one, and what they mean in grey or HU."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.named_files import read_array
from preparation.films.film import MAX_PIXELS, MIN_SIDE, RejectedFilm
from preparation.films.grey_range import grey_range
from preparation.raised import raised
from preparation.synthetic.source import SourceFile
from preparation.volumes.volume import AIR_HU, MAX_HU

_COLOURS = (1, 3)
# Of the range of --values: what a network without a last bound overshoots by.
_SLACK = 0.05


@dataclass(frozen=True)
class Stack:
    """The pictures of one file.

    Attributes:
        planes: (N, H, W) or (N, H, W, 3) numbers as they are stored; read when they are used.
        is_one: The file holds one picture, and not a stack of one.
        spacing_mm: (row, column) distance of pixels; None where the file does not tell.
        slice_spacing_mm: Distance of slices, likewise.
    """

    planes: NDArray[Any]
    is_one: bool
    spacing_mm: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.planes)

    def each(self) -> Iterator[NDArray[Any]]:
        """The pictures, checked.

        Raises:
            RejectedFilm: not_finite.
        """
        for index in range(len(self)):
            yield self.plane(index)

    def plane(self, index: int) -> NDArray[Any]:
        """One picture, checked.

        Raises:
            RejectedFilm: not_finite.
        """
        own = np.asarray(self.planes[index])
        if own.dtype.kind == "f" and not np.isfinite(own).all():
            raise RejectedFilm("not_finite", "holds pixels that are not finite numbers.")
        return own


def stack_of(source: SourceFile, colour: bool) -> Stack:
    """The pictures of a NumPy or a NIfTI file.

    Args:
        source: The file.
        colour: See `read_npy`.

    Raises:
        RejectedFilm: See `read_npy` and `read_nifti`.
    """
    path = source.file.path
    return read_npy(path, colour) if source.kind == "NumPy file" else read_nifti(path)


def read_npy(path: Path, colour: bool) -> Stack:
    """Open a `.npy` file, which is mapped: nothing is read before it is used.

    Args:
        path: Of (H, W), (N, H, W), and with `colour` of (H, W, C), (C, H, W), (N, H, W, C) or
            (N, C, H, W) with 1 or 3 channels C. Of three axes the first or the last is that of
            channels where it is 1 or 3 long.
        colour: Whether pictures may have channels, as films do and CT slices do not; these may
            still have a single one.

    Raises:
        RejectedFilm: unreadable, too_large, too_small, or not_a_picture for other shapes.
    """
    try:
        array = read_array(path)
    except ValueError as error:
        raise RejectedFilm("unreadable", f"is no NumPy array ({raised(error, path)}).") from error
    if array.dtype.kind not in "uif":
        raise RejectedFilm("not_a_picture", f"holds {array.dtype.name}, expected numbers.")
    channels = _COLOURS if colour else (1,)
    planes: NDArray[Any] | None = None
    if array.ndim == 2 or (array.ndim == 3 and colour and array.shape[-1] in channels):
        planes = array[None]
    elif array.ndim == 3 and colour and array.shape[0] in channels:
        planes = np.moveaxis(array, 0, -1)[None]
    elif array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in channels):
        planes = array
    elif array.ndim == 4 and array.shape[1] in channels:
        planes = np.moveaxis(array, 1, -1)
    if planes is None:
        raise RejectedFilm(
            "not_a_picture",
            f"has shape {array.shape}, expected one picture or a stack of them, with "
            f"{' or '.join(map(str, channels))} channel(s).",
        )
    if planes.ndim == 4 and planes.shape[-1] == 1:
        planes = planes[..., 0]
    _check_size(planes)
    return Stack(planes, is_one=array.ndim == 2 or (array.ndim == 3 and planes.shape[0] == 1))


def read_nifti(path: Path) -> Stack:
    """Read a NIfTI file of two or three axes, turned as KiTS19 lies where its header tells how.

    Slices run along the axis of length 1 where there is one; else from head to feet, or where the
    header does not tell along the axis whose length is another than that of the other two, else
    along the first.

    Raises:
        RejectedFilm: unreadable, too_large, too_small, or not_a_picture.
    """
    import nibabel as nib

    from preparation.volumes.nifti.file import UNREADABLE
    from preparation.volumes.nifti.grid import grid_of

    try:
        image: Any = nib.load(path)
        if image.get_data_dtype().kind not in "uif":
            raise RejectedFilm("not_a_picture", "holds colours or complex numbers.")
        shape = tuple(int(n) for n in image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise RejectedFilm("not_a_picture", f"has shape {image.shape}, expected 2 or 3 axes.")
        if int(np.prod(shape)) > 100 * MAX_PIXELS:
            raise RejectedFilm("too_large", "promises more voxels than any scan has.")
        three = shape if len(shape) == 3 else (*shape, 1)
        array = np.asanyarray(image.dataobj).reshape(three)
    except UNREADABLE as error:
        raise RejectedFilm(
            "unreadable", f"is no NIfTI file that can be read ({raised(error, path)})."
        ) from error
    grid = grid_of(nib.Nifti1Image(np.empty(three, np.uint8), image.affine, image.header))
    spacing: tuple[float, float] | None = None
    if grid.known:
        array, voxel = grid.canonical(array), grid.spacing_mm
        across = list(array.shape).index(1) if 1 in array.shape else 0
        down, along = [axis for axis in range(3) if axis != across]
        assert voxel is not None
        spacing = float(voxel[down]), float(voxel[along])
    else:
        across = _odd_one(array.shape)
    planes = np.moveaxis(array, across, 0)
    _check_size(planes)
    return Stack(planes, is_one=len(planes) == 1, spacing_mm=spacing)


def _odd_one(shape: tuple[int, ...]) -> int:
    """The axis along which slices follow one another in a file that does not tell."""
    if 1 in shape:
        return shape.index(1)
    alone = [axis for axis in range(3) if shape.count(shape[axis]) == 1]
    return alone[0] if len(alone) == 1 else 0


def _check_size(planes: NDArray[Any]) -> None:
    height, width = planes.shape[1:3]
    if height * width > MAX_PIXELS:
        raise RejectedFilm("too_large", f"holds pictures of {height}x{width} pixels.")
    if min(height, width) < MIN_SIDE:
        raise RejectedFilm(
            "too_small", f"is {height}x{width}, expected at least {MIN_SIDE} pixels a side."
        )


def as_grey(
    plane: NDArray[Any], scale: tuple[float, float] | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One picture in [0, 1], and remarks on it.

    Args:
        plane: (H, W) or (H, W, 3) numbers.
        scale: Values that are black and white, of all but 8 bits, where 0 and 255 are; None: the
            picture's own range, as films of more than 8 bits are read (see `grey_range`).

    Returns:
        The picture, and `own_range` or, where values lie outside of the scale, `clipped`.

    Raises:
        RejectedFilm: constant.
    """
    if plane.min() == plane.max():
        raise RejectedFilm("constant", "has the same value everywhere.")
    remarks: tuple[str, ...] = ()
    if plane.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif scale is not None:
        low, high = scale
        slack = _SLACK * (high - low)
        if plane.min() < low - slack or plane.max() > high + slack:
            remarks = ("clipped",)
    else:
        found = grey_range(*np.unique(plane, return_counts=True))
        low, high, remarks = found.low, found.high, ("own_range",)
    grey: NDArray[np.float32] = ((plane.astype(np.float64) - low) / (high - low)).astype(np.float32)
    return grey.clip(0, 1), remarks


def as_hounsfield(plane: NDArray[Any]) -> NDArray[np.int16]:
    """One slice in HU.

    Raises:
        RejectedFilm: not_hounsfield where all values lie between -1 and 1.
    """
    if plane.dtype.kind == "f" and plane.min() >= -1 and plane.max() <= 1:
        raise RejectedFilm(
            "not_hounsfield",
            "holds values between -1 and 1, which are no Hounsfield units. Say which are black and "
            "white with --values, such as --values -1 1.",
        )
    return np.clip(np.rint(plane.astype(np.float64)), AIR_HU, MAX_HU).astype(np.int16)

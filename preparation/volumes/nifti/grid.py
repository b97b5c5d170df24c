"""Where the voxels of a NIfTI file lie, and whether those of a mask lie on those of its image.

KiTS19 stores (slices, H, W) with axes running to inferior, posterior and left. Files in another
axis order are turned into that one by their affine; the order of the FILE is trusted where the
header says nothing (both codes 0) or holds the identity, as exports without geometry do.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import (
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import NDArray

from preparation.volumes.geometry import TILT_DEGREES, degrees_between, oblique_notes
from preparation.volumes.volume import SkipVolume

_KITS19_AXES = ("I", "P", "L")
_MM = {"meter": 1000.0, "micron": 0.001}
# Lengths of voxels that differ by less are the same, written by different programs.
_SAME_SPACING = 0.01
# Of a voxel: two files that lie farther apart are of different places.
_SAME_PLACE = 0.5
# Names no file, so that the summary counts it.
FILE_ORDER = (
    "headers that tell no geometry: the order of the file is trusted, which is slices from head to "
    "feet first, then rows to the back, then columns to the left. Look at a slice if in doubt."
)


@dataclass(frozen=True)
class Grid:
    """The voxels of one file.

    Attributes:
        file_shape: Of the file's axes.
        order: The file's axis for each of ours.
        flips: Whether it is flipped.
        known: Whether the header told.
        axes: Where the file's axes run to, such as IPL; None where it is not known.
        affine: (4, 4) from indices in our axes to mm; meaningless where it is not known.
        is_bare: Its header says no more than a program writes that knows no geometry.
    """

    file_shape: tuple[int, ...]
    order: tuple[int, ...]
    flips: tuple[bool, ...]
    known: bool
    axes: str | None
    affine: NDArray[np.float64]
    is_bare: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(slices, H, W)."""
        return tuple(self.file_shape[axis] for axis in self.order)

    @property
    def spacing_mm(self) -> NDArray[np.float64] | None:
        """(slice, row, column) distance; None where it is not known."""
        return nib.affines.voxel_sizes(self.affine) if self.known else None

    @property
    def has_origin(self) -> bool:
        """Whether the header says where the volume lies, not only how."""
        return self.known and bool(np.abs(self._file_origin).max() > 1e-6)

    @property
    def _file_origin(self) -> NDArray[np.float64]:
        corner = [self.shape[i] - 1 if flip else 0 for i, flip in enumerate(self.flips)]
        return nib.affines.apply_affine(self.affine, corner)

    def canonical(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in the file's axes, as a view in ours."""
        turned = array.transpose(self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def in_file_axes(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in our axes, as a view in the file's."""
        flipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return flipped.transpose(np.argsort(self.order))


def grid_of(image: Any) -> Grid:
    """The grid of an opened NIfTI file, by its first three axes."""
    header, shape = image.header, tuple(int(n) for n in image.shape[:3])
    affine = image.affine.astype(np.float64)
    affine[:3] *= _MM.get(header.get_xyzt_units()[0], 1.0)
    silent = int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0
    if silent or np.array_equal(image.affine, np.eye(4)) or not np.isfinite(affine).all():
        return Grid(shape, (0, 1, 2), (False,) * 3, False, None, np.eye(4))
    change = ornt_transform(io_orientation(affine), axcodes2ornt(_KITS19_AXES))
    if np.isnan(change).any():
        return Grid(shape, (0, 1, 2), (False,) * 3, False, None, np.eye(4))
    order = tuple(int(np.flatnonzero(change[:, 0] == axis)[0]) for axis in range(3))
    return Grid(
        file_shape=shape,
        order=order,
        flips=tuple(bool(change[axis, 1] < 0) for axis in order),
        known=True,
        axes="".join(nib.aff2axcodes(affine)),
        affine=affine @ inv_ornt_aff(change, shape),
        # As SimpleITK writes an array that nobody gave a geometry.
        is_bare=bool(np.array_equal(np.abs(affine), np.eye(4))),
    )


def notes_on(image: Any, grid: Grid, name: str) -> list[str]:
    """Sentences on a file whose slices do not lie as those of most scans do."""
    if not grid.known:
        return []
    header, notes = image.header, []
    both = int(header["qform_code"]) > 0 and int(header["sform_code"]) > 0
    if both and (different := _disagreement(header.get_sform(), header.get_qform())):
        notes.append(
            f"{name}: its two geometries disagree, {different} by the qform. The sform is used; "
            "look at an overlay if in doubt."
        )
    along, down, across = grid.affine[:3, :3].T
    normal = np.cross(down, across)
    if (tilt := degrees_between(along, normal)) > TILT_DEGREES:
        notes.append(
            f"{name}: gantry tilt of {tilt:.1f} degrees: each slice lies beside the one above it. "
            "Slices are used as they are; as a volume they are sheared."
        )
    return notes + oblique_notes(normal, name)


def _disagreement(sform: NDArray[np.float64], qform: NDArray[np.float64]) -> str:
    """In what two affines of one file differ, as `... by the sform and ...`; "" for nothing."""
    axes = ["".join(nib.aff2axcodes(affine)) for affine in (sform, qform)]
    if axes[0] != axes[1]:
        return f"axes {axes[0]} by the sform and {axes[1]}"
    own, other = (nib.affines.voxel_sizes(affine) for affine in (sform, qform))
    if not np.allclose(own, other, rtol=_SAME_SPACING, atol=0):
        return f"voxels of {_listed(own)} by the sform and {_listed(other)}"
    first, of_qform = sform[:3, 3], qform[:3, 3]
    if np.abs(first - of_qform).max() > _SAME_PLACE * own.min():
        first_voxel = f"the first voxel at ({_listed(first, ', ')})"
        return f"{first_voxel} by the sform and at ({_listed(of_qform, ', ')})"
    return ""


def mask_on_image(
    mask: Grid, image: Grid, mask_name: str, image_name: str
) -> tuple[Grid, Grid, list[str]]:
    """How to read a mask and its image so that their voxels lie on one another.

    Both are turned by their own headers. Where one of them tells no geometry, voxels are paired by
    index, which needs the same shape, and the other's geometry counts for both.

    Returns:
        The grid of the mask, that of the image, and sentences on what was done.

    Raises:
        SkipVolume: They cover different voxels, or lie in different places; says by how much.
    """
    if mask.known and image.known:
        different = _difference(mask, image, image_name)
        if not different:
            return mask, image, _turned(mask, image, mask_name, image_name)
        equal = (mask.order, mask.flips) == (image.order, image.flips)
        if equal and mask.has_origin != image.has_origin and _near(mask, image, at_origin=True):
            lost = mask_name if image.has_origin else image_name
            return image, image, [
                f"{lost}: its header has lost where the volume lies (its origin is 0). Voxels are "
                "paired by index; look at an overlay if in doubt."
            ]  # fmt: skip
        if mask.is_bare == image.is_bare or mask.file_shape != image.file_shape:
            raise SkipVolume(mask_name, different)
    elif mask.file_shape != image.file_shape:
        raise SkipVolume(mask_name, _other_shape(mask, image, image_name))
    elif not mask.known and not image.known:
        return mask, image, [FILE_ORDER]
    told = mask if not image.known or (image.is_bare and mask.known) else image
    bare = mask_name if told is image else image_name
    return told, told, [
        f"{bare}: its header tells no geometry. Voxels are paired by index and the geometry of "
        f"{image_name if told is image else mask_name} is used; look at an overlay if in doubt."
    ]  # fmt: skip


def _other_shape(mask: Grid, image: Grid, image_name: str) -> str:
    def told(grid: Grid) -> str:
        return f"{grid.file_shape}{f' along {grid.axes}' if mask.axes != image.axes else ''}"

    return (
        f"has shape {told(mask)}, but {image_name} has {told(image)}. Left out; both must "
        "cover the same voxels."
    )


def _difference(mask: Grid, image: Grid, image_name: str) -> str:
    """What keeps a mask from lying on its image, both turned by their headers; "" if nothing."""
    if mask.shape != image.shape:
        return _other_shape(mask, image, image_name)
    own, other = mask.spacing_mm, image.spacing_mm
    assert own is not None
    assert other is not None
    if np.abs(own / other - 1).max() > _SAME_SPACING:
        return (
            f"has voxels of {_listed(own)} mm (slice, row, column), but {image_name} has "
            f"{_listed(other)} mm. Left out; both must cover the same voxels."
        )
    if _near(mask, image):
        return ""
    first, of_image = (grid.affine[:3, 3] for grid in (mask, image))
    along = f" (axes {mask.axes} and {image.axes})" if mask.axes != image.axes else ""
    return (
        f"is at another position{along}: its first voxel is at ({_listed(first, ', ')}) mm, that "
        f"of {image_name} at ({_listed(of_image, ', ')}) mm. Left out; they are of "
        "different scans, or one was shifted or rotated without its header."
    )


def _near(mask: Grid, image: Grid, at_origin: bool = False) -> bool:
    """Whether all corners of two grids of one shape lie within half a voxel.

    Args:
        mask: One grid.
        image: The other.
        at_origin: As if both began at the same place.
    """
    if mask.shape != image.shape:
        return False
    own, other = mask.affine.copy(), image.affine
    if at_origin:
        own[:3, 3] = other[:3, 3]
    corners = np.array(list(itertools.product(*((0, length - 1) for length in mask.shape))))
    places = nib.affines.apply_affine(np.linalg.inv(other) @ own, corners)
    return bool(np.abs(places - corners).max() <= _SAME_PLACE)


def _turned(mask: Grid, image: Grid, mask_name: str, image_name: str) -> list[str]:
    if (mask.order, mask.flips) == (image.order, image.flips):
        return []
    return [
        f"{mask_name}: its axes run to {mask.axes}, those of {image_name} to {image.axes}. Each "
        "was turned by its own header; they then lie in the same places."
    ]


def _listed(lengths: NDArray[np.float64], link: str = " x ") -> str:
    return link.join(f"{length:.2f}" for length in lengths)

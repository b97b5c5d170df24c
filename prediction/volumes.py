"""New slices, as a segmenter takes them: read and prepared as prepare.py prepares volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from prediction.items import Item, LeftOut, file_names
from preparation.left_out import cannot_be_read
from preparation.volumes.dicom_file import Slice, is_axial, read_dicom
from preparation.volumes.dicom_folder import Folder
from preparation.volumes.dicom_pixels import hounsfield_units
from preparation.volumes.dicom_series import read_series
from preparation.volumes.geometry import is_anisotropic, outline_of, window_to_uint8
from preparation.volumes.layout import Layout
from preparation.volumes.nifti.grid import Grid
from preparation.volumes.nifti.images import read_images
from preparation.volumes.pixel_checks import check_image
from preparation.volumes.shard import fitted_slice, windows_of
from preparation.volumes.slice_pictures import read_grey
from preparation.volumes.volume import SkipVolume
from synthetic_marks import mark_in_dicom, mark_in_nifti, mark_of_folder

_SYNTHETIC = "Says that it is synthetic."


@dataclass(frozen=True)
class SliceInput:
    """The slices of one item as a network takes them, and how to get back to the file.

    Attributes:
        slices: (S, size, size) uint8, or (S, C, size, size) of several channels.
        source: (S, H, W) uint8 of the first channel, windowed, in our axes: for overlays.
        outline: Height and width that the slices were fitted with; see `outline_of`.
        voxel_ml: Volume of a voxel of each slice in ml; None if the file does not state it.
        notes: Sentences on how it differs from what the checkpoint was trained on.
        grid: For a NIfTI file: its grid.
        paths: For a series: the file of each slice, from head to feet.
    """

    slices: NDArray[np.uint8]
    source: NDArray[np.uint8]
    outline: tuple[float, float]
    voxel_ml: Sequence[float] | None
    notes: tuple[str, ...]
    grid: Grid | None = None
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Read:
    image: NDArray[Any]
    spacing_mm: tuple[float, float] | None
    voxel_ml: Sequence[float] | None
    notes: list[str]
    grid: Grid | None = None
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ReadSlices:
    """Reads one item, or says why it is left out; a small object, sent to the workers.

    Attributes:
        layout: Of the slices that the checkpoint was trained on; its window is None, and it has no
            channels, where greys passed through and nobody gave a window.
        own_window: The window is the training's, not somebody's.
        variable_spacing: Series whose slices lie unevenly apart are taken.
    """

    layout: Layout
    own_window: bool
    variable_spacing: bool

    def __call__(self, item: Item) -> SliceInput | LeftOut:
        """Return the slices as the network takes them."""
        try:
            return self._prepared(item)
        except SkipVolume as skip:
            named = "" if skip.file == item.name else f"{skip.file}: "
            return LeftOut(f"{named}{skip.reason}")
        except MemoryError:
            return LeftOut("does not fit into memory. Left out.")
        except Exception as error:  # one bad file never ends a batch
            return LeftOut(cannot_be_read(error, *item.paths))

    def _prepared(self, item: Item) -> SliceInput:
        kinds = {"nifti": self._nifti, "picture": _picture, "series": self._series}
        if item.kind != "nifti" and not self._is_ct:
            names = ", ".join(channel.name for channel in self.layout.greys)
            raise SkipVolume(
                item.name,
                f"is no NIfTI volume, and the checkpoint was trained on channels ({names}) that "
                "are read from NIfTI alone. Left out; convert it.",
            )
        read: _Read = kinds[item.kind](item)
        is_grey = read.image.dtype == np.uint8
        if not is_grey and not self.layout.greys:
            raise SkipVolume(
                item.name,
                "holds Hounsfield units, and the checkpoint was trained on grey values whose "
                "window is not known. Left out; say which window makes them alike with "
                "--window-width-hu and --window-center-hu.",
            )
        windows = [] if is_grey else windows_of(read.image, self.layout)
        height, width = read.image.shape[-2:]
        outline = outline_of((height, width), read.spacing_mm, self.layout.resample)
        notes = [*item.notes, *read.notes, *self._differences(read, is_grey)]
        slices = np.stack([fitted_slice(s, windows, self.layout, outline) for s in read.image])
        first = read.image if read.image.ndim == 3 else read.image[:, 0]
        source = window_to_uint8(first, *windows[0]) if windows else first
        own = tuple(_without_name(note, item.name) for note in notes)
        return SliceInput(slices, source, outline, read.voxel_ml, own, read.grid, read.paths)

    @property
    def _is_ct(self) -> bool:
        """One channel of HU, or of greys that were made of it."""
        greys = self.layout.greys
        return not greys or (len(greys) == 1 and greys[0].in_hu)

    def _differences(self, read: _Read, is_grey: bool) -> list[str]:
        notes, size = [], self.layout.image_size
        if self.layout.greys and self._is_ct:
            width, centre = self.layout.greys[0].window or (0, 0)
            if is_grey and self.own_window:
                notes.append(
                    "Holds 8-bit greys, whose window is not known; the checkpoint was trained on "
                    f"{width:g} HU around {centre:g} HU."
                )
            if not is_grey and not self.own_window:
                notes.append(
                    f"Shown by a window of {width:g} HU around {centre:g} HU that was given by "
                    "hand; the checkpoint's own is not known."
                )
        height, width = read.image.shape[-2:]
        if max(height, width) < size:
            notes.append(f"Its slices are {height}x{width}, enlarged to the {size} px of training.")
        if read.spacing_mm is not None and is_anisotropic(read.spacing_mm):
            row, column = read.spacing_mm
            done = "resampled to square ones" if self.layout.resample else "no squares"
            notes.append(f"Its pixels are {row:.3f} x {column:.3f} mm, {done}.")
        return notes

    def _series(self, item: Item) -> _Read:
        names = file_names(item)
        files = []
        for path, name in zip(item.paths, names, strict=True):
            header, _ = read_dicom(path)
            modality = str((header or {}).get("Modality") or "CT").strip()
            if modality != "CT":
                raise SkipVolume(item.name, f"is of modality {modality[:16]}, expected CT.")
            files.append((path, name, header))
        folder = Folder(item.name, {"": files})
        series = read_series(folder, "", is_image=True, variable=self.variable_spacing)
        if not is_axial(series.slices[0].header):
            raise SkipVolume(item.name, "is not an axial series. Left out.")
        image, said = hounsfield_units(series, item.name)
        notes = series.notes + said + check_image(image, item.name, or_else="is it a CT?")
        if any(mark_in_dicom(one.header) or mark_of_folder(one.path) for one in series.slices):
            notes.append(_SYNTHETIC)
        spacing = series.slices[0].spacing_mm
        extents = series.extents_mm or series.spacing_mm or _thickness(series.slices[0])
        voxel_ml: list[float] | None = None
        if spacing is not None and extents is not None:
            area = spacing[0] * spacing[1] / 1000
            each = extents if isinstance(extents, list) else [extents] * len(image)
            voxel_ml = [area * mm for mm in each]
        return _Read(
            image, spacing, voxel_ml, notes, paths=tuple(one.path for one in series.slices)
        )

    def _nifti(self, item: Item) -> _Read:
        in_hu = [channel.in_hu for channel in self.layout.greys] or [True]
        # A file that is an item alone is called by the item's name.
        names = [item.name] if len(item.paths) == 1 else file_names(item)
        ask = "is it a CT?"
        if len(in_hu) > 1:
            of_training = ", ".join(channel.name for channel in self.layout.greys)
            ask = f"are the channels in the order of the training ({of_training})?"
        image, grid, notes = read_images(list(zip(item.paths, names, strict=True)), in_hu, ask)
        headers: list[Any] = [nib.load(path).header for path in item.paths]
        if any(map(mark_in_nifti, item.paths, headers)):
            notes.append(_SYNTHETIC)
        if not self.layout.greys and headers[0].get_data_dtype() == np.uint8:
            image = image.astype(np.uint8)  # greys as those of the training
        spacing = grid.spacing_mm
        return _Read(
            image,
            None if spacing is None else (float(spacing[1]), float(spacing[2])),
            None if spacing is None else [_voxel_ml(grid)] * len(image),
            notes,
            grid,
        )


def _voxel_ml(grid: Grid) -> float:
    return float(abs(np.linalg.det(grid.affine[:3, :3]))) / 1000


def _thickness(one: Slice) -> float | None:
    """Of a single slice, which has no neighbour."""
    header, _ = read_dicom(one.path, pixels=True)
    try:
        return float(header.SliceThickness) or None  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError):
        return None


def _picture(item: Item) -> _Read:
    picture = read_grey(item.paths[0], item.name)
    if picture.pixels.min() == picture.pixels.max():
        raise SkipVolume(item.name, f"is constant (all {picture.pixels.min()}). Left out.")
    notes = []
    if picture.lossy:
        notes.append(f"Went through lossy compression ({picture.lossy}).")
    if picture.orientation != 1:
        notes.append("Its EXIF says to turn it; the label map lies as it is shown, turned.")
    if picture.synthetic:
        notes.append(_SYNTHETIC)
    return _Read(picture.pixels[None], None, None, notes)


def _without_name(note: str, name: str) -> str:
    """A sentence without the name of its item before it, which stands in another column."""
    if not note.startswith(f"{name}: "):
        return note
    text = note.removeprefix(f"{name}: ")
    return text[:1].upper() + text[1:]

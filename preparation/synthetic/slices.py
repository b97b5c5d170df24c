"""CT slices that another program made, with their label maps or without, as a cache's slices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preparation.films.film import FilmFile, RejectedFilm
from preparation.films.image_files import ImageFileReader
from preparation.synthetic.arrays import Stack, as_grey, as_hounsfield, stack_of
from preparation.synthetic.reading import Made, Outcome
from preparation.synthetic.source import SourceFile
from preparation.volumes.geometry import fit_image, fit_mask, outline_of
from preparation.volumes.labels.values import changed
from preparation.volumes.pixel_checks import check_labels
from preparation.volumes.volume import SkipVolume


@dataclass(frozen=True)
class Slices:
    """The slices of one file before they are fitted.

    Attributes:
        images: Each (H, W), int16 HU or uint8 grey.
        is_one: The file holds one.
        spacing_mm: (row, column) of their pixels.
        header: Of a DICOM file that says how the slice lies, which its label map follows.
        series: See `Made`.
    """

    images: list[NDArray[Any]] | Stack
    is_one: bool
    spacing_mm: tuple[float, float] | None = None
    header: Any = None
    series: str | None = None

    @property
    def first(self) -> NDArray[Any]:
        """The first of them."""
        return self.images.plane(0) if isinstance(self.images, Stack) else self.images[0]


@dataclass(frozen=True)
class ReadSlices:
    """Reads one file of slices; see `SourceReader`.

    Attributes:
        image_size: Of the cache.
        class_names: Of its labels.
        window: (width, centre) in HU; None where the cache does not say its own.
        resample: Whether its pixels were made square.
        masks: Label maps by the name of their image; None where there shall be none.
        changes: Values of label maps and what they become.
        scale: See `as_grey`; None: numbers that are not of 8 bits are HU.
        foreground_only: Slices whose label map is empty are not used.
        volume_from: "folder": the files of one folder are slices of one volume.
    """

    image_size: int
    class_names: tuple[str, ...]
    window: tuple[float, float] | None
    resample: bool = False
    masks: Mapping[str, SourceFile] | None = None
    changes: tuple[tuple[int, int], ...] = ()
    scale: tuple[float, float] | None = None
    foreground_only: bool = True
    volume_from: Literal["file", "folder"] = "file"

    def __call__(self, source: SourceFile) -> Iterator[Outcome]:
        """Yield the file's slices."""
        try:
            found = self._slices(source)
            masks = None if self.masks is None else self._masks(source, found)
        except SkipVolume as skip:
            raise RejectedFilm("left_out", skip.reason) from skip
        series = found.series
        if self.volume_from == "folder" and series is None and found.is_one:
            series = source.file.name.rpartition("/")[0]
        for index in range(len(found.images)):
            at = None if found.is_one else index
            try:
                image, remarks = self._values(found, index)
                if image.min() == image.max() and found.is_one:
                    raise RejectedFilm("constant", "has the same value everywhere.")
                mask = None if masks is None else masks[index]
                made = self._fitted(image, mask, found.spacing_mm, series or source.id)
                made = replace(made, remarks=made.remarks + remarks)
            except RejectedFilm as why:
                yield at, why
                continue
            if mask is None or any(made.class_pixels[1:]) or not self.foreground_only:
                yield at, made
            else:
                yield at, RejectedFilm("no_foreground", "its label map marks nothing.")

    def _values(self, found: Slices, index: int) -> tuple[NDArray[Any], tuple[str, ...]]:
        """HU, or grey of 8 bits, of one slice, and remarks on it."""
        if not isinstance(found.images, Stack):
            return found.images[index], ()
        plane = found.images.plane(index)
        if plane.dtype == np.uint8:
            return plane, ()
        if self.scale is None or plane.min() == plane.max():
            return as_hounsfield(plane), ()
        grey, remarks = as_grey(plane, self.scale)
        return np.rint(255 * grey).astype(np.uint8), remarks

    def _slices(self, source: SourceFile) -> Slices:
        match source.kind:
            case "picture":
                return Slices([_grey(source.file)], True)
            case "DICOM file":
                return slices_of_dicom(source)
            case _:
                read = stack_of(source, colour=False)
                return Slices(read, read.is_one, read.spacing_mm)

    def _masks(self, source: SourceFile, found: Slices) -> Any:
        """The label map of each slice of a file."""
        assert self.masks is not None
        file = self.masks.get(source.stem)
        if file is None:
            raise RejectedFilm("no_label_map", "has no label map of its name in --masks.")
        if file.kind == "picture":
            from preparation.volumes.slice_pictures import read_labels

            labels = read_labels(file.file.path, "its label map", self.changes).pixels
            if found.header is not None:
                from preparation.volumes.dicom_file import canonical

                labels = canonical(labels, found.header)
            masks = labels[None]
        elif file.kind == "DICOM file":
            raise RejectedFilm(
                "label_map", "has a label map in DICOM; expected PNG, NIfTI or NumPy."
            )
        else:
            masks = stack_of(file, colour=False).planes
        if len(masks) != len(found.images):
            raise RejectedFilm(
                "label_map", f"has {len(found.images)} slices, and its label map {len(masks)}."
            )
        return masks

    def _fitted(
        self,
        image: NDArray[Any],
        mask: NDArray[Any] | None,
        spacing: tuple[float, float] | None,
        series: str,
    ) -> Made:
        in_hu = image.dtype == np.int16
        if in_hu and self.window is None:
            raise RejectedFilm(
                "no_window",
                "holds Hounsfield units, and the cache does not say the window of its own grey "
                "values. Give it with --window-width-hu and --window-center-hu.",
            )
        height, width = int(image.shape[0]), int(image.shape[1])
        outline = outline_of((height, width), spacing, self.resample)
        fitted = fit_image(image, self.image_size, self.window if in_hu else None, outline)
        remarks = () if in_hu else ("grey_as_it_came",)
        if mask is None:
            return Made(fitted, (height, width), series=series, remarks=remarks)
        labels = self._labels(mask, (height, width))
        small = fit_mask(labels, self.image_size, outline)
        counts = np.bincount(small.ravel(), minlength=len(self.class_names)).tolist()
        return Made(fitted, (height, width), small, tuple(counts), series, remarks)

    def _labels(self, mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.uint8]:
        if mask.shape != shape:
            raise RejectedFilm(
                "label_map", f"is {shape}, but its label map is {tuple(mask.shape)}."
            )
        whole = np.rint(mask)
        if mask.dtype.kind == "f" and np.abs(whole - mask).max() > 1e-3:
            raise RejectedFilm("label_map", "has a label map of fractions.")
        labels = changed(whole.astype(np.int64), self.changes, set())
        try:
            check_labels(labels, "", self.class_names)
        except SkipVolume as skip:
            raise RejectedFilm("label_map", f"its label map {skip.reason}") from skip
        return labels.astype(np.uint8)


def _grey(file: FilmFile) -> NDArray[np.uint8]:
    """8-bit grey of a picture, also of one in three equal channels, as many generators write."""
    film = ImageFileReader(1, allow_synthetic=True)(file)
    if "source_range" in film.geometry:
        raise RejectedFilm(
            "bit_depth",
            "has more than 8 bits, and nothing says what its values are. Export it as 8-bit grey "
            "through the window of the cache, or as NIfTI or NumPy in Hounsfield units.",
        )
    if "was_colour" in film.suspicions:
        raise RejectedFilm("colour", "is a picture in colours, which are no grey values.")
    return np.rint(255 * film.pixels).astype(np.uint8)


def slices_of_dicom(source: SourceFile) -> Slices:
    """A CT slice in HU; of another modality, such as a secondary capture, grey as it is shown."""
    from preparation.films.dicom.film_reader import DicomFilmReader
    from preparation.volumes.dicom_file import is_axial, read_dicom, slice_of
    from preparation.volumes.dicom_pixels import hounsfield_units
    from preparation.volumes.dicom_series import Series

    path: Path = source.file.path
    try:
        header, _ = read_dicom(path)
    except Exception as error:  # what is no DICOM fails in any way
        raise RejectedFilm("not_dicom", "is no DICOM file that can be read.") from error
    if header is None:
        raise RejectedFilm("not_dicom", "is no DICOM file.")
    series = str(header.get("SeriesInstanceUID") or "") or None
    if str(header.get("Modality") or "").upper() != "CT":
        film = DicomFilmReader(any_use=True, allow_synthetic=True)(source.file)
        return Slices(
            [np.rint(255 * film.pixels).astype(np.uint8)], True, film.spacing_mm, None, series
        )
    try:
        one = slice_of(path, "it", header)
        if not is_axial(header):
            raise RejectedFilm("not_axial", "is no axial slice.")
        image, _ = hounsfield_units(Series([one], None), "it")
    except SkipVolume as skip:
        reason = skip.reason.replace("The series is left out", "Left out")
        raise RejectedFilm("left_out", reason) from skip
    return Slices([image[0]], True, one.spacing_mm, header, series)

"""Films that another program made, as a cache's films are: one file to images of the set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preparation.films.film import RejectedFilm
from preparation.films.film_layout import FilmLayout
from preparation.films.image_files import ImageFileReader
from preparation.films.stored_film import stored_film, with_square_pixels
from preparation.synthetic.arrays import Stack, as_grey, stack_of
from preparation.synthetic.reading import Made, Outcome
from preparation.synthetic.source import SourceFile

# What CT slices among plain pictures are shown in: HU that are black and white.
_CT_SCALE = (-200.0, 200.0)


@dataclass(frozen=True)
class Shown:
    """One picture as it should be looked at.

    Attributes:
        pixels: (H, W) or (H, W, 3) in [0, 1], black is 0.
        pixel_shape: Height of a pixel over its width; None where the file does not tell.
        remarks: See `Made`.
    """

    pixels: NDArray[np.float32]
    pixel_shape: float | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ReadPictures:
    """Reads one file of any kind as pictures.

    Attributes:
        channels: 1 makes colour pictures grey.
        scale: See `as_grey`.
        with_ct: Take CT slices too, in DICOM: in the scale, or -200 to 200 HU where there is none.
    """

    channels: Literal[1, 3]
    scale: tuple[float, float] | None = None
    with_ct: bool = False

    def __call__(self, source: SourceFile) -> Iterator[tuple[int | None, Shown | RejectedFilm]]:
        """Yield the file's pictures, with their place in it where it holds several."""
        if source.kind == "picture":
            film = ImageFileReader(self.channels, allow_synthetic=True)(source.file)
            yield None, Shown(film.pixels, film.pixel_shape, film.suspicions)
        elif source.kind == "DICOM file":
            yield None, self._of_dicom(source)
        else:
            stack = stack_of(source, colour=True)
            for index in range(len(stack)):
                at = None if stack.is_one else index
                try:
                    shown: Shown | RejectedFilm = self.of_plane(stack, index)
                except RejectedFilm as why:
                    shown = why
                yield at, shown

    def of_plane(self, stack: Stack, index: int) -> Shown:
        """One picture of a NumPy or NIfTI file.

        Raises:
            RejectedFilm: It holds no picture.
        """
        spacing = stack.spacing_mm
        shape = None if spacing is None else spacing[0] / spacing[1]
        pixels, remarks = as_grey(stack.plane(index), self.scale)
        return Shown(pixels, shape, remarks)

    def _of_dicom(self, source: SourceFile) -> Shown:
        from preparation.films.dicom.film_reader import DicomFilmReader
        from preparation.volumes.dicom_file import read_dicom

        if self.with_ct:
            header, _ = read_dicom(source.file.path)
            if header is not None and str(header.get("Modality") or "").upper() == "CT":
                from preparation.synthetic.slices import slices_of_dicom

                image = slices_of_dicom(source).first
                pixels, remarks = as_grey(image, self.scale or _CT_SCALE)
                return Shown(pixels, None, tuple(one for one in remarks if one != "clipped"))
        film = DicomFilmReader(any_use=True, allow_synthetic=True)(source.file)
        return Shown(film.pixels, film.pixel_shape, film.suspicions)


@dataclass(frozen=True)
class ReadFilms:
    """Reads one file of films; see `SourceReader`.

    Attributes:
        layout: Of the cache whose films the set shall look like, with 8 bits.
        pictures: Reads the file.
    """

    layout: FilmLayout
    pictures: ReadPictures

    def __call__(self, source: SourceFile) -> Iterator[Outcome]:
        """Yield the file's images."""
        for index, shown in self.pictures(source):
            yield index, shown if isinstance(shown, RejectedFilm) else self._made(shown)

    def _made(self, shown: Shown) -> Made:
        height, width = shown.pixels.shape[:2]
        pixels, shape = shown.pixels, shown.pixel_shape
        if self.layout.resample and shape is not None and abs(shape - 1) > 0.01:
            pixels, _ = with_square_pixels(pixels, shape)
        stored = stored_film(pixels, self.layout)
        # The middle, as networks see a film that is not trained on.
        side = self.layout.image_size
        start = (stored.shape[-1] - side) // 2
        image = stored[..., start : start + side, start : start + side]
        if image.ndim == 3:
            image = np.moveaxis(image, 0, -1)
        return Made(np.ascontiguousarray(image), (height, width), remarks=shown.remarks)

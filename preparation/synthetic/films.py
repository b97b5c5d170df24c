"""Films that another program made, as a cache's films are: one file to images of the set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preparation.films.film import RejectedFilm
from preparation.films.film_layout import FilmLayout
from preparation.films.image_files import ImageFileReader
from preparation.films.stored_film import stored_film, with_square_pixels
from preparation.synthetic.arrays import as_grey, read_nifti, read_npy
from preparation.synthetic.reading import Made, Outcome
from preparation.synthetic.source import SourceFile


@dataclass(frozen=True)
class ReadFilms:
    """Reads one file of films; see `SourceReader`.

    Attributes:
        layout: Of the cache whose films the set shall look like, with 8 bits.
        channels: Of the cache.
        scale: See `as_grey`.
    """

    layout: FilmLayout
    channels: Literal[1, 3]
    scale: tuple[float, float] | None = None

    def __call__(self, source: SourceFile) -> Iterator[Outcome]:
        """Yield the file's images."""
        match source.kind:
            case "picture":
                film = ImageFileReader(self.channels, allow_synthetic=True)(source.file)
                yield None, self._made(film.pixels, film.pixel_shape, film.suspicions)
            case "DICOM file":
                from preparation.films.dicom.film_reader import DicomFilmReader

                film = DicomFilmReader(any_use=True, allow_synthetic=True)(source.file)
                yield None, self._made(film.pixels, film.pixel_shape, film.suspicions)
            case _:
                colour = source.kind == "NumPy file"
                stack = (
                    read_npy(source.file.path, colour=True)
                    if colour
                    else read_nifti(source.file.path)
                )
                shape = (
                    None if stack.spacing_mm is None else stack.spacing_mm[0] / stack.spacing_mm[1]
                )
                for index, plane in enumerate(stack.each()):
                    yield None if stack.is_one else index, self._of_plane(plane, shape)

    def _of_plane(self, plane: NDArray[Any], shape: float | None) -> Made | RejectedFilm:
        try:
            pixels, remarks = as_grey(plane, self.scale)
        except RejectedFilm as why:
            return why
        return self._made(pixels, shape, remarks)

    def _made(
        self, pixels: NDArray[np.float32], shape: float | None, remarks: tuple[str, ...]
    ) -> Made:
        height, width = pixels.shape[:2]
        if self.layout.resample and shape is not None and abs(shape - 1) > 0.01:
            pixels, _ = with_square_pixels(pixels, shape)
        stored = stored_film(pixels, self.layout)
        # The middle, as networks see a film that is not trained on.
        side = self.layout.image_size
        start = (stored.shape[-1] - side) // 2
        image = stored[..., start : start + side, start : start + side]
        if image.ndim == 3:
            image = np.moveaxis(image, 0, -1)
        return Made(np.ascontiguousarray(image), (height, width), remarks=remarks)

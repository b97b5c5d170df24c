"""A new film, as a classifier takes it: read and prepared as prepare.py prepares films."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from prediction.items import Item, LeftOut
from preparation.films.dicom.film_reader import DicomFilmReader
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.films.film_layout import FilmLayout
from preparation.films.image_files import ImageFileReader
from preparation.films.inversion import looks_inverted
from preparation.films.stored_film import as_stored
from preparation.left_out import cannot_be_read
from preparation.volumes.dicom_file import is_lossy

# What is said of a film that is used although something looks wrong; see docs/films.md.
_SUSPICIONS = {
    "looks_inverted": "Looks like a negative: its middle is darker than its lungs. Used as it is.",
    "polarity_contradicts": "Its header contradicts itself on which end of the greys is black.",
    "outliers_clipped": "A few values far outside its range were clipped.",
    "low_contrast": "Half of its pixels lie within a twentieth of its range.",
    "for_processing": "Holds the detector's raw values, not a picture for the eye.",
    "window_ignored": "Its window leaves no picture and was not used.",
    "rescale_ignored": "Its rescale makes no sense and was not used.",
    "not_square_pixels": "Its pixels are no squares: what is round looks oval.",
    "resampled_to_square": "Its pixels were no squares and were resampled.",
    "no_preamble": "Lacks the beginning of a DICOM file.",
    "was_colour": "Was a colour picture and was made grey.",
    "had_transparency": "Is partly transparent; black is behind it.",
    "synthetic": "Says that it is synthetic.",
}
_LOSSY_PICTURES = (".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class FilmInput:
    """One film as a network takes it.

    Attributes:
        pixels: (C, S, S) uint8 or uint16, the middle of the stored film.
        notes: Sentences on how it differs from what the checkpoint was trained on.
    """

    pixels: NDArray[Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReadFilm:
    """Reads one film, or says why it is left out; a small object, sent to the workers.

    Attributes:
        layout: Of the films that the checkpoint was trained on.
        network_size: Side in pixels of what the network sees.
        views: Views of the films that it was trained on, as far as they told them.
        trained_on: What these were: "dicom", "pictures", or "" where it is not known.
        dicom: Which DICOM films are taken.
    """

    layout: FilmLayout
    network_size: int
    views: tuple[str, ...]
    trained_on: str
    dicom: DicomOptions

    def __call__(self, item: Item) -> FilmInput | LeftOut:
        """Return the film as the network takes it."""
        file = FilmFile(item.name, item.paths[0], item.num_bytes)
        is_dicom = item.kind == "film"
        read = (
            DicomFilmReader(self.dicom, "file", allow_synthetic=True)
            if is_dicom
            else ImageFileReader(self.layout.channels, allow_synthetic=True)
        )
        try:
            film = read(file)
            stored, _, suspicions = as_stored(film, self.layout)
        except RejectedFilm as why:
            return LeftOut(f"{why.reason}: {why.sentence}")
        except Exception as error:  # one bad file never ends a batch
            return LeftOut(f"unreadable: {cannot_be_read(error, *item.paths)}")
        if not is_dicom and self.layout.channels == 1 and looks_inverted(film.pixels):
            suspicions.append("looks_inverted")
        planes = stored if stored.ndim == 3 else stored[None]
        first, size = (planes.shape[-1] - self.layout.image_size) // 2, self.layout.image_size
        middle = np.ascontiguousarray(planes[:, first : first + size, first : first + size])
        notes = [_SUSPICIONS.get(one, f"{one}.") for one in suspicions]
        return FilmInput(middle, (*item.notes, *self._differences(item, film), *notes))

    def _differences(self, item: Item, film: Film) -> list[str]:
        """Sentences on how a film differs from those of the training."""
        notes = []
        if item.kind == "film":
            view = str(film.geometry["view"])
            trained = " and ".join(self.views)
            if self.views and view not in self.views:
                told = f"Its view is {view}" if view else "The header names no view"
                notes.append(f"{told}; the checkpoint was trained on {trained}.")
            if _is_lossy_dicom(item):
                notes.append("Went through lossy compression.")
            if self.trained_on == "pictures":
                notes.append(
                    f"Its greys are those of its header's window ({film.geometry['window']}); the "
                    "checkpoint was trained on pictures, whose windows are not known."
                )
        else:
            if self.trained_on == "dicom":
                notes.append(
                    "Is a picture, whose window and polarity are not known; the checkpoint was "
                    "trained on DICOM films."
                )
            if "source_range" in film.geometry:
                low, high = film.geometry["source_range"]
                notes.append(f"Has more than 8 bits: {low:g} is black and {high:g} is white.")
            if item.name.lower().endswith(_LOSSY_PICTURES):
                notes.append("Went through lossy compression.")
        height, width = film.pixels.shape[:2]
        if max(height, width) < self.network_size:
            notes.append(
                f"Is {height}x{width}, enlarged to the {self.network_size} px of training."
            )
        return notes


def _is_lossy_dicom(item: Item) -> bool:
    try:
        header = pydicom.dcmread(
            item.paths[0], stop_before_pixels=True, specific_tags=["LossyImageCompression"],
            force=True,
        )  # fmt: skip
        return is_lossy(header)
    except Exception:  # it was read as a film; nothing else is lost
        return False

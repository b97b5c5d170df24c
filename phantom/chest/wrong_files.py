"""Files that a pipeline for PA films must refuse by name, made from drawn films."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from phantom.chest.dicom_file import draw_encoding, file_bytes, film_dataset
from phantom.chest.film import draw_film
from phantom.chest.patient import draw_chest_patient

# Their patients are no one else's.
_FIRST_PATIENT = 900_000


def _multi_frame(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2


def _colour(dataset: Dataset) -> None:
    grey = np.frombuffer(dataset.PixelData, np.uint8)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.PixelData = np.repeat(grey, 3).tobytes()


def _wrong_body_part(dataset: Dataset) -> None:
    dataset.BodyPartExamined = "HAND"


def _wrong_modality(dataset: Dataset) -> None:
    dataset.Modality, dataset.SOPClassUID = "CT", CTImageStorage


def _without_view(dataset: Dataset) -> None:
    del dataset.ViewPosition


def _without_patient(dataset: Dataset) -> None:
    del dataset.PatientID


def _burned_in(dataset: Dataset) -> None:
    dataset.BurnedInAnnotation = "YES"


def _unchanged(dataset: Dataset) -> None:
    pass


# By the reason for which the film is refused. The three that are nothing in the header
# (`truncated`, `not_dicom`, `constant`) are made below.
_CHANGES: dict[str, Callable[[Dataset], None]] = {
    "truncated": _unchanged,
    "not_dicom": _unchanged,
    "multi_frame": _multi_frame,
    "colour": _colour,
    "body_part": _wrong_body_part,
    "modality": _wrong_modality,
    "no_view": _without_view,
    "no_patient": _without_patient,
    "burned_in_annotation": _burned_in,
    "constant": _unchanged,
}
WRONG_KINDS = tuple(_CHANGES)


def wrong_file(number: int, seed: int, image_size: int) -> tuple[str, bytes]:
    """Make one wrong file; kinds take turns with the number.

    Args:
        number: Of the wrong file, from 0.
        seed: Of the set.
        image_size: Pixels per side.

    Returns:
        What is wrong with it (one of WRONG_KINDS), and the file's bytes.
    """
    what = WRONG_KINDS[number % len(WRONG_KINDS)]
    if what == "not_dicom":
        return what, b"This film could not be exported. Please try again later.\n"
    patient = draw_chest_patient(_FIRST_PATIENT + number, seed)
    film: NDArray[np.float32] = draw_film(patient, "PA", image_size)
    if what == "constant":
        film = np.full_like(film, 0.5)
    encoding = draw_encoding(patient.film_rng(70))
    # Uncompressed, so that frames, colours and cuts need no encoder.
    bits = 8 if what == "colour" else encoding.bits
    encoding = replace(encoding, bits=bits, transfer_syntax=str(ExplicitVRLittleEndian))
    dataset = film_dataset(film, patient, "PA", encoding)
    _CHANGES[what](dataset)
    content = file_bytes(dataset, encoding.transfer_syntax)
    if what == "truncated":
        content = content[: -(film.size * (dataset.BitsAllocated // 8)) // 2]
    return what, content

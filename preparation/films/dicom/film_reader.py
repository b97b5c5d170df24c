"""DICOM films: found in folders, and read one at a time with nothing but a refusal let through."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from preparation.copies import pixel_hash
from preparation.films.dicom import header as dicom_header
from preparation.films.dicom.grey import show
from preparation.films.dicom.header import DicomOptions
from preparation.films.dicom.opening import opened
from preparation.films.dicom.pixels import decode
from preparation.films.files.find import is_file_or_lost, num_bytes, visible_files
from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.films.inversion import looks_inverted
from preparation.left_out import MAY_NOT_BE_READ
from preparation.synthetic_files import synthetic_sentence
from synthetic_marks import mark_in_dicom, mark_of_folder

_ENDINGS = (".dcm", ".dicom", ".dic", ".ima")


def find_dicom_films(source: Path) -> list[FilmFile]:
    """List every file under a folder, sorted by name; whether it is a film shows when it is read.

    Hidden files and folders and DICOMDIR are left out. Links to files are followed, links to
    folders are not, so no file comes twice through a loop. A link to a file that is gone is listed,
    so that its film is counted as unreadable; pipes and devices, which may wait for ever, are not.

    Raises:
        UserError: A folder is missing or cannot be listed.
    """
    found = [
        FilmFile(path.relative_to(source).as_posix(), path, num_bytes(path))
        for path in visible_files(source)
        if path.name != "DICOMDIR" and is_file_or_lost(path)
    ]
    return sorted(found, key=lambda file: file.name)


@dataclass(frozen=True)
class DicomFilmReader:
    """Reads one DICOM film, or refuses it; see `FilmReader`.

    The header is judged before anything is decoded, so films that are not wanted cost little.

    Attributes:
        options: Which films are taken.
        patient_from: What films of one patient share: PatientID, the folder, or nothing (each
            file is a patient).
        allow_synthetic: See `SyntheticFiles`; taken ones have the suspicion `synthetic`.
        any_use: Every grey picture that is no scan: secondary captures too, of any view and part
            of the body. `options` then say nothing.
    """

    options: DicomOptions = DicomOptions()
    patient_from: Literal["tag", "folder", "file"] = "tag"
    allow_synthetic: bool = False
    any_use: bool = False

    def __call__(self, file: FilmFile) -> Film:
        """Return the film, or raise RejectedFilm and nothing else."""
        with _quiet():
            try:
                return self._read(file)
            except RejectedFilm:
                raise
            except MemoryError:
                raise RejectedFilm("too_large", "It does not fit into memory.") from None
            except InvalidDicomError:
                raise RejectedFilm("not_dicom", "It is no DICOM file.") from None
            except PermissionError:
                raise RejectedFilm("unreadable", MAY_NOT_BE_READ) from None
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise RejectedFilm("unreadable", f"It cannot be read ({why}).") from None
            except Exception as error:
                # The type only: messages quote values of the header.
                raise RejectedFilm(
                    "unreadable", f"It cannot be read, or its header ({type(error).__name__})."
                ) from None

    def _read(self, file: FilmFile) -> Film:
        with opened(file.path) as (stream, syntax, has_preamble):
            header = pydicom.dcmread(
                stream, stop_before_pixels=True, specific_tags=dicom_header.TAGS
            )
            mark = mark_in_dicom(header) or mark_of_folder(file.path)
            if mark is not None and not self.allow_synthetic:
                raise RejectedFilm("synthetic", synthetic_sentence(mark))
            if not stream.read(1) and dicom_header.is_radiograph(header, if_not_told=True):
                raise RejectedFilm("truncated", "It ends before its pixels.")
            if self.any_use:
                dicom_header.check_picture(header, "keep", captures=True)
                view = dicom_header.View("", "")
            else:
                dicom_header.check_picture(header, self.options.without_modality)
                view = dicom_header.check_use(header, self.options)
            stored = decode(stream, syntax)
        shown = show(stored, header)
        spacing_mm, spacing_from = dicom_header.spacing(header)
        return Film(
            pixels=shown.pixels,
            patient=self._patient(file, header),
            each_alone=self.patient_from == "file",
            keys=_keys(file, header),
            spacing_mm=spacing_mm,
            spacing_from=spacing_from,
            pixel_shape=dicom_header.pixel_shape(header),
            geometry={
                "view": view.name,
                "view_from": view.said_by,
                "photometric": dicom_header.photometric(header),
                "window": shown.window,
                "source_bits": dicom_header.whole(header, "BitsStored"),
                "magnification": dicom_header.magnification(header),
            },
            suspicions=(
                *shown.suspicions,
                *_suspicions(shown.pixels, header),
                *(() if has_preamble else ("no_preamble",)),
                *(() if mark is None else ("synthetic",)),
            ),
            pixel_sha256=pixel_hash(stored),
        )

    def _patient(self, file: FilmFile, header: Any) -> str | None:
        if self.patient_from == "file":
            return file.name
        if self.patient_from == "folder":
            folder = str(PurePosixPath(file.name).parent)
            return None if folder == "." else folder
        return dicom_header.text(header, "PatientID") or None


def uid_of(file: FilmFile) -> str:
    """A film's SOPInstanceUID; empty where it cannot be read or has none."""
    with _quiet():
        try:
            tags = ["SOPInstanceUID"]
            with opened(file.path) as (stream, _, _):
                header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=tags)
            return dicom_header.text(header, "SOPInstanceUID")
        except Exception:  # whatever is wrong with it is said when it is read as a film
            return ""


def _keys(file: FilmFile, header: Any) -> tuple[str, ...]:
    """Names under which a table may list the film; without doubles, in this order."""
    path = PurePosixPath(file.name)
    # Only an ending that is one: `1.2.840.4` without it would be another film's UID.
    stem = path.stem if path.suffix.lower() in _ENDINGS else path.name
    keys = (file.name, path.name, stem, dicom_header.text(header, "SOPInstanceUID"))
    return tuple(dict.fromkeys(key for key in keys if key))


def _suspicions(pixels: NDArray[np.float32], header: Any) -> tuple[str, ...]:
    found = []
    if looks_inverted(pixels):
        found.append("looks_inverted")
    if dicom_header.text(header, "PresentationIntentType").upper() == "FOR PROCESSING":
        found.append("for_processing")  # the detector's raw values, not meant to be looked at
    return tuple(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's warnings off the log: damaged films bring hundreds, with header values."""
    logger = logging.getLogger("pydicom")
    silent, propagates = logging.NullHandler(), logger.propagate
    logger.addHandler(silent)
    logger.propagate = False
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(silent)

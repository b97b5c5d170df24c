"""Films as PNG, JPEG, TIFF, BMP or WebP: read, and their patients found in names of files."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from preparation.films.decoded_picture import decoded, rejection_of
from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.synthetic_files import synthetic_sentence
from preparation.text_file import as_text
from provenance import UserError


@dataclass(frozen=True)
class ImageFileReader:
    """Reads one image.

    Eight bits and fewer are divided by their largest value; deeper grey goes from the image's
    own lowest value to its highest, since a 12-bit film in a 16-bit file would else be black; a
    few values far outside, or a frame's, are clipped (`grey_range`), which is a suspicion
    (`outliers_clipped`).
    Transparent pixels lie on black. EXIF orientation is applied, colour profiles are not.

    Attributes:
        channels: 1 for (H, W) grey; colour becomes ITU-R 601 luminance and is a suspicion
            (`was_colour`), unless its planes are equal. 3 for (H, W, 3); grey is repeated.
        patient_pattern: Regular expression, searched in the relative name: its first group is the
            patient, or the whole match where it has none. Without a match there is no patient.
        patient_from: `folder`: the name of the folder that the file lies in (two folders of one
            name are one patient). `file`: every film is a patient of its own.
        label_from_folder: The name of that folder, in lower case, is the film's `label`.
        allow_synthetic: See `SyntheticFiles`; taken ones have the suspicion `synthetic`.

    Raises:
        UserError: The pattern is no regular expression, or both ways to a patient are given.
    """

    channels: Literal[1, 3] = 1
    patient_pattern: str | None = None
    patient_from: Literal["none", "folder", "file"] = "none"
    label_from_folder: bool = False
    allow_synthetic: bool = False

    def __post_init__(self) -> None:
        if self.patient_pattern is None:
            return
        if self.patient_from != "none":
            raise UserError(
                "--patient-pattern and --patient-from: both name the patient. Give one of them."
            )
        try:
            re.compile(self.patient_pattern)
        except re.error as error:
            raise UserError(
                f"--patient-pattern {self.patient_pattern}: is not a regular expression ({error}). "
                r"Expected one whose first group is the patient, such as (IM-\d+|person\d+)."
            ) from error

    def __call__(self, file: FilmFile) -> Film:
        """Return the film.

        Raises:
            RejectedFilm: not_a_picture, truncated, unreadable, too_large, too_small, multi_frame,
                bit_depth, colour, constant or synthetic.
        """
        name = PurePosixPath(file.name)
        folder = name.parent.name or None
        try:
            pixels, geometry, suspicions, digest, mark = decoded(file.path, self.channels)
            if mark is not None:
                if not self.allow_synthetic:
                    raise RejectedFilm("synthetic", synthetic_sentence(mark))
                suspicions += ("synthetic",)
        except RejectedFilm:
            raise
        except Exception as error:  # damaged files raise almost anything out of Pillow
            raise rejection_of(error, file) from error
        return Film(
            pixels=pixels,
            patient=self.patient_of(file.name),
            each_alone=self.patient_from == "file",
            keys=tuple(dict.fromkeys((file.name, name.name, name.stem))),
            labels={"label": as_text(folder).lower()} if self.label_from_folder and folder else {},
            geometry=geometry,
            suspicions=suspicions,
            pixel_sha256=digest,
        )

    def patient_of(self, name: str) -> str | None:
        """The identifier of the patient whom the film of this relative name shows, or None."""
        if self.patient_pattern is not None:
            start, end = self._found(name)
            return name[start:end] or None
        folder = PurePosixPath(name).parent.name or None
        return {"none": None, "folder": folder, "file": name}[self.patient_from]

    def _found(self, name: str) -> tuple[int, int]:
        """From where to where the pattern finds the patient in a name."""
        match = re.search(self.patient_pattern or "", name)
        if match is None:
            return 0, 0
        return match.span(1 if match.re.groups and match[1] else 0)

    def folder_names_patient(self, name: str) -> bool:
        """Whether the patient is found in the name of the folder that a file lies in."""
        if self.patient_pattern is None:
            return self.patient_from == "folder"
        folder, _, _ = name.rpartition("/")
        start, end = self._found(name)
        return folder.rfind("/") + 1 < end <= len(folder) and start < end

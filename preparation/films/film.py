"""What every source of films hands to the preparation, and how a film is refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# More pixels than any detector has: a header that promises more is damaged or hostile.
MAX_PIXELS = 100_000_000
MIN_SIDE = 16
# Reasons that say that a sound film is another one than was asked for: no film is lost by them.
DUPLICATE = "duplicate"  # of --on-duplicates drop
NOT_ASKED_FOR = ("modality", "body_part", "view", DUPLICATE)


class RejectedFilm(Exception):  # noqa: N818 - it steers the batch, it is not a failure of the program
    """A film is not used. Carries the reason's key, for counting, and a sentence, for the list.

    Neither may hold an identifier: keys and counts are printed and stored.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(reason, sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True)
class FilmFile:
    """One film on disk, before it is read.

    Attributes:
        name: Path relative to the source, with `/`; for films inside an array file, with
            `#<split>/<index>` after it. It may identify somebody, so no file of the cache holds it.
        path: Where to read it.
        num_bytes: Size of the file; with the name it tells whether the source has changed.
    """

    name: str
    path: Path
    num_bytes: int


@dataclass
class Film:
    """One film in memory, as it should be looked at: black is 0, white is 1.

    Attributes:
        pixels: (H, W) float32 in [0, 1], or (H, W, 3) for a colour image. Windowed, and inverted
            if the file stores black as the largest value.
        patient: The identifier in clear, or None. The cache holds its hash.
        each_alone: Every film is a patient of its own: `patient` is its file, and no number.
        keys: Names under which a label table may list the film (file name, SOPInstanceUID).
        labels: Labels that the source itself knows, by column.
        split: The split that the source itself prescribes, or None.
        spacing_mm: (row, column) distance of pixel centres, None where the source does not tell.
        spacing_from: The DICOM attribute that the spacing was taken from.
        pixel_shape: Height of a pixel over its width, None where the source does not tell.
        geometry: What the manifest keeps besides (plain values, nothing that identifies).
        suspicions: Keys of what looks wrong though the film is used, such as `looks_inverted`.
        pixel_sha256: `pixel_hash` of what the source stores, before windowing.
    """

    pixels: NDArray[np.float32]
    patient: str | None = None
    each_alone: bool = False
    keys: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    split: str | None = None
    spacing_mm: tuple[float, float] | None = None
    spacing_from: str | None = None
    pixel_shape: float | None = None
    geometry: dict[str, Any] = field(default_factory=dict)
    suspicions: tuple[str, ...] = ()
    pixel_sha256: str | None = None


class FilmReader(Protocol):
    """Reads one film; a small picklable object, sent to the workers."""

    def __call__(self, file: FilmFile) -> Film:
        """Return the film, or raise RejectedFilm; nothing else is let through."""
        ...

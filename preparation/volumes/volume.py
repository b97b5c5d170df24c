"""What every source hands to the preparation: a job found on disk, and the volume it becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance import UserError

# Air, and what lies outside the field of view. CT stores at most 12 bits from here.
AIR_HU = -1024
MAX_HU = 3071
# Names of the labels 0, 1, ... in the masks of every present source. Jobs carry them, and the
# manifest keeps them; nothing past the source knows them otherwise.
KIDNEY_AND_TUMOUR = ("background", "kidney", "tumour")


class SkipVolume(Exception):  # noqa: N818 - it steers the batch, it is not a failure of the program
    """A volume cannot be used. Carries the file and a sentence; the batch goes on without it."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason


@dataclass(frozen=True)
class Job:
    """One shard to make, as found on disk without reading pixels.

    Attributes:
        shard: Name of the shard and prefix of its item ids; safe as a file name.
        patient_id: The person.
        files: Source files by role (`image`, `mask`, or one per slice), in a fixed order.
        names: What each file is called in messages and in the manifest: relative, no identifier.
        slice_shape: (H, W) of a source slice.
        num_slices: Slices promised by the header; for the progress bar.
        class_names: Names of the labels 0, 1, ... that its mask may hold.
        options: What the reader needs besides (plain values).
        folder: The source's name for the patient where it may identify somebody; messages on
            the screen show it, files of the cache have the pseudonym instead.
    """

    shard: str
    patient_id: str
    files: tuple[Path, ...]
    names: tuple[str, ...]
    slice_shape: tuple[int, int]
    num_slices: int
    class_names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None

    def discreet(self, text: str) -> str:
        """Return a message with the pseudonym where the source's folder name stood."""
        return text.replace(f"{self.folder}/", f"{self.patient_id}/") if self.folder else text


@dataclass
class Volume:
    """One volume in memory, slices first, rows towards the back, columns towards the left.

    Attributes:
        image: (S, H, W) int16 in Hounsfield units, clipped to [-1024, 3071]; or uint8 grey that
            passes through unwindowed; or None where the source has label maps alone.
        mask: (S, H, W) uint8 labels.
        slice_indices: Index of each slice in the source's volume.
        pixel_spacing_mm: (row, column) of the source, None where unknown.
        slice_spacing_mm: Distance of neighbouring slices, None where unknown.
        geometry: What the manifest keeps about the source's geometry (plain values).
        notes: Sentences for the person: what was noticed and what was done about it.
        skipped: (file, reason) of slices left out, where the source has one file per slice.
    """

    image: NDArray[np.int16] | NDArray[np.uint8] | None
    mask: NDArray[np.uint8]
    slice_indices: list[int]
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | None = None
    geometry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Found:
    """What a source folder holds: jobs, what cannot become one, and sentences about both.

    `aliases` maps folder names that may identify somebody to pseudonyms, for what is written.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels of its jobs' masks."""
        return self.jobs[0].class_names

    def discreet(self, text: str) -> str:
        """Return a message with pseudonyms where folder names stood."""
        for folder, patient_id in self.aliases.items():
            text = text.replace(f"{folder}/", f"{patient_id}/")
        return text


Reader = Callable[[Job], Volume]


def existing_folder(source: Path) -> Path:
    """Return the folder, or raise a UserError that says it is missing."""
    if not source.is_dir():
        raise UserError(
            f"--source {source}: there is no such folder. Give the folder that holds the raw data."
        )
    return source


def listed(class_names: Sequence[str], link: str) -> str:
    """Labels with their names, such as `0 (background), 1 (kidney) and 2 (tumour)`."""
    *others, last = (f"{label} ({name})" for label, name in enumerate(class_names))
    return f"{', '.join(others)} {link} {last}"


def check_labels(mask: NDArray[Any], name: str, class_names: Sequence[str]) -> None:
    """Refuse labels that have no name.

    Raises:
        SkipVolume: Names the labels that were found.
    """
    low, high = int(mask.min()), int(mask.max())
    count = len(class_names)
    if low >= 0 and high < count:
        return
    found = np.unique(mask)
    wrong = [int(v) for v in found[(found < 0) | (found >= count)][:5]]
    raise SkipVolume(
        name,
        f"has label values {wrong}, expected only {listed(class_names, 'and')}. "
        f"Left out; say what each means with --label-map {wrong[0]}=0 (or the label or the name of "
        "a class, which may be a new one), into another --out.",
    )


def check_image(image: NDArray[np.int16] | NDArray[np.uint8], name: str) -> list[str]:
    """Refuse a constant volume; return a note where values do not look like Hounsfield units."""
    low, high = int(image.min()), int(image.max())
    if low == high:
        raise SkipVolume(
            name,
            f"is constant (every voxel is {low}). Left out; the export probably lost its pixels.",
        )
    if image.dtype == np.int16 and low > -200:
        return [
            f"{name}: no voxel is below -200, so its values may not be Hounsfield units "
            f"(range {low} to {high}). Used as it is; check the rescale slope and intercept."
        ]
    return []

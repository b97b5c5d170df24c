"""What every source hands to the preparation: a job found on disk, and the volume it becomes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patient_names import RoundedNumberError
from preparation import left_out
from preparation.pseudonym import Naming
from preparation.synthetic_files import synthetic_sentence
from preparation.volumes.own_names import OwnNames
from provenance import UserError
from spelling import meant_path

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


def cannot_be_read(name: str, error: Exception, *files: Path) -> SkipVolume:
    """What to leave out because a library raised something that nobody foresaw.

    Args:
        name: Of the volume or file, in the cache.
        error: What was raised; its type and its sentence are said.
        files: Those that were read, whose names are not said.
    """
    return SkipVolume(name, left_out.cannot_be_read(error, *files))


@dataclass(frozen=True)
class Job:
    """One shard to make, as found on disk without reading pixels.

    Attributes:
        shard: Name of the shard and prefix of its item ids; safe as a file name.
        patient_id: The person.
        identifiers: The source's spellings of the person: for the screen and the private table.
        split_key: What the person's split is drawn for, see `Split.divide`; never written.
        item_key: What stands for the shard in the keys of its items; never written.
        files: Source files by role (`image`, `mask`, or one per slice), in a fixed order.
        names: What each file is called in sentences and in the manifest, see `own_names`.
        slice_shape: (H, W) of a source slice.
        num_slices: Slices promised by the header; for the progress bar.
        class_names: Names of the labels 0, 1, ... that its mask may hold.
        options: What the reader needs besides (plain values).
    """

    shard: str
    patient_id: str
    identifiers: tuple[str, ...]
    split_key: str
    item_key: str
    files: tuple[Path, ...]
    names: tuple[str, ...]
    slice_shape: tuple[int, int]
    num_slices: int
    class_names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Volume:
    """One volume in memory, slices first, rows towards the back, columns towards the left.

    Attributes:
        image: (S, H, W) int16 in Hounsfield units, clipped to [-1024, 3071]; or uint8 grey that
            passes through unwindowed; or float32 in the source's unit, clipped where a channel is
            in HU; or None where the source has label maps alone. (S, C, H, W) of several channels.
        mask: (S, H, W) uint8 labels.
        slice_indices: Index of each slice in the source's volume.
        pixel_spacing_mm: (row, column) of the source, None where unknown.
        slice_spacing_mm: Distance of neighbouring slices, of each slice where it varies; None where
            unknown.
        geometry: What the manifest keeps about the source's geometry (plain values).
        notes: Sentences for the person: what was noticed and what was done about it.
        skipped: (file, reason) of slices left out, where the source has one file per slice.
        mapped: Values of its mask that a label map has changed; None where labels are no values.
        num_synthetic: Slices that say that they are synthetic, and were taken in.
    """

    image: NDArray[np.int16] | NDArray[np.uint8] | NDArray[np.float32] | None
    mask: NDArray[np.uint8]
    slice_indices: list[int]
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_spacing_mm: float | list[float] | None = None
    geometry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    mapped: set[int] | None = None
    num_synthetic: int = 0


@dataclass
class Found:
    """What a source folder holds: jobs, what cannot become one, and sentences about both.

    Attributes:
        jobs: One per volume.
        skipped: (file, reason) of the others, by names of the cache.
        notes: Sentences for the screen alone; they may name what the source does.
        naming: How patients are named.
        own_names: What the source calls the files.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    naming: Naming = field(default_factory=Naming)
    own_names: OwnNames = field(default_factory=OwnNames)
    _shards: Counter[str] = field(default_factory=Counter)
    _volumes: Counter[str] = field(default_factory=Counter)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels of its jobs' masks."""
        return self.jobs[0].class_names

    @property
    def spellings(self) -> dict[str, dict[str, str]]:
        """The split key of each spelling, by patient."""
        found: dict[str, dict[str, str]] = {}
        for job in self.jobs:
            found.setdefault(job.patient_id, {}).update(
                dict.fromkeys(job.identifiers, job.split_key)
            )
        return found

    @property
    def split_keys(self) -> dict[str, set[str]]:
        """The keys of each patient, see `Split.divide`."""
        return {who: set(keys.values()) for who, keys in self.spellings.items()}

    def new_shard(self, patient_id: str) -> str:
        """Return the name of a patient's first shard, which is the patient's, or of the next.

        Names that differ in upper and lower case alone are one file on some systems.
        """
        name = patient_id.lower()
        self._shards[name] += 1
        number = self._shards[name]
        return patient_id if number == 1 else f"{patient_id}_{number}"

    def new_item_key(self, split_key: str) -> str:
        """Return the key of a patient's first volume, which is the patient's, or of the next.

        Call it once for each job: the volume counts from then on.
        """
        self._volumes[split_key] += 1
        number = self._volumes[split_key]
        return split_key if number == 1 else f"{split_key}_{number}"


Reader = Callable[[Job], Volume]


def is_synthetic(name: str, mark: str | None, job: Job) -> bool:
    """Whether a file says that it is synthetic.

    Args:
        name: Of the file.
        mark: What says it, None where nothing does.
        job: Whether such files are wanted stands in its options.

    Raises:
        SkipVolume: It is, and is not wanted.
    """
    if mark is not None and not job.options.get("allow_synthetic"):
        raise SkipVolume(name, synthetic_sentence(mark))
    return mark is not None


def existing_folder(source: Path) -> Path:
    """Return the folder, or raise a UserError that says it is missing."""
    if not source.is_dir():
        lacks = "is a file, expected a folder" if source.exists() else "there is no such folder"
        raise UserError(
            f"--source {source}: {lacks}.{meant_path(source)} "
            "Give the folder that holds the raw data."
        )
    return source


def found_each(
    folders: Iterable[Path], found: Found, job_of: Callable[[Path], Job | None]
) -> Found:
    """Add the job of every folder; one that makes none is listed, whatever was raised.

    Args:
        folders: One per volume.
        found: Takes in jobs and what was left out.
        job_of: Makes a job of a folder, or raises.
    """
    for folder in folders:
        try:
            job = job_of(folder)
        except SkipVolume as skip:
            found.skipped.append((skip.file, skip.reason))
            continue
        except Exception as error:  # headers raise what they like
            name = folder.resolve().name
            alias = found.own_names.add(found.naming.alias(name), name, folder)
            reason = cannot_be_read(alias, error, folder).reason
            found.skipped.append((alias, reason))
            continue
        if job is not None:
            found.jobs.append(job)
    return found


def named_folder(folder: Path, found: Found) -> str:
    """Return the patient that a folder's name is.

    Raises:
        SkipVolume: It is nobody's.
    """
    try:
        patient = found.naming.patient_id(folder.name)
        reason = "its name is that of a missing value; if it is a patient's, pass --patient-ids "
        reason += "as_written."
    except RoundedNumberError as error:
        patient, reason = "", str(error)
    if not patient:
        alias = found.naming.alias(folder.name)
        raise SkipVolume(found.own_names.add(alias, folder.name, folder), f"{reason} Left out.")
    return patient

"""What evaluate.py asks of plain folders of images, which nobody has prepared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# What generate.py and prepare.py begin a folder with, and finish it with.
_OURS = {"manifest.json", "request.json", "settings.json", "part.json"}


@dataclass(frozen=True, kw_only=True)
class PlainFolders:
    """What plain folders need that caches and sets do not.

    Attributes:
        held_out: Plain folders: real images that the generator never saw. Without it some of the
            real ones are held out.
        patients: Plain folders: table (CSV) that names each real image and its patient.
        patient_pattern: Plain folders: regular expression that finds the patient in a real image's
            name.
        patient_from: Plain folders. file: every real file is a patient of its own. folder: the
            folder's name is the patient.
        image_size: Plain folders: side in pixels that all images get. None: the usual one of the
            synthetic images, at most 256.
        black: Plain folders: value of NumPy, NIfTI and CT DICOM files that is black, such as -1;
            with --white. None: see --values of prepare.py synthetic; of CT -200 HU.
        white: Plain folders: value that is white, such as 1. None: of CT 200 HU.
        workers: Plain folders: processes that read.
    """

    held_out: Path | None = None
    patients: Path | None = None
    patient_pattern: str | None = None
    patient_from: Literal["file", "folder"] = "file"
    image_size: int | None = None
    black: float | None = None
    white: float | None = None
    workers: int = 1

    @property
    def values(self) -> tuple[float, ...]:
        """Black and white, as far as they are given."""
        return tuple(value for value in (self.black, self.white) if value is not None)


def is_plain(folder: Path) -> bool:
    """Whether a folder holds anything and is no cache and no set, finished or not; or is a file."""
    if not folder.is_dir():
        return folder.is_file()
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return bool(names) and not names & _OURS

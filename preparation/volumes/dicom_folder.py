"""Which series a folder of DICOM files holds, and which of them is meant."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from preparation.volumes.dicom_file import normal_of, read_dicom
from preparation.volumes.own_names import numbered
from preparation.volumes.volume import SkipVolume

_Files = list[tuple[Path, str, Any]]


@dataclass
class Folder:
    """The series of a folder, by headers alone.

    Attributes:
        name: What it is called in sentences, see `own_names`.
        series: (path, name, header) of each file, by SeriesInstanceUID.
        notes: Sentences on files that are none of a series.
        unread: Names of files that are no DICOM, or DICOM without a picture.
    """

    name: str
    series: dict[str, _Files]
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def choices(self) -> list[tuple[str, int]]:
        """(last characters of the SeriesInstanceUID, files) of each; for the screen alone."""
        return sorted((uid[-6:], len(files)) for uid, files in self.series.items())

    @property
    def largest(self) -> str:
        """Among equals the smaller identifier, so that every run takes the same one."""
        return min(self.series, key=lambda uid: (-len(self.series[uid]), uid))

    def ending_in(self, wanted: str) -> str:
        """The series that `--series` means.

        Raises:
            SkipVolume: There is none, or several.
        """
        found = [uid for uid in self.series if uid == wanted]
        found = found or [uid for uid in self.series if uid.endswith(wanted)]
        if len(found) != 1:
            raise SkipVolume(
                self.name, f"has {len(found)} series that end in what --series says. Left out."
            )
        return found[0]


def read_folder(folder: Path, name: str) -> Folder:
    """Read the headers of a folder; localizers are left out of series that hold other slices.

    Args:
        folder: Holds the files of one or several series; files that are not DICOM are ignored.
        name: What to call the folder in sentences, see `own_names`.

    Raises:
        SkipVolume: No DICOM file, or a damaged header.
    """
    series: dict[str, _Files] = {}
    unread: list[str] = []
    foreign = bare = 0
    for number, path in numbered(folder):
        if not path.is_file():
            continue
        try:
            header, is_bare = read_dicom(path)
            uid = "" if header is None else str(header.get("SeriesInstanceUID", ""))
            has_pixels = header is not None and "Rows" in header
        except Exception as error:  # damaged headers raise eight kinds of exception
            raise SkipVolume(
                f"{name}{number}",
                f"has a damaged DICOM header ({type(error).__name__}). The series is left out; "
                "export it again.",
            ) from error
        foreign += header is None
        if not has_pixels:  # a DICOMDIR or a report has no picture
            unread.append(f"{name}{number}")
        else:
            bare += is_bare
            series.setdefault(uid, []).append((path, f"{name}{number}", header))
    if not series:
        raise SkipVolume(
            name, f"holds no DICOM file ({foreign} other files). Left out; check the folder."
        )
    notes = [f"{name}: {foreign} files are not DICOM and were ignored."] if foreign else []
    if bare:
        notes.append(
            f"{name}: {bare} files lack the preamble with which DICOM files begin. They were read "
            "as DICOM nevertheless."
        )
    return Folder(name, without_localizers(series, name, notes), notes, unread)


def without_localizers(series: dict[str, _Files], name: str, notes: list[str]) -> dict[str, _Files]:
    """Series without scouts, which some scanners put into the series that they plan."""
    kept = {uid: [file for file in files if not _is_localizer(file, files)]
            for uid, files in series.items()}  # fmt: skip
    kept = {uid: files for uid, files in kept.items() if files}
    if not kept:
        return series
    gone = [of_file for uid, files in series.items() for _, of_file, _ in files
            if of_file not in {of_kept for _, of_kept, _ in kept.get(uid, [])}]  # fmt: skip
    if gone:
        shown = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        what = "is a localizer and is" if len(gone) == 1 else "are localizers and are"
        notes.append(f"{name}: {shown} {what} not part of the volume.")
    return kept


def _is_localizer(file: tuple[Path, str, Any], files: _Files) -> bool:
    """By its ImageType, or because it lies across most others."""
    _, _, header = file
    kinds = header.get("ImageType") or []
    if "LOCALIZER" in ([kinds] if isinstance(kinds, str) else list(kinds)):
        return True
    own = _normal(header)
    if own is None or len(files) < 3:
        return False
    others = [normal for _, _, of in files if (normal := _normal(of)) is not None]
    across = sum(abs(float(own @ other)) < 0.5 for other in others)
    return 2 * across > len(files)


def _normal(header: Any) -> Any:
    try:
        normal = normal_of(header)
        return normal if np.isfinite(normal).all() else None
    except (AttributeError, TypeError, ValueError):
        return None


def chosen(folder: Folder, fits: Callable[[str], bool]) -> tuple[str, str]:
    """Which of several series of an image is meant, and a sentence on the choice.

    Args:
        folder: See `read_folder`.
        fits: Whether the masks lie on the slices of a series.

    Returns:
        The only series that the masks fit, or the largest where they fit none.

    Raises:
        SkipVolume: The masks fit several.
    """
    uid, count = folder.largest, len(folder.series)
    if count == 1:
        return uid, ""
    fitting = [uid for uid in folder.series if fits(uid)]
    if len(fitting) > 1:
        raise SkipVolume(
            folder.name,
            f"holds {len(fitting)} series that its masks match equally well, such as two phases of "
            "one scan. Left out; name the one that was segmented with --series.",
        )
    how = "the largest"
    if fitting:
        how = "the largest, which the masks match" if fitting[0] == uid else (
            "the one that the masks match"
        )  # fmt: skip
        uid = fitting[0]
    return uid, (
        f"{folder.name}: holds {count} series; took {how} ({len(folder.series[uid])} files). "
        "Pass --series to take another."
    )

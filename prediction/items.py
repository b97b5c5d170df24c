"""What a folder of new images holds: films and pictures one by one, CT slices by their series."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from foreign_text import printable
from preparation.films.files.find import SUFFIXES as PICTURES
from preparation.films.files.find import is_file_or_lost, num_bytes
from preparation.left_out import MAY_NOT_BE_READ
from preparation.text_file import as_text
from preparation.volumes.dicom_file import read_dicom
from preparation.volumes.dicom_folder import without_localizers
from provenance import UserError
from spelling import meant_path

_DICOM_ENDINGS = (".dcm", ".dicom", ".dic", ".ima")
_NIFTI_ENDINGS = (".nii", ".nii.gz")
_CHANNEL = re.compile(r"_(\d{4})(\.nii(?:\.gz)?)$")
_FORMULAS = ("=", "+", "-", "@")

Kind = Literal["picture", "film", "nifti", "series"]


@dataclass(frozen=True)
class Item:
    """One image, or one series of slices, before it is read.

    Attributes:
        name: Path relative to the source with `/`, as it is shown: a series by its folder, or by
            its first file where the folder holds several.
        kind: How it is read.
        paths: Its files.
        num_bytes: Of all of them; tells whether it has changed since it was predicted.
        notes: Sentences on what was noticed when it was found.
    """

    name: str
    kind: Kind
    paths: tuple[Path, ...]
    num_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Why an item is not predicted, in a sentence."""

    reason: str


@dataclass
class Found:
    """What a source holds.

    Attributes:
        items: To predict, by name.
        left_out: (name, reason) of files that are no image of this kind of model.
        others: Files of other kinds, which were not looked at, by suffix.
    """

    items: list[Item] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def find_items(source: Path, of_films: bool, channels: Sequence[str] = ()) -> Found:
    """List the images of a folder and the folders in it, or the one image that a file is.

    Hidden files, DICOMDIR, pipes and devices are passed over, and links to folders not followed.
    Only headers are read, and those of slices alone.

    Args:
        source: A folder or a file.
        of_films: For a classifier of films; else for a segmenter of slices.
        channels: Names of the channels. Of several, NIfTI files NAME_0000, NAME_0001, ... are one
            image, as nnU-Net names them; a file of another name, or of four axes, holds them all.

    Raises:
        UserError: There is nothing, or an archive.
    """
    found = Found()
    if not source.exists():
        raise UserError(
            f"--source {source}: there is no such folder or file.{meant_path(source)} Give the "
            "folder of the new images."
        )
    top = source if source.is_dir() else source.parent
    for folder, paths in _folders(source, top, found):
        files, in_parts = [], dict[str, dict[str, Path]]()
        for path in paths:
            name, kind = _name(path, top), _kind(path)
            if kind is None:
                found.others[path.suffix.lower()] += 1
            elif of_films and kind == "nifti":
                reason = "is a volume, and this checkpoint is a classifier of films."
                found.left_out.append((name, reason))
            elif kind == "nifti" and len(channels) > 1 and (number := _channel_number(path)):
                in_parts.setdefault(_CHANNEL.sub(r"\2", name), {})[number] = path
            elif of_films or kind != "film":
                found.items.append(Item(name, kind, (path,), num_bytes(path)))
            else:
                files.append((path, name))
        _find_series(folder, top, files, found)
        _put_together(in_parts, channels, top, found)
    found.items.sort(key=lambda item: item.name)
    if not found.items and not found.left_out:
        held = f" It holds {others_in_words(found.others)}." if found.others else ""
        raise UserError(
            f"--source {source}: holds no DICOM, NIfTI, PNG or JPEG image.{held} Give the folder "
            "of the new images; unpack archives first."
        )
    return found


def _channel_number(path: Path) -> str | None:
    """The number of the channel that a file's name ends in; None where it holds all channels."""
    import nibabel as nib

    match = _CHANNEL.search(path.name)
    if match is None:
        return None
    try:
        shape = nib.load(path).shape  # type: ignore[attr-defined]
    except Exception:  # said when it is read, beside the other channels
        return match[1]
    return None if len(shape) == 4 else match[1]


def _put_together(
    in_parts: Mapping[str, Mapping[str, Path]], channels: Sequence[str], top: Path, found: Found
) -> None:
    """Make an image of the files of each channel, by number; one that lacks some is left out."""
    numbers = {f"{place:04d}": channel for place, channel in enumerate(channels)}
    for name, parts in in_parts.items():
        if list(parts) == list(numbers):
            size = sum(num_bytes(path) for path in parts.values())
            found.items.append(Item(name, "nifti", tuple(parts.values()), size))
            continue
        lost = [f"{number} ({numbers[number]})" for number in numbers if number not in parts]
        more = [number for number in parts if number not in numbers]
        said = [f"{' and '.join(lost)} {_is_or_are(lost)} missing"] if lost else []
        said += [f"{' and '.join(more)} {_is_or_are(more)} no channel of the training"] * bool(more)
        reason = (
            f"is of an image of which {', and '.join(said)}: expected {', '.join(numbers)} of the "
            f"channels {', '.join(channels)}. Left out."
        )
        found.left_out.append((_name(next(iter(parts.values())), top), reason))


def _is_or_are(several: Sequence[str]) -> str:
    return "are" if len(several) > 1 else "is"


def others_in_words(others: Counter[str]) -> str:
    """Such as `3 .txt and 1 .pdf files`."""
    counted = [f"{count:,} {suffix}" for suffix, count in sorted(others.items())]
    return f"{' and '.join(counted)} files"


def _folders(source: Path, top: Path, found: Found) -> Iterator[tuple[Path, list[Path]]]:
    if source != top:
        yield top, [source]
        return

    def left_out(error: OSError) -> None:
        name = _name(Path(str(error.filename)), top)
        found.left_out.append((name, f"is a folder that cannot be listed ({error.strerror})."))

    for folder, folders, names in os.walk(source, onerror=left_out):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = (name for name in sorted(names) if not name.startswith(".") and name != "DICOMDIR")
        paths = (Path(folder, name) for name in shown)
        yield Path(folder), [path for path in paths if is_file_or_lost(path)]


def _name(path: Path, top: Path) -> str:
    relative = path.relative_to(top).as_posix() if path != top else top.resolve().name
    name = printable(as_text(relative))
    # Spreadsheets take a cell that begins so for a formula, and run it.
    return f"./{name}" if name.startswith(_FORMULAS) else name


def _kind(path: Path) -> Kind | None:
    """By the ending; what has none, or one of figures as UIDs have, may be DICOM."""
    name = path.name.lower()
    if name.endswith(_NIFTI_ENDINGS):
        return "nifti"
    if name.endswith(PICTURES):
        return "picture"
    if name.endswith(_DICOM_ENDINGS) or not re.search(r"\.[a-z]\w*$", name):
        return "film"
    try:
        with open(path, "rb") as stream:
            return "film" if stream.read(132)[128:] == b"DICM" else None
    except OSError:
        return None


def _find_series(folder: Path, top: Path, files: list[tuple[Path, str]], found: Found) -> None:
    """Put the slices of a folder together by their series."""
    series: dict[str, list[tuple[Path, str, Any]]] = {}
    for path, name in files:
        try:
            header, _ = read_dicom(path)
        except PermissionError:
            found.left_out.append((name, MAY_NOT_BE_READ))
        except Exception as error:  # damaged headers raise eight kinds of exception
            reason = f"has a damaged DICOM header ({type(error).__name__}). Export it again."
            found.left_out.append((name, reason))
        else:
            if header is None:
                found.left_out.append((name, "is no DICOM file."))
            elif "Rows" not in header:
                modality = str(header.get("Modality") or "")
                kind = f" ({modality})" if re.fullmatch("[A-Z]{2,16}", modality) else ""
                found.left_out.append((name, f"holds no picture{kind}."))
            else:
                uid = str(header.get("SeriesInstanceUID", ""))
                series.setdefault(uid, []).append((path, name, header))
    of_folder, notes = _name(folder, top), list[str]()
    whole = without_localizers(series, of_folder, notes)
    for of_one in whole.values():
        kept, names = tuple(path for path, _, _ in of_one), [name for _, name, _ in of_one]
        alone = len(whole) == 1 and len(names) > 1
        size = sum(num_bytes(path) for path in kept)
        name = of_folder if alone else names[0]
        found.items.append(Item(name, "series", kept, size, tuple(notes) if alone else ()))


def file_names(item: Item) -> list[str]:
    """What each file of an item is called in sentences: its own name in the item's folder."""
    return [printable(as_text(PurePosixPath(path.as_posix()).name)) for path in item.paths]

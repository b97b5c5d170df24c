"""Which files of a folder are images: found, passed over, and sorted into class folders."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from preparation.films.film import FilmFile
from preparation.text_file import as_text
from provenance import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_OTHERS = (
    ".dcm", ".dicom", ".gif", ".jp2", ".j2k", ".jpf", ".jpx", ".jfif", ".jpe", ".heic", ".avif",
    ".pgm", ".nii", ".nii.gz", ".mha", ".nrrd", ".npy",
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".gz", ".bz2", ".xz", ".7z", ".rar",
)  # fmt: skip
# First bytes of the kinds of files that are read, whatever their names.
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
_MOST_CLASS_FOLDERS = 20


def visible_files(source: Path, flag: str = "--source") -> Iterator[Path]:
    """Files under a folder but hidden ones and those in hidden folders.

    Links to files are followed, links to folders are not, so no file comes twice through a loop.

    Args:
        source: The folder.
        flag: What named it, for the sentence.

    Raises:
        UserError: It is missing, or one below it cannot be listed.
    """

    def stop(error: OSError) -> None:
        raise UserError(
            f"{flag} {error.filename}: the folder cannot be listed ({error.strerror}). Its images "
            "would be missing unnoticed; make it readable, or move it away."
        ) from error

    for folder, subfolders, names in os.walk(source, onerror=stop):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def is_file_or_lost(path: Path) -> bool:
    """Whether a path is a file, or a link to one that is gone; not a pipe or a device."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def num_bytes(path: Path) -> int:
    """Size of a file; 0 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def nested_folders_note(files: Sequence[FilmFile]) -> list[str]:
    """A sentence where folders of films lie in others, several in one: which is the patient's?"""
    folders = {PurePosixPath(file.name).parent for file in files}
    above = Counter(folder.parent for folder in folders if len(folder.parts) > 1)
    several = sum(count > 1 for count in above.values())
    if several < 2:  # one may be above all patients
        return []
    return [
        "--patient-from folder takes the folder that a film lies in for its patient, and "
        f"{several:,} folders hold several of them. If those are the patients and these their "
        "studies, people leak between splits: name patients by a table's --patient-column, or by "
        "the PatientID of DICOM films or the --patient-pattern of others."
    ]


def find_image_files(source: Path) -> list[FilmFile]:
    """List the images under a folder, by suffix, sorted by their name relative to it.

    Hidden files and folders are left out, links to folders are not followed. A link to a file
    that is gone is listed, so that its film is counted as unreadable; pipes and devices, which may
    wait for ever, are not.

    Raises:
        UserError: The folder is missing, or one below it cannot be listed.
    """
    found = [
        FilmFile(path.relative_to(source).as_posix(), path, num_bytes(path))
        for path in visible_files(source)
        if path.suffix.lower() in SUFFIXES and is_file_or_lost(path)
    ]
    return sorted(found, key=lambda file: file.name)


def passed_over_note(source: Path) -> list[str]:
    """A sentence on files that are images of kinds which are not read here, by their suffix.

    Also on archives, in which films may be, and on pictures whose names do not say that they are.
    """
    kinds = (_passed_over(path) for path in visible_files(source))
    found = Counter(kind for kind in kinds if kind is not None)
    if not found:
        return []
    counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items()))
    return [
        f"files of other kinds lie among the films and were not looked at: {counted}. Read are "
        f"{', '.join(SUFFIXES)}; DICOM films are prepared by prepare.py chest_xray, into another "
        "--out. Unpack archives that lie within, and give pictures the suffix of what they are."
    ]


def _passed_over(path: Path) -> str | None:
    """The kind of a file that is not looked at though there may be films in it, else None."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix in SUFFIXES:
        return None
    if kind := max((other for other in _OTHERS if name.endswith(other)), key=len, default=None):
        return kind
    if not path.is_file():  # a pipe would wait for ever
        return None
    try:
        with open(path, "rb") as stream:
            head = stream.read(8)
    except OSError:
        return None
    called = f"called {suffix}" if suffix else "without a suffix"
    return f"picture {called}" if head.startswith(_BEGINNINGS) else None


def class_folders(files: Sequence[FilmFile]) -> dict[str, int]:
    """Films of each class folder, by its name as text; none where the folders are no classes."""
    folders = Counter(as_text(PurePosixPath(file.name).parent.name) for file in files)
    few = 2 <= len(folders) <= _MOST_CLASS_FOLDERS
    return dict(sorted(folders.items())) if few and "" not in folders else {}

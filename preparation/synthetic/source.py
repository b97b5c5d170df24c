"""The files of a set that another program made: which there are, and of which kind each is."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from datamodules.synthetic import FORMAT as SET_FORMAT
from preparation.films.files.find import SUFFIXES, is_file_or_lost, num_bytes, visible_files
from preparation.films.film import FilmFile
from provenance import UserError, read_json
from spelling import meant_path

Kind = Literal["picture", "DICOM file", "NIfTI file", "NumPy file"]

_DICOM = (".dcm", ".dicom", ".dic", ".ima")
_NIFTI = (".nii", ".nii.gz")
_HEAD_BYTES = 132
# What lies beside images and is none: tables, texts, settings.
_BESIDE = {".csv", ".tsv", ".txt", ".md", ".json", ".yaml", ".yml", ".xlsx", ".pdf", ".log", ".py"}


@dataclass(frozen=True)
class SourceFile:
    """One file of the source.

    Attributes:
        number: Its place among all, from 0; what it is called in the set.
        kind: How it is read.
        file: Its name relative to the source, path and size.
    """

    number: int
    kind: Kind
    file: FilmFile

    @property
    def id(self) -> str:
        """What it is called in the set, which holds no name of a file."""
        return f"synthetic_{self.number:06d}"

    @property
    def stem(self) -> str:
        """Its relative name without its ending: what its label map is called too."""
        return stem_of(self.file.name)


def file_of(files: Sequence[SourceFile], image: str) -> str:
    """The name of the file that an image of the set, or a file by its id, is from.

    Args:
        files: In the order of their numbers; some may lack.
        image: Such as `synthetic_000012` or `synthetic_000012_0003`.
    """
    number = int(image.split("_")[1])
    at = bisect_left(files, number, key=lambda one: one.number)
    return files[at].file.name


def stem_of(name: str) -> str:
    """A relative name without the ending of an image."""
    path = PurePosixPath(name)
    lowered = path.name.lower()
    ending = next(
        (e for e in (*_NIFTI[::-1], *SUFFIXES, *_DICOM, ".npy") if lowered.endswith(e)), ""
    )
    return (path.parent / path.name[: len(path.name) - len(ending)]).as_posix()


def find_source(source: Path, flag: str = "--source") -> tuple[list[SourceFile], list[str]]:
    """List the images of a folder, sorted by name, and sentences on what was passed over.

    Hidden files and folders are left out, links to folders are not followed. A single file is
    taken as a folder that holds it alone.

    Args:
        source: The folder.
        flag: What named it, for the sentences.

    Raises:
        UserError: It is missing, cannot be listed, holds no image, or is a set or a cache already.
    """
    if not source.exists():
        raise UserError(f"{flag} {source}: there is no such folder.{meant_path(source)}")
    if source.is_dir():
        _refuse_ours(source, flag)
        visible = visible_files(source, flag)
        paths = [path for path in visible if path.name != "DICOMDIR" and is_file_or_lost(path)]
        paths.sort(key=lambda path: path.relative_to(source).as_posix())
        root = source
    else:
        paths, root = [source], source.parent
    found: list[SourceFile] = []
    others: Counter[str] = Counter()
    for path in paths:
        kind = kind_of(path)
        if kind is None:
            others[path.suffix.lower() or "no suffix"] += 1
            continue
        file = FilmFile(path.relative_to(root).as_posix(), path, num_bytes(path))
        found.append(SourceFile(len(found), kind, file))
    counted = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(others.items()))
    if not found:
        raise UserError(
            f"{flag} {source}: holds no image. Read are {', '.join(SUFFIXES)}, .nii, .nii.gz, "
            f".npy and DICOM files{f'; there are {counted}' if counted else ''}. Unpack archives."
        )
    strange = sorted(set(others) - _BESIDE)
    if not strange:
        return found, []
    listed = ", ".join(f"{others[suffix]:,} {suffix}" for suffix in strange)
    return found, [
        f"files of other kinds lie in {flag} and were not looked at: {listed}. Unpack archives, "
        "and give images the suffix of what they are."
    ]


def counted_kinds(files: Sequence[SourceFile]) -> dict[str, int]:
    """How many files there are of each suffix, such as `png`; DICOM files are `DICOM`."""
    found = Counter(
        "DICOM" if one.kind == "DICOM file" else one.file.name.lower().rpartition(".")[2]
        for one in files
    )
    if "gz" in found:
        found["nii.gz"] = found.pop("gz")
    return dict(sorted(found.items()))


def kind_of(path: Path) -> Kind | None:
    """How a file is read; None where it is no image."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return "picture"
    if name.endswith(_NIFTI):
        return "NIfTI file"
    if name.endswith(".npy"):
        return "NumPy file"
    if name.endswith(_DICOM):
        return "DICOM file"
    if path.suffix.lower() in _BESIDE:
        return None
    try:
        with open(path, "rb") as stream:
            return "DICOM file" if stream.read(_HEAD_BYTES)[128:] == b"DICM" else None
    except OSError:
        return "DICOM file" if not path.suffix else None  # that it cannot be read is said then


def _refuse_ours(source: Path, flag: str) -> None:
    if not (source / "manifest.json").is_file():
        return
    try:
        manifest = read_json(source / "manifest.json")
    except UserError:
        return
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found == SET_FORMAT:
        raise UserError(
            f"{flag} {source}: is a finished synthetic set already. Give it to --data.synthetic, "
            "evaluate.py images or evaluate.py audit as it is."
        )
    if isinstance(found, str) and found.startswith("understudy-"):
        raise UserError(
            f"{flag} {source}: is a cache of real images that prepare.py wrote, and no synthetic "
            "images. Give the folder with the files of the generator."
        )

"""Films in MedMNIST's array files: one `.npz` with images and labels of train, val and test.

The file is a zip of arrays. They are unpacked beside the cache, and every process maps them
into its memory: a film is read where it lies, in any order.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from datamodules.prepared_cache import SPLITS
from preparation.films.archives.unpack import unpack
from preparation.films.decoded_picture import with_channels
from preparation.films.film import MAX_PIXELS, MIN_SIDE, Film, FilmFile, RejectedFilm
from preparation.films.medmnist.locate import SET_NAME
from provenance import UserError

MEDMNIST_NOTE = (
    "MedMNIST films carry no patient identifier, and train and val were divided by image: films of "
    "one patient may lie in both, so that scores on val may be too good."
)
# Numbers of the columns of chestmnist's labels, whose films are ChestX-ray14's.
_FINDINGS = {
    "chestmnist": (
        "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia",
        "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
    )
}  # fmt: skip


def find_array_films(source: Path, folder: Path) -> list[FilmFile]:
    """Unpack a MedMNIST file, and list its films: train before val before test, each by index.

    Args:
        source: The `.npz`, or a folder that holds exactly one.
        folder: Where its arrays are unpacked, see `unpack`; the films are read from there.

    Returns:
        Films named `<file>#<split>/<index>`; their bytes are those of the row.

    Raises:
        UserError: There is no such file or several, it is damaged, or it is not built as
            `<split>_images` (N, H, W) or (N, H, W, 3) uint8 and `<split>_labels` (N, K) integers.
    """
    path = _only_array_file(source)
    unpack(path, folder)
    found: list[FilmFile] = []
    for split in SPLITS:
        images, labels = (_array(path, folder, f"{split}_{kind}") for kind in ("images", "labels"))
        _check_arrays(path, split, images, labels)
        found += [
            FilmFile(
                f"{path.name}#{split}/{index}",
                folder / f"{split}_images.npy",
                math.prod(images.shape[1:]),
            )
            for index in range(len(images))
        ]
    if not found:
        raise UserError(f"{path}: holds no film; all its arrays are empty.")
    return found


def _array(path: Path, folder: Path, name: str) -> NDArray[Any]:
    """One array of an unpacked file, not read yet; objects, which would be pickles, are refused."""
    try:
        return open_memmap(folder / f"{name}.npy", mode="r")
    except FileNotFoundError:
        expected = ", ".join(f"{split}_images, {split}_labels" for split in SPLITS)
        raise UserError(f"{path}: lacks the array {name}. Expected {expected}.") from None
    except Exception as error:  # damaged headers raise many kinds
        raise UserError(
            f"{path}: is not a readable .npz of MedMNIST ({name}: {error}). Download or copy it "
            "again."
        ) from error


def _only_array_file(source: Path) -> Path:
    if source.is_file():
        return source
    files = sorted(source.glob("*.npz"))
    if len(files) == 1:
        return files[0]
    listed = ", ".join(file.name for file in files) or "none"
    raise UserError(
        f"--source {source}: expected one .npz of MedMNIST, or a folder with exactly one; found "
        f"{listed}. Several are often the same films in several sizes: give the file itself."
    )


def _check_arrays(path: Path, split: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
    shape, sides = images.shape, images.shape[1:3]
    if images.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
        raise UserError(
            f"{path}: {split}_images is {images.dtype} {shape}, expected uint8 (N, H, W) or "
            "(N, H, W, 3). MedMNIST's 3D sets are volumes and no films."
        )
    if min(sides) < MIN_SIDE or math.prod(sides) > MAX_PIXELS:
        raise UserError(
            f"{path}: {split}_images are {sides[0]}x{sides[1]} pixels, expected at least "
            f"{MIN_SIDE} a side and at most {MAX_PIXELS} in all."
        )
    wanted = len(labels.shape) == 2 and labels.shape[1] >= 1 and labels.dtype.kind in "biu"
    if not wanted or labels.shape[0] != shape[0]:
        raise UserError(
            f"{path}: {split}_labels is {labels.dtype} {labels.shape}, expected whole numbers "
            f"({shape[0]}, K): one row per image."
        )


@dataclass(frozen=True)
class ArrayFilmReader:
    """Reads one film out of a MedMNIST file.

    The label is the class's name, or its number where there are no names. Of several findings
    (N, K > 1) it is `abnormal` if any is 1, else `normal`. The split is the file's own; there is
    no patient, see `MEDMNIST_NOTE`.

    Attributes:
        channels: 1 for (H, W), 3 for (H, W, 3) films; see `ImageFileReader`.
        labels: Names of the classes by number, from `locate_medmnist`.
        findings: Names of several findings by number.
        kept: Those of them that are labels of their own, 0 or 1.
    """

    channels: Literal[1, 3] = 1
    labels: tuple[str, ...] | None = None
    findings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __call__(self, file: FilmFile) -> Film:
        """Return the film.

        Raises:
            RejectedFilm: unreadable, constant or no_label.
        """
        key = file.name.rpartition("#")[2]
        split, _, index = key.partition("/")
        try:
            levels = _mapped(file.path, file.path.stat().st_mtime_ns)[int(index)]
            numbers = file.path.with_name(f"{split}_labels.npy")
            label = _mapped(numbers, numbers.stat().st_mtime_ns)[int(index)]
        except Exception as error:
            raise RejectedFilm(
                "unreadable",
                f"cannot be read where it was unpacked ({type(error).__name__}). Remove the "
                "folder unpacked in the one named .private beside the cache, and prepare again.",
            ) from error
        pixels, suspicions, digest = with_channels(levels, self.channels)
        return Film(
            pixels=pixels,
            keys=(file.name, key),
            labels={"label": self._label(label), **self._findings(label)},
            split=split,
            geometry={"source_shape": list(levels.shape[:2])},
            suspicions=suspicions,
            pixel_sha256=digest,
        )

    def _findings(self, numbers: NDArray[Any]) -> dict[str, str]:
        named = dict(zip(self.findings, numbers.tolist(), strict=bool(self.findings)))
        return {name: str(int(named[name])) for name in self.kept}

    def side(self, file: FilmFile) -> int:
        """The longer side of the file's films, in pixels."""
        return max(open_memmap(file.path, mode="r").shape[1:3])

    def _label(self, numbers: NDArray[Any]) -> str:
        if len(numbers) > 1:
            if not np.isin(numbers, (0, 1)).all():
                raise RejectedFilm("no_label", "has findings other than 0 and 1.")
            return "abnormal" if numbers.any() else "normal"
        number = int(numbers[0])
        if self.labels is None:
            return str(number)
        if not 0 <= number < len(self.labels):
            raise RejectedFilm("no_label", f"has the class {number} of {len(self.labels)}.")
        return self.labels[number]


@functools.lru_cache(maxsize=2)  # images and labels of the split that this process is in
def _mapped(path: Path, changed: int) -> NDArray[Any]:
    # `changed` is part of the key alone: a file that was replaced is opened anew.
    return open_memmap(path, mode="r")


def findings_of(path: Path, first: FilmFile) -> tuple[str, ...]:
    """Names of a file's findings by number; empty where each film is of one class.

    Args:
        path: The `.npz`.
        first: One of its films, as it was unpacked.

    Raises:
        UserError: It has several findings per film, and their names are not known.
    """
    split = first.name.rpartition("#")[2].partition("/")[0]
    number = open_memmap(first.path.with_name(f"{split}_labels.npy"), mode="r").shape[1]
    if number == 1:
        return ()
    named = SET_NAME.fullmatch(path.stem)
    found = _FINDINGS.get(named[1], ()) if named else ()
    if len(found) != number:
        raise UserError(
            f"{path}: has {number} findings per film, whose names are not known here; those of "
            f"{' and '.join(_FINDINGS)} are, by the file's name. Leave --layout out: then a film "
            "with any of them is abnormal."
        )
    return found

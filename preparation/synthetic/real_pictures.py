"""Real pictures of a plain folder, of any kind of file, as the films of a cache."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from preparation.copies import pixel_hash
from preparation.films.files.find import num_bytes
from preparation.films.film import Film, FilmFile, RejectedFilm
from preparation.films.image_files import ImageFileReader
from preparation.synthetic.arrays import Stack, stack_of
from preparation.synthetic.films import ReadPictures, Shown
from preparation.synthetic.source import SourceFile, kind_of, stem_of

REAL, HELD_OUT = "real", "held_out"
"""What the names of their files begin with."""

_SPLITS = {REAL: "train", HELD_OUT: "test"}
_IN_STACK = re.compile(r"\.(?:npy|nii|nii\.gz)#(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class ReadReal:
    """Reads one real picture of a plain folder; a `FilmReader`.

    Attributes:
        pictures: Reads its file.
        naming: Finds the patient in its name.
        prescribes: The folder says the split.
    """

    pictures: ReadPictures
    naming: ImageFileReader
    prescribes: bool

    def __call__(self, file: FilmFile) -> Film:
        """Return the picture as a film."""
        kind_of_folder, _, name = file.name.partition("/")
        shown = self._shown(file)
        patient = self.naming.patient_of(name)
        stem = stem_of(name)
        stored = np.rint(shown.pixels * 65535).astype(np.uint16)
        return Film(
            pixels=shown.pixels,
            patient=patient,
            each_alone=self.naming.patient_from == "file",
            keys=tuple(dict.fromkeys((name, name.rpartition("/")[2], stem.rpartition("/")[2]))),
            split=_SPLITS[kind_of_folder] if self.prescribes else None,
            pixel_shape=shown.pixel_shape,
            suspicions=tuple(one for one in shown.remarks if one != "own_range"),
            pixel_sha256=pixel_hash(stored),
        )

    def _shown(self, file: FilmFile) -> Shown:
        if found := _IN_STACK.search(file.name):
            return self.pictures.of_plane(_opened(file.path), int(found[1]))
        kind = kind_of(file.path)
        assert kind is not None  # it was listed for it
        for _, shown in self.pictures(SourceFile(0, kind, file)):
            if isinstance(shown, RejectedFilm):
                raise shown
            return shown
        raise RejectedFilm("not_a_picture", "holds no picture.")


@lru_cache(maxsize=1)
def _opened(path: Path) -> Stack:
    """A NumPy or NIfTI file, read once for all its pictures, which come one after the other."""
    kind = kind_of(path)
    assert kind is not None
    return stack_of(SourceFile(0, kind, FilmFile(path.name, path, num_bytes(path))), colour=True)


def pictures_of(source: SourceFile, folder: str) -> Iterator[FilmFile]:
    """The pictures of a file by names of their own; one that cannot be read has its file's name."""
    name, path, size = f"{folder}/{source.file.name}", source.file.path, source.file.num_bytes
    count = 1
    if source.kind in ("NIfTI file", "NumPy file"):
        try:
            stack = _opened(path)
            count = 1 if stack.is_one else len(stack)
        except Exception:  # what is wrong with it is said when it is read
            count = 1
    if count == 1:
        yield FilmFile(name, path, size)
    for index in range(count if count > 1 else 0):
        yield FilmFile(f"{name}#{index:04d}", path, size)

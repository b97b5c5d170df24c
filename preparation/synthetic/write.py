"""Files of a source become images of the set: a few dozen at a time, recorded when whole."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preparation.films.film import RejectedFilm
from preparation.left_out import cannot_be_read
from preparation.synthetic.reading import Made, SourceReader
from preparation.synthetic.source import SourceFile
from provenance import read_json, whole_file, write_json_atomic
from synthetic_marks import LABEL_MAP_NOTICE, NOTICE, png_info

FILES_PER_CHUNK = 64
# No file is lost by it: the slices were not asked for.
NOT_ASKED_FOR = "no_foreground"


@dataclass(frozen=True)
class Chunk:
    """A run of files in the order of the source."""

    files: tuple[SourceFile, ...]

    @property
    def name(self) -> str:
        """By its first file."""
        return f"files_{self.files[0].number:06d}"


def in_chunks(files: Sequence[SourceFile]) -> list[Chunk]:
    """Cut a list of files into chunks."""
    starts = range(0, len(files), FILES_PER_CHUNK)
    return [Chunk(tuple(files[start : start + FILES_PER_CHUNK])) for start in starts]


@dataclass(frozen=True)
class MakeChunk:
    """Makes the images of one chunk; sent to the workers once.

    Attributes:
        out: The folder of the set.
        reader: Reads one file.
    """

    out: Path
    reader: SourceReader

    def __call__(self, chunk: Chunk) -> dict[str, Any]:
        """Write the images and the record of a chunk, and return the record.

        Raises:
            OSError: The disk is full, or the set cannot be written.
        """
        items: list[dict[str, Any]] = []
        left_out: list[tuple[str, str, str]] = []
        for source in chunk.files:
            own: list[dict[str, Any]] = []
            try:
                outcomes = self.reader(source)
                while (outcome := self._next(outcomes, source)) is not None:
                    index, made = outcome
                    name = source.id if index is None else f"{source.id}_{index:04d}"
                    if isinstance(made, RejectedFilm):
                        left_out.append((name, made.reason, made.sentence))
                    else:
                        own.append(self._written(name, source, made))
            except RejectedFilm as why:  # the file itself: a part of it is not used either
                for item in own:
                    _paths(self.out, item["id"])[0].unlink(missing_ok=True)
                    _paths(self.out, item["id"])[1].unlink(missing_ok=True)
                own = []
                left_out.append((source.id, why.reason, why.sentence))
            items += own
        record = {
            "chunk": chunk.name,
            "bytes": [source.file.num_bytes for source in chunk.files],
            "items": items,
            "left_out": left_out,
        }
        write_json_atomic(record_of(self.out, chunk), record)
        return record

    def _next(self, outcomes: Any, source: SourceFile) -> Any:
        """The next image of a file; whatever its reader raises is a reason to leave it out."""
        try:
            return next(outcomes, None)
        except (RejectedFilm, MemoryError):
            raise
        except Exception as error:  # libraries raise what they like
            raise RejectedFilm("unreadable", cannot_be_read(error, source.file.path)) from error

    def _written(self, name: str, source: SourceFile, made: Made) -> dict[str, Any]:
        image, mask = _paths(self.out, name)
        if made.mask is not None:  # before its image, by which the next call sees what is there
            _save(mask, made.mask, LABEL_MAP_NOTICE)
        _save(image, made.image, NOTICE)
        series = made.series
        return {
            "id": name,
            "file": source.number,
            "source_shape": list(made.source_shape),
            "class_pixels": list(made.class_pixels),
            "series": series and hashlib.sha256(series.encode(errors="replace")).hexdigest()[:16],
            "remarks": list(made.remarks),
            "sha256": hashlib.sha256(made.image.tobytes()).hexdigest(),
        }


def record_of(out: Path, chunk: Chunk) -> Path:
    """Where a chunk's record lies."""
    return out / "records" / f"{chunk.name}.json"


def finished(out: Path, chunk: Chunk) -> bool:
    """Whether a chunk needs no more work."""
    path = record_of(out, chunk)
    if not path.is_file():
        return False
    record = read_json(path)
    if record["bytes"] != [source.file.num_bytes for source in chunk.files]:
        return False
    return all(_paths(out, item["id"])[0].is_file() for item in record["items"])


def _paths(out: Path, name: str) -> tuple[Path, Path]:
    return out / "images" / f"{name}.png", out / "masks" / f"{name}.png"


def _save(path: Path, pixels: NDArray[np.uint8], notice: str) -> None:
    with whole_file(path) as stream:
        Image.fromarray(pixels).save(stream, format="PNG", pnginfo=png_info(notice))

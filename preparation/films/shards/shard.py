"""A run of films in the order of the source, and the array that they become."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from numpy.lib import format as npy

from datamodules.film_cache import FILMS_PER_SHARD
from preparation.films.film import FilmFile
from preparation.films.film_layout import FilmLayout

HEADER_BYTES = 128
"""Of an array file: what comes before the first film."""


@dataclass(frozen=True)
class FilmShard:
    """A run of films in the order of the source."""

    name: str
    files: tuple[FilmFile, ...]

    def digest(self, salt: str) -> str:
        """Salted SHA-256 of the files' names and sizes: tells whether the source has changed."""
        text = "\n".join(
            [f"{salt}:files", *(f"{file.num_bytes} {file.name}" for file in self.files)]
        )
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def in_shards(files: Sequence[FilmFile]) -> list[FilmShard]:
    """Cut a list of films into shards of 128, numbered in their order."""
    return [
        FilmShard(f"films_{start // FILMS_PER_SHARD:06d}",
                  tuple(files[start : start + FILMS_PER_SHARD]))
        for start in range(0, len(files), FILMS_PER_SHARD)
    ]  # fmt: skip


def film_bytes(layout: FilmLayout) -> int:
    """Bytes of one stored film."""
    return layout.channels * layout.stored_size**2 * layout.bit_depth // 8


def write_header(stream: BinaryIO, layout: FilmLayout, count: int) -> None:
    """Write the header of an array of so many films over the room that was left for it."""
    size = layout.stored_size
    shape = (count, size, size) if layout.channels == 1 else (count, 3, size, size)
    descr = "|u1" if layout.bit_depth == 8 else "<u2"
    stream.seek(0)
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    assert stream.tell() == HEADER_BYTES

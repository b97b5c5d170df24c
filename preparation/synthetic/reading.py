"""What a reader of a source gives: images as the set holds them, or why there is none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preparation.films.film import RejectedFilm
from preparation.synthetic.source import SourceFile


@dataclass(frozen=True)
class Made:
    """One image of the set.

    Attributes:
        image: (S, S) or (S, S, 3) uint8.
        source_shape: Height and width of what it was made of.
        mask: (S, S) uint8 labels; None without.
        class_pixels: Pixels of each class in the mask; empty without one.
        series: What slices of one volume have in common; it may identify, so it is hashed.
        remarks: Keys of what should be said of it, such as `own_range`.
    """

    image: NDArray[np.uint8]
    source_shape: tuple[int, int]
    mask: NDArray[np.uint8] | None = None
    class_pixels: tuple[int, ...] = ()
    series: str | None = None
    remarks: tuple[str, ...] = ()


Outcome = tuple[int | None, Made | RejectedFilm]
"""Which picture of its file it is, None where the file holds one; and what became of it."""


class SourceReader(Protocol):
    """Reads one file; a small picklable object, sent to the workers."""

    def __call__(self, source: SourceFile) -> Iterator[Outcome]:
        """Yield the file's images; RejectedFilm where there is none at all."""
        ...

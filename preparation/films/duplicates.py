"""Films that are in a cache twice: the same pixels, or the same film saved in another way.

Chest films all look alike, so everything here looks at what is left without the coarse shape
that they share: the cosine transform of a 64x64 thumbnail, without its lowest frequencies.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance import write_text_atomic

_THUMBNAIL_SIDE = 64
# Rows and columns of the transform whose signs are the hash: 3 to 10 half waves over the film.
_HASHED = slice(3, 11)
# Frequencies below this sum of row and column are the coarse shape, without brightness already.
_COARSE = np.add.outer(np.arange(_THUMBNAIL_SIDE), np.arange(_THUMBNAIL_SIDE)) < 6
# Films of a bucket that a film is compared with; more would be quadratic for a thousand blanks.
_MAX_NEIGHBOURS = 128
_THUMBNAILS_KEPT = 2048

COLUMNS = (
    "kind", "first", "second", "similarity", "same_patient", "first_split", "second_split",
)  # fmt: skip


@dataclass(frozen=True)
class Duplicates:
    """What `find_duplicates` found; films are called by their index.

    Attributes:
        exact: Groups of two or more films with equal pixels, each in rising order.
        near: (first, second, correlation), first < second, the most similar pair first. Of an
            exact group only the first film is compared with others.
    """

    exact: list[list[int]]
    near: list[tuple[int, int, float]]


def perceptual_hash(stored: NDArray[Any]) -> int:
    """Return 64 bits that stay nearly the same when a film is saved in another way.

    Bits are the signs of the cosine transform at 3 to 10 half waves over the height and width.
    1 ms for a film of 539x539.

    Args:
        stored: (S, S) or (3, S, S), uint8 or uint16; three planes count by their luminance.

    Returns:
        0 to 2**64 - 1. How many bits differ is the distance of two films.

    Source: pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions"). Deviations: higher frequencies (its lowest ones, 0 to 7, are what chest films
    have in common: of 13.6 million pairs of different children's films 130 come within 5 bits,
    here 10), a thumbnail of 64 instead of 32, and signs instead of a median.
    """
    signs = _cosine_transform(stored)[_HASHED, _HASHED] > 0
    return int.from_bytes(np.packbits(signs).tobytes(), "big")


def find_duplicates(
    pixel_hashes: Sequence[str],
    perceptual: NDArray[np.uint64],
    read: Callable[[int], NDArray[Any]],
    max_distance: int = 6,
    min_correlation: float = 0.92,
) -> Duplicates:
    """Find equal films, and pairs that are one film saved twice.

    A near pair has perceptual hashes at most `max_distance` bits apart, and detail that
    correlates: 64x64 thumbnails without the coarse shape (sum of row and column frequency < 6).
    Measured with the default processing at 512 pixels on 346 NIH films of 304 patients and 5,216
    Kermany films of children (224x224), and on copies of 173 and 131 of them:

    | pair | lowest correlation, NIH and Kermany | found |
    |---|---|---|
    | different patients | highest: 0.830 and 0.888 | none |
    | JPEG at quality 50 | 0.997 and 0.995 | 100 and 100 % |
    | brightness +-5 % | 0.998 and 0.999 | 100 and 100 % |
    | gamma 1.2 | 0.995 and 0.995 | 100 and 100 % |
    | to 224 pixels (Kermany: 98) and back | 0.977 and 0.989 | 100 and 99 % |
    | moved by 0.2 % (Kermany: 0.45 %) of the side both ways | 0.990 and 0.949 | 100 and 94 % |
    | moved by twice as much | 0.967 and 0.817 | 98 and 12 % |
    | turned by 1 degree | 0.881 and 0.931 | 92 and 95 % |
    | equalised (CLAHE) before | 0.934 and 0.947 | 71 and 80 % |
    | 1 % (Kermany: 2.2 %) cut off at every side | 0.887 and 0.634 | 86 and 0 % |

    The same film in four transfer syntaxes, two of them lossy, reaches 0.99997. So this finds what
    was compressed, scaled or windowed anew, and most of what was moved a little; it does not find
    a second exposure, nor a film that was cropped. The one pair of different Kermany children
    above 0.84 looks like one child on two days.

    Cost: hashes of two films that differ in `max_distance` bits agree in at least
    8 - `max_distance` of their 8 bytes. So for every choice of that many bytes (28 choices of
    two), films are sorted by them, and those that agree are compared. In such a bucket a film is
    compared with the 128 that follow in the order of the other bytes, so time stays linear when
    thousands of hashes are equal; some pairs are missed then, but each film still meets its like.
    A million films take 12 s on one core with random hashes, and 32 s with hashes that crowd as
    those of Kermany do (51,000 pairs to confirm, 99.5 % of the planted ones among them); a pair
    to be confirmed takes 1.2 ms more. Memory: 240 bytes a film, and 35 MB of thumbnails.

    Args:
        pixel_hashes: A hash of each film's stored pixels.
        perceptual: (N,) `perceptual_hash` of each film.
        read: Returns a stored film by its index; called for films that may be a near pair.
        max_distance: Bits, 0 to 7. Larger ones sort by fewer bytes and are slower.
        min_correlation: -1 to 1.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, pixels in enumerate(pixel_hashes):
        groups[pixels].append(index)
    # Dictionaries keep the order of insertion, so first indices rise.
    first_of_each = np.array([indices[0] for indices in groups.values()], dtype=np.int64)
    exact = [indices for indices in groups.values() if len(indices) > 1]

    @lru_cache(maxsize=_THUMBNAILS_KEPT)
    def detail(index: int) -> NDArray[np.float32]:
        return _detail(read(index))

    near = []
    for pair in first_of_each[_candidates(perceptual[first_of_each], max_distance)].tolist():
        correlation = float(detail(pair[0]) @ detail(pair[1]))
        if correlation >= min_correlation:
            near.append((pair[0], pair[1], correlation))
    return Duplicates(exact, sorted(near, key=lambda pair: (-pair[2], pair[0], pair[1])))


def across_splits(duplicates: Duplicates, splits: Sequence[str]) -> int:
    """Count the exact groups and near pairs that are in more than one split: films that leak.

    Args:
        duplicates: What was found.
        splits: The split of each film.
    """
    exact = sum(len({splits[index] for index in indices}) > 1 for indices in duplicates.exact)
    return exact + sum(splits[first] != splits[second] for first, second, _ in duplicates.near)


def write_duplicates_csv(
    path: Path,
    duplicates: Duplicates,
    ids: Sequence[str],
    patients: Sequence[str],
    splits: Sequence[str],
) -> None:
    """Write a table with a row per pair, whole or not at all.

    Columns are `COLUMNS`: `kind` is `exact` or `near`; `similarity` is the correlation, 1 for
    equal films; `same_patient` is `yes` or `no`. An exact group has a row for each film but its
    first, beside the first.

    Args:
        path: The file.
        duplicates: What was found.
        ids: Pseudonym of each film.
        patients: Pseudonym of each film's patient.
        splits: The split of each film.
    """
    pairs = [("exact", group[0], other, 1.0) for group in duplicates.exact for other in group[1:]]
    pairs += [("near", *pair) for pair in duplicates.near]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for kind, first, second, similarity in pairs:
        same = "yes" if patients[first] == patients[second] else "no"
        row = (ids[first], ids[second], f"{similarity:.4f}", same, splits[first], splits[second])
        writer.writerow((kind, *row))
    write_text_atomic(path, stream.getvalue())


def _cosine_transform(stored: NDArray[Any]) -> NDArray[np.float32]:
    """(64, 64) orthonormal cosine transform of a thumbnail in grey levels of 255."""
    if stored.dtype == np.uint16:
        stored = (stored >> 8).astype(np.uint8)  # Pillow averages 8 bits six times faster
    if stored.ndim == 3:
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(stored, 0, -1))).convert("L")
    else:
        image = Image.fromarray(stored)
    thumbnail = image.resize((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BOX)
    from scipy.fft import dctn  # here, since prepare.py --help needs none of scipy

    transform: NDArray[np.float32] = dctn(np.asarray(thumbnail, np.float32), norm="ortho")
    return transform


def _detail(stored: NDArray[Any]) -> NDArray[np.float32]:
    """(4096,) whose inner product with that of another film is the correlation of their detail.

    The transform is orthonormal, so this is the correlation of thumbnails without coarse shape.
    A blank film has no detail: zeros, so that it correlates with nothing.
    """
    transform = np.where(_COARSE, 0, _cosine_transform(stored)).ravel().astype(np.float32)
    return transform / max(float(np.linalg.norm(transform)), 1e-6)


def _candidates(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """(M, 2) indices of hashes at most `max_distance` bits apart, rising; see `find_duplicates`."""
    count = len(hashes)
    # Pairs are kept as first * count + second, so that one call sorts them and drops doubles.
    codes = np.empty(0, np.int64)
    hash_bytes = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    for number, shared in enumerate(combinations(range(8), 8 - max_distance)):
        others = [byte for byte in range(8) if byte not in shared]
        moved = np.ascontiguousarray(hash_bytes[:, [*shared, *others]]).view(">u8").ravel()
        order = np.argsort(moved, kind="stable")
        sorted_hashes = moved[order].astype(np.uint64)
        bucket = sorted_hashes >> np.uint64(8 * max_distance)
        found, rank = [codes], np.arange(count)  # in the sorted hashes
        for step in range(1, _MAX_NEIGHBOURS + 1):
            rank = rank[rank + step < count]
            rank = rank[bucket[rank] == bucket[rank + step]]
            if not len(rank):
                break
            distance = np.bitwise_count(sorted_hashes[rank] ^ sorted_hashes[rank + step])
            # Equal hashes are neighbours in every order, so the first one is enough.
            close = rank[(distance <= max_distance) & ((distance > 0) | (number == 0))]
            one, other = order[close], order[close + step]
            found.append(np.minimum(one, other) * count + np.maximum(one, other))
        codes = np.unique(np.concatenate(found))
    return np.stack(np.divmod(codes, max(count, 1)), axis=1)

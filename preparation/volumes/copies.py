"""Slices that are in a cache twice: which they are, and whose must share a split."""

import csv
import io
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.pixel_hashes import first_bits
from preparation.copies import joined
from preparation.split import Split, moves
from provenance import write_text_atomic

COLUMNS = (
    "kind", "first", "second", "equal_slices", "first_patient", "second_patient", "split",
)  # fmt: skip


def divided_by(by: str) -> str:
    """Name of the item's entry that is divided: the patient, or the item itself."""
    return "patient_id" if by == "patient" else "id"


@dataclass
class Pair:
    """Two shards that have slices in common.

    Attributes:
        kind: `volume` where all slices of both are equal, else `slices`.
        first: The first item of the one that the other has too.
        second: That item of the other.
        num_equal: How many slices of the second shard the first has.
    """

    kind: str
    first: dict[str, Any]
    second: dict[str, Any]
    num_equal: int


@dataclass
class Copies:
    """What `find_copies` found.

    Attributes:
        unit: What is divided, see `divided_by`.
        names: Of all that is divided, in the order of the cache.
        pairs: Shards with equal slices, in the order of the cache.
        together: Names that must share a split.
        num_unknown: Shards of an earlier version, without hashes of their source.
    """

    unit: str
    names: list[str]
    pairs: list[Pair]
    together: list[list[str]]
    num_unknown: int

    def plain(
        self, split: Split, keys: Mapping[str, Collection[str]], splits: Mapping[str, str]
    ) -> dict[str, Any]:
        """What the manifest keeps of them: counts, and who is not where it would be alone."""
        return {
            "pairs": len(self.pairs),
            "kept_together": sum(map(len, self.together)),
            "moved": moves(split, keys, splits, itertools.chain(*self.together)),
        }


def find_copies(records: Mapping[str, Mapping[str, Any]], by: str) -> Copies:
    """Find slices with equal pixels under different patients (or items, where those are divided).

    Slices are equal where the source's pixels are, or, for whole volumes, the cache's: earlier
    versions recorded only those. A slice of one grey value is no copy of another. Of more than
    two equal slices each is paired with the first, so time and memory are linear in the slices.

    Args:
        records: Of every shard, by its name.
        by: `patient` or `slice`.
    """
    unit = divided_by(by)
    first_slice: dict[str, dict[str, Any]] = {}
    first_volume: dict[str, str] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    names: dict[str, None] = {}
    connected: set[tuple[str, str]] = set()
    for shard in sorted(records):
        record = records[shard]
        twins = {first_volume.setdefault(key, shard) for key in _of_volume(record)} - {shard}
        rows = zip(record["items"], _of_slices(record), strict=True)
        for row, (item, digest) in enumerate(rows):
            names[item[unit]] = None
            # Equal volumes are of one shape, so their slices are equal one by one.
            earlier = {twin: records[twin]["items"][row] for twin in twins}
            if digest:
                first = first_slice.setdefault(digest, item)
                earlier.setdefault(first["shard"], first)
            for first_shard, first in earlier.items():
                if first[unit] != item[unit]:
                    connected.add((first[unit], item[unit]))
                    pair = pairs.setdefault((first_shard, shard), Pair("", first, item, 0))
                    pair.num_equal += 1
    for (first_shard, second_shard), pair in pairs.items():
        sizes = {len(records[name]["items"]) for name in (first_shard, second_shard)}
        pair.kind = "volume" if sizes == {pair.num_equal} else "slices"
    unknown = sum("pixels" not in record for record in records.values())
    return Copies(unit, list(names), list(pairs.values()), joined(connected), unknown)


def write_copies_csv(path: Path, copies: Copies, splits: Mapping[str, str]) -> None:
    """Write a row per pair of shards, or, where there is none, no table.

    Columns are `COLUMNS`: `first` and `second` are one pair of equal slices, `equal_slices` how
    many there are.

    Args:
        path: The file.
        copies: What was found.
        splits: The split of each name.
    """
    if not copies.pairs:
        path.unlink(missing_ok=True)
        return
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in copies.pairs:
        one, other = pair.first, pair.second
        patients = (one["patient_id"], other["patient_id"])
        split = splits[other[copies.unit]]
        writer.writerow((pair.kind, one["id"], other["id"], pair.num_equal, *patients, split))
    write_text_atomic(path, stream.getvalue())


def _of_volume(record: Mapping[str, Any]) -> list[str]:
    """Hashes that equal volumes share: of the source's pixels, and of the cache's array."""
    content, stored = record["content"], record["content"].get("sha256_image")
    if content["image"] is None:
        counts = zip(*(item["class_pixels"] for item in record["items"]), strict=True)
        constant = sum(any(column) for column in counts) < 2
        stored = None if constant else content["sha256_mask"]
    return [digest for digest in (record.get("pixels", {}).get("volume"), stored) if digest]


def hash_rows(records: Mapping[str, Mapping[str, Any]]) -> tuple[NDArray[np.uint64], int]:
    """What a cache keeps of its hashes; see `datamodules/pixel_hashes.py`.

    Args:
        records: Of every shard, by its name.

    Returns:
        (N, 3) in the order of the cache: of the slice, its volume's images and its label maps; and
        how many slices an earlier version prepared, without hashes.
    """
    rows, unknown = [], 0
    for shard in sorted(records):
        record = records[shard]
        pixels, slices = record.get("pixels"), _of_slices(record)
        unknown += len(slices) if pixels is None else 0
        pixels = pixels or {}
        of_labels = record["content"]["image"] is None
        volume = None if of_labels else pixels.get("volume")
        mask = pixels.get("volume" if of_labels else "mask")
        rows += [[first_bits(digest) for digest in (own, volume, mask)] for own in slices]
    return np.array(rows, np.uint64).reshape(-1, 3), unknown


def _of_slices(record: Mapping[str, Any]) -> Sequence[str | None]:
    """Hash of each slice's pixels in the source, None where it is not compared by itself."""
    return record.get("pixels", {}).get("slices") or [None] * len(record["items"])

"""What the records of shards say together: counts over films, and what is compared between them."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datamodules.pixel_hashes import first_bits
from preparation.disk import record_path
from preparation.films.film import NOT_ASKED_FOR
from provenance import read_json


class Tally:
    """Counts over the records of shards, and what is compared between films.

    Attributes:
        num_files: Files looked at.
        rejected: How many were refused, by reason.
        suspicions: How many used films look wrong, by what.
        classes: Values of every label column.
        arrays: The manifest's entry of every shard that holds a film.
        ids, patients, published: Per film; `published` is the source's own split or None.
        by_source: Of each patient that the source names, the patients of a table that says else.
        split_keys: Of each patient, what the splits of its spellings are drawn from.
        sha256, perceptual: Per film: of its stored bytes, and the hash that survives small changes.
        sources: Per film: the first 64 bits of its source's pixel hash, 0 where there is none.
    """

    def __init__(self, out: Path, shards: Sequence[str], label_columns: Sequence[str]) -> None:
        self.num_files = 0
        self.rejected: Counter[str] = Counter()
        self.suspicions: Counter[str] = Counter()
        self.classes: dict[str, set[str]] = {name: set() for name in label_columns}
        self.arrays: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.patients: list[str] = []
        self.split_keys: dict[str, set[str]] = defaultdict(set)
        self.by_source: dict[str, set[str]] = defaultdict(set)
        self.published: list[str | None] = []
        self.sha256: list[str] = []
        self.perceptual = array("Q")
        self.sources = array("Q")
        for record in records(out, shards):
            self._add(record)

    def _add(self, record: dict[str, Any]) -> None:
        self.num_files += record["num_files"]
        self.rejected.update(reason for _, reason, _ in record["rejected"])
        for item in record["items"]:
            self.suspicions.update(item["suspicions"])
            for name, values in self.classes.items():
                values.update({item["labels"][name]} - {""})
            self.ids.append(item["id"])
            self.patients.append(item["patient_id"])
            self.split_keys[item["patient_id"]].add(item["split_key"])
            if item["patient_by_source"] is not None:
                self.by_source[item["patient_by_source"]].add(item["patient_id"])
            self.published.append(item["split"])
            self.sha256.append(item["sha256"])
            self.perceptual.append(int(item["perceptual_hash"], 16))
            self.sources.append(first_bits(item["pixel_sha256"]))
        if record["array"] is not None:
            kept = ("array", "num_films", "sha256")
            self.arrays.append({"name": record["shard"], **{key: record[key] for key in kept}})

    @property
    def num_used(self) -> int:
        """Films in the cache."""
        return len(self.ids)

    @property
    def num_left_out(self) -> int:
        """Files that could not be used, without those that were not asked for."""
        return sum(n for reason, n in self.rejected.items() if reason not in NOT_ASKED_FOR)


def records(out: Path, shards: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read the records of shards one by one."""
    for name in shards:
        yield read_json(record_path(out, name))


def counted(reasons: Counter[str]) -> str:
    """`3 modality, 1 view`: the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in ordered)


def rejections(out: Path, shards: Sequence[str]) -> Iterator[Sequence[str]]:
    """(id, reason, sentence) of every file that was refused."""
    for record in records(out, shards):
        yield from record["rejected"]

"""What the records of shards say together: counts over films, and what is compared between them."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.pixel_hashes import first_bits
from preparation.copies import joined
from preparation.disk import record_path
from preparation.films.film import DUPLICATE, NOT_ASKED_FOR
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
        places: Per film: how many lie before it in the arrays, dropped ones too.

    Args:
        out: The cache folder.
        shards: Their names in the order of the source.
        label_columns: Of which the values are wanted.
        dropped: Ids of films that are in the arrays and shall not be in the cache.
    """

    def __init__(
        self,
        out: Path,
        shards: Sequence[str],
        label_columns: Sequence[str],
        dropped: Collection[str] = (),
    ) -> None:
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
        self.places = array("Q")
        self._dropped, self._num_stored = dropped, 0
        for record in records(out, shards):
            self._add(record)

    def _add(self, record: dict[str, Any]) -> None:
        self.num_files += record["num_files"]
        self.rejected.update(reason for _, reason, _ in record["rejected"])
        for item in record["items"]:
            self._num_stored += 1
            if item["id"] in self._dropped:
                self.rejected[DUPLICATE] += 1
                continue
            self.places.append(self._num_stored - 1)
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


def equal_films(tally: Tally) -> list[str]:
    """A name per film that two films share if their stored pixels, or their sources', are equal."""
    sources = np.array(tally.sources, np.uint64)
    order = np.argsort(sources, kind="stable")
    first, second = order[:-1], order[1:]
    equal = (sources[first] == sources[second]) & (sources[first] > 0)
    pairs = zip(first[equal].tolist(), second[equal].tolist(), strict=True)
    groups = joined((tally.sha256[one], tally.sha256[other]) for one, other in pairs)
    leader = {digest: group[0] for group in groups for digest in group}
    return [leader.get(digest, digest) for digest in tally.sha256]


@dataclass(frozen=True)
class Copy:
    """A film with the pixels of an earlier one.

    Attributes:
        id: Of the film.
        first: Of the earlier one.
        differing: What is wrong with its labels, as words; empty where they are those of `first`.
    """

    id: str
    first: str
    differing: str

    @property
    def sentence(self) -> str:
        """For the table of refused films."""
        told = f"has the pixels of {self.first}, which is kept."
        return f"{told} Their labels differ: {self.differing}." if self.differing else told


def copies(tally: Tally, out: Path, shards: Sequence[str]) -> list[Copy]:
    """Of every set of equal films all but the first, in the order of the source.

    Args:
        tally: Over all films.
        out: The cache folder.
        shards: Their names.
    """
    first: dict[str, str] = {}
    pairs = [
        (film, earlier)
        for film, pixels in zip(tally.ids, equal_films(tally), strict=True)
        if (earlier := first.setdefault(pixels, film)) != film
    ]
    wanted = {film for pair in pairs for film in pair}
    labels = {
        item["id"]: item["labels"]
        for record in records(out, shards)
        for item in record["items"]
        if item["id"] in wanted
    }
    return [
        Copy(film, earlier, _differing(labels[film], labels[earlier])) for film, earlier in pairs
    ]


def _differing(labels: dict[str, str], kept: dict[str, str]) -> str:
    names = [name for name, value in labels.items() if value != kept[name]]
    return ", ".join(
        f"{name} is {labels[name] or 'not given'} here and {kept[name] or 'not given'} there"
        for name in names
    )


def other_labels_note(dropped: Sequence[Copy]) -> list[str]:
    """A sentence where films with the same pixels are labelled differently."""
    differing = [one for one in dropped if one.differing]
    if not differing:
        return []
    return [
        f"{len(differing):,} of {len(dropped):,} dropped films have other labels than the equal "
        "film that is kept, so one of the two is wrong or they were read by two people. "
        f"rejected.csv names them, such as {differing[0].id}: {differing[0].sentence}"
    ]

"""Records of finished shards become a cache: tables, duplicates, split and, last, the manifest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import FilmCache
from datamodules.named_files import mapped
from datamodules.pixel_hashes import write_pixel_hashes
from licences import Licence
from preparation.films.division import FinishedShards, OnDuplicates, divide_films
from preparation.films.duplicates import (
    across_splits,
    find_duplicates,
    write_duplicates_csv,
)
from preparation.films.film_layout import FilmLayout
from preparation.films.label_table import class_order
from preparation.films.names import write_name_tables
from preparation.films.tables import write_items, write_rejected
from preparation.films.tally import (
    DUPLICATE,
    Copy,
    Tally,
    copies,
    equal_films,
    other_labels_note,
    rejections,
)
from preparation.split import Split, split_id
from preparation.split_notes import divided_anew
from preparation.synthetic_files import num_synthetic
from provenance import UserError, __version__, read_json, sha256_of, write_checked_json


@dataclass
class FilmOutcome:
    """What a preparation did.

    Attributes:
        out: The cache folder.
        manifest: What was written; None for one part of several.
        tally: Counts over its films.
        num_resumed: Files that an earlier run had finished.
        notes: Sentences for the person.
    """

    out: Path
    manifest: dict[str, Any] | None
    tally: Tally
    num_resumed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def num_left_out(self) -> int:
        """Files that were wanted and could not be used.

        None of one part of several, since joining them tells; nor of a phantom, whose wrong files
        are wrong on purpose.
        """
        done = self.manifest is not None and self.manifest["dataset"] != "phantom_cxr"
        return self.tally.num_left_out if done else 0

    @cached_property
    def cache(self) -> FilmCache:
        """The finished cache, opened once: of a million films that takes seconds."""
        return FilmCache.open(self.out)


def assemble(
    out: Path,
    shards: Sequence[str],
    layout: FilmLayout,
    split: Split,
    label_columns: Sequence[str],
    patients: Mapping[str, Any],
    licence: Licence,
    on_duplicates: OnDuplicates = "report",
) -> FilmOutcome:
    """Write `items.csv`, `rejected.csv`, `duplicates.csv` and, last, the manifest.

    Names of patients and files go into tables beside the cache.

    Args:
        out: The cache folder, with a record of every shard.
        shards: Their names in the order of the source.
        layout: What all films have in common.
        split: How they are divided.
        label_columns: Labels to keep.
        patients: How they are named, see `Naming.recorded`.
        licence: Of the data.
        on_duplicates: "report" lists equal and nearly equal films and keeps patients who share an
            equal one in one split; "same_split" also those who share a nearly equal one; "drop"
            leaves out equal films but the first, and lists nearly equal ones.

    Raises:
        UserError: No film is usable, or a split has nobody.
    """
    tally = Tally(out, shards, label_columns)
    notes: list[str] = []
    dropped: list[Copy] = []
    if on_duplicates == "drop":
        dropped = copies(tally, out, shards)
        tally = Tally(out, shards, label_columns, {copy.id for copy in dropped})
        notes += other_labels_note(dropped)
    refused = [*rejections(out, shards), *((one.id, DUPLICATE, one.sentence) for one in dropped)]
    write_rejected(out, refused)
    finished = FinishedShards(out, shards, write_name_tables(out, shards, refused))
    if not tally.num_used:
        raise UserError(
            f"{out}: no film is usable; {tally.num_files} looked at, {finished.left_out(tally)}"
        )
    duplicates = find_duplicates(
        equal_films(tally), np.array(tally.perceptual, np.uint64), _reader(out, tally)
    )
    division = divide_films(split, tally, duplicates, on_duplicates, finished)
    splits = division.splits
    notes = [*division.merged, *notes, *division.notes]
    write_items(out, shards, label_columns, dict(zip(tally.ids, splits, strict=True)))
    write_duplicates_csv(out / "duplicates.csv", duplicates, tally.ids, tally.patients, splits)
    across = across_splits(duplicates, splits)
    if across:
        notes.append(
            f"{across:,} pairs of equal or nearly equal films lie in different splits, so scores "
            f"may be overstated. {out / 'duplicates.csv'} lists them; --on-duplicates same_split, "
            "into another --out, keeps such patients together."
        )
    hashes = np.array(tally.sources, np.uint64)[:, None]
    manifest = {
        "format": FilmCache.FORMAT,
        "format_version": FilmCache.FORMAT_VERSION,
        "software_version": __version__,
        **layout.plain(),
        "stored_size": layout.stored_size,
        "split": split.plain(),
        "split_id": split_id(zip(division.named, splits, strict=True)),
        "patients": dict(patients),
        "licence": licence.plain(),
        "on_duplicates": on_duplicates,
        "duplicates": {
            "exact_groups": len(duplicates.exact),
            "near_pairs": len(duplicates.near),
            "across_splits": across,
            **({"dropped": len(dropped)} if on_duplicates == "drop" else {}),
            **({"moved": division.moved} if division.moved else {}),
        },
        "labels": {name: class_order(tally.classes[name]) for name in label_columns},
        "num_items": tally.num_used,
        "sha256_items": sha256_of(out / "items.csv"),
        "shards": tally.arrays,
        **num_synthetic(tally.suspicions["synthetic"]),
        "pixel_hashes": write_pixel_hashes(out, hashes, num_unknown=0),
    }
    path = out / "manifest.json"
    if path.is_file() and read_json(path)["split_id"] != manifest["split_id"]:
        notes.append(divided_anew(out))
    write_checked_json(path, manifest)
    return FilmOutcome(out, manifest, tally, notes=notes)


def _reader(out: Path, tally: Tally) -> Callable[[int], NDArray[Any]]:
    """Reads a stored film by its index."""
    ends = np.cumsum([shard["num_films"] for shard in tally.arrays])
    arrays: dict[str, NDArray[Any]] = {}

    def read(index: int) -> NDArray[Any]:
        place = tally.places[index]
        number = int(np.searchsorted(ends, place, side="right"))
        shard = tally.arrays[number]
        first = int(ends[number]) - shard["num_films"]
        film: NDArray[Any] = mapped(arrays, out, shard["array"])[place - first]
        return film

    return read

"""Records of finished shards become a cache: tables, duplicates, split and, last, the manifest."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import COLUMNS, FilmCache, header
from datamodules.named_files import mapped
from datamodules.pixel_hashes import write_pixel_hashes
from licences import Licence
from preparation.copies import joined
from preparation.films.duplicates import (
    Duplicates,
    across_splits,
    find_duplicates,
    write_duplicates_csv,
)
from preparation.films.film_layout import FilmLayout
from preparation.films.label_table import class_order
from preparation.films.names import spellings_of, write_name_tables
from preparation.films.releases.published_split import divided_by_the_source
from preparation.films.tally import (
    DUPLICATE,
    Copy,
    Tally,
    copies,
    counted,
    equal_films,
    other_labels_note,
    records,
    rejections,
)
from preparation.private_table import kept_note
from preparation.split import Split, moves, own_keys, split_id
from preparation.split_notes import (
    check_no_split_is_empty,
    divided_anew,
    merged_lines,
    one_identifier_note,
    warn_of_small_splits,
)
from preparation.synthetic_files import num_synthetic
from provenance import UserError, __version__, read_json, sha256_of, whole_file, write_checked_json

OnDuplicates = Literal["report", "same_split", "drop"]


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
    _write_rejected(out, refused)
    named_there = write_name_tables(out, shards, refused)
    if not tally.num_used:
        raise UserError(
            f"{out}: no film is usable; {tally.num_files} looked at, "
            f"{_left_out(tally, out, shards, named_there)}"
        )
    duplicates = find_duplicates(
        equal_films(tally), np.array(tally.perceptual, np.uint64), _reader(out, tally)
    )
    by_patient = split.by == "patient"
    named = tally.patients if by_patient else tally.ids
    keys = tally.split_keys if by_patient else own_keys(tally.ids)
    drawn: dict[str, str] = {}
    moved: dict[str, list[str]] = {}
    if split.by == "published":
        pairs = zip(tally.ids, tally.published, strict=True)
        splits = [published or split.of(name, name) for name, published in pairs]
    elif split.published:
        together = _together(duplicates, named, on_duplicates)
        drawn, more = divided_by_the_source(split, named, tally.published, keys, together)
        splits = [drawn[name] for name in named]
        notes += more
    else:
        together = _together(duplicates, named, on_duplicates)
        divided = split
        if split.cannot_divide(keys, together):
            divided = replace(split, all_to="test")
            spelt = spellings_of(keys if by_patient else {}, out, shards)
            why = one_identifier_note(split, spelt, tally.num_used, "film") or (
                f"One {split.by}, or several who share images and stay together, cannot be "
                "divided. "
            )
            notes.append(
                f"{why}All films go to the test split, for evaluating models trained on other "
                "data. Pass --split-all-to train to train on them."
            )
        drawn = divided.divide(keys, together)
        splits = [drawn[name] for name in named]
        moved = moves(divided, keys, drawn, chain(*together))
        reasons = f"{out}: {_left_out(tally, out, shards, named_there)}\n" if tally.rejected else ""
        check_no_split_is_empty(divided, keys, together, reasons, kept_note(out))
        warning = warn_of_small_splits(divided, keys, together)
        notes += [warning] if warning else []
    several = {name: own for name, own in tally.split_keys.items() if len(own) > 1}
    spelt = spellings_of(several, out, shards)
    if spelt:
        notes.insert(0, "\n".join(merged_lines(split, spelt, drawn if by_patient else {})))
    if drawn and by_patient:
        notes += _disagreement(tally, drawn)
    _write_items(out, shards, label_columns, dict(zip(tally.ids, splits, strict=True)))
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
        "split_id": split_id(zip(named, splits, strict=True)),
        "patients": dict(patients),
        "licence": licence.plain(),
        "on_duplicates": on_duplicates,
        "duplicates": {
            "exact_groups": len(duplicates.exact),
            "near_pairs": len(duplicates.near),
            "across_splits": across,
            **({"dropped": len(dropped)} if on_duplicates == "drop" else {}),
            **({"moved": moved} if moved else {}),
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


def _disagreement(tally: Tally, drawn: Mapping[str, str]) -> list[str]:
    """A sentence where the table makes several patients of one of the source, in several splits."""
    torn = sum(len({drawn[name] for name in names}) > 1 for names in tally.by_source.values())
    if not torn:
        return []
    return [
        f"{torn:,} patients by the films themselves (PatientID, --patient-pattern or "
        "--patient-from) are several by the label table, in different splits. The table was "
        "followed; if the films are right, people leak: rename its column of patients, so that it "
        "is not taken, into another --out."
    ]


def _left_out(tally: Tally, out: Path, shards: Sequence[str], named_there: Path | None) -> str:
    """How many films were refused and why, in the words of most of them; they name nobody."""
    sentences = Counter(f"{reason}: {text}" for _, reason, text in rejections(out, shards))
    usual = "".join(f"{sentence} " for sentence, _ in sentences.most_common(1))
    return (
        f"left out: {counted(tally.rejected)}. {usual}Each is listed with its reason in "
        f"{named_there or out / 'rejected.csv'}."
    )


def _together(
    duplicates: Duplicates, named: Sequence[str], on_duplicates: OnDuplicates
) -> list[list[str]]:
    """Groups of patients (or films, where those are divided) who share a film."""
    pairs = [(group[0], other) for group in duplicates.exact for other in group[1:]]
    if on_duplicates == "same_split":
        pairs += [(first, second) for first, second, _ in duplicates.near]
    return joined((named[first], named[second]) for first, second in pairs)


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


def _write_items(
    out: Path, shards: Sequence[str], label_columns: Sequence[str], splits: Mapping[str, str]
) -> None:
    """Rows of the films that have a split, by their ids."""
    with whole_file(out / "items.csv") as items:
        write_item = _rows(items)
        write_item(header(label_columns))
        for record in records(out, shards):
            for item in record["items"]:
                if item["id"] not in splits:
                    continue
                item["split"] = splits[item["id"]]
                item["spacing_row_mm"], item["spacing_column_mm"] = item["spacing_mm"] or ("", "")
                item["suspicions"] = " ".join(item["suspicions"])
                labels = [item["labels"][name] for name in label_columns]
                write_item([*(item[column] for column in COLUMNS), *labels])


def _write_rejected(out: Path, refused: Iterable[Sequence[str]]) -> None:
    with whole_file(out / "rejected.csv") as stream:
        write = _rows(stream)
        write(["id", "reason", "sentence"])
        for entry in refused:
            write(entry)


def _rows(stream: BinaryIO) -> Callable[[Sequence[Any]], None]:
    """Writes rows of a CSV table as UTF-8; names of files may hold any bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def write(row: Sequence[Any]) -> None:
        writer.writerow(row)
        stream.write(text.getvalue().encode(errors="surrogateescape"))
        text.seek(0)
        text.truncate()

    return write

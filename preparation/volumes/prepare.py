"""From a source folder to a cache: in parallel, resumable, one volume in memory per worker.

What is on disk decides what is left to do: a shard with a record is done, everything else is
made. The manifest is put together from the records in sorted order, so that an interrupted and
repeated run ends with the same bytes as one that went through.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datamodules.pixel_hashes import write_pixel_hashes
from datamodules.slice_cache import SliceCache
from licences import Licence
from preparation.disk import full_disk_as_user_error, record_path
from preparation.left_out import grouped
from preparation.private_table import FILES, PATIENTS, keep_rows, kept_note
from preparation.split import Split
from preparation.split_notes import (
    check_no_split_is_empty,
    divided_anew,
    merged_lines,
    one_identifier_note,
    warn_of_small_splits,
)
from preparation.trainable_sizes import slice_size_note
from preparation.verify import MOST_LISTED, Verification, made_again_note, verify_slices
from preparation.volumes.copies import find_copies, hash_rows, write_copies_csv
from preparation.volumes.labels.notes import absent_note, kidneys_alone_note, label_map_notes
from preparation.volumes.layout import Layout
from preparation.volumes.left_out import stop_at_the_first, write_skipped
from preparation.volumes.manifest import (
    divided_otherwise,
    manifest_of,
    moved_by_spelling,
    split_keys,
)
from preparation.volumes.options import SliceOptions
from preparation.volumes.shard import (
    SourceChangedError,
    finished,
    make_or_skip,
)
from preparation.volumes.volume import Found, Job, Reader, SkipVolume
from provenance import UserError, write_checked_json
from worker_pool import in_processes

# Sources whose masks say by numbers alone what they mark.
_MASKS_OF_VALUES = ("kits19", "slices", "masks")


@dataclass
class SliceOutcome:
    """What a preparation did.

    Attributes:
        out: The cache folder.
        manifest: What was written.
        num_found: Volumes of the source.
        num_resumed: Of them, those that an earlier run had finished.
        skipped: (file, reason) of what was left out, by the source's names.
        notes: Sentences for the person.
        identifiers: What the source calls each patient, for the screen.
        verification: What the hashes say, where they were asked for.
    """

    out: Path
    manifest: dict[str, Any]
    num_found: int
    num_resumed: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    identifiers: dict[str, str] = field(default_factory=dict)
    verification: Verification | None = None


def prepare(
    out: Path,
    found: Found,
    reader: Reader,
    layout: Layout,
    split: Split,
    options: SliceOptions,
    licence: Licence,
) -> SliceOutcome:
    """Make every shard that is missing, then `skipped.csv`, `duplicates.csv` and the manifest.

    Args:
        out: The cache folder, held by `claimed`.
        found: Jobs of the source.
        reader: Top-level function that reads one job; it runs in the workers.
        layout: Settings of the cache.
        split: How its slices are divided.
        options: Processes, and whether to stop at the first that cannot be used.
        licence: Of the data.

    Raises:
        UserError: Something left out with --strict, nothing usable, a full disk, a folder made
            from another source, an empty split.
    """
    records, todo, again = _sort_out(out, found, layout, options.verify)
    _write_who_is_who(out, found)
    resumed = len(records)
    skipped = list(found.skipped)
    skipped += [tuple(entry) for name in sorted(records) for entry in records[name]["skipped"]]
    if options.strict:
        stop_at_the_first(found, skipped)
    for note in slice_size_note(layout.image_size):
        print(f"note: {note}", flush=True)
    notes = list(found.notes) + made_again_note(again)
    bar = tqdm(
        total=sum(job.num_slices for job in found.jobs),
        initial=sum(job.num_slices for job in found.jobs if job.shard in records),
        unit="slice",
        desc=f"prepare {layout.dataset}",
    )
    with bar, full_disk_as_user_error(out, "volumes"):
        work = partial(make_or_skip, out=out, reader=reader, layout=layout)
        for job, result in in_processes(work, todo, options.workers):
            bar.update(job.num_slices)
            if isinstance(result, SkipVolume):
                skipped.append((result.file, result.reason))
            else:
                records[job.shard] = result
                skipped += [(file, reason) for file, reason in result["skipped"]]
            if options.strict:
                stop_at_the_first(found, skipped)
    for name in sorted(records):
        notes += records[name]["notes"]
    notes = [found.own_names.in_text(note) for note in notes]
    skipped, whole_list = write_skipped(out, found, skipped)
    if not records:
        listed = "\n".join(f"  {line}" for line in grouped(skipped)[:MOST_LISTED])
        raise UserError(
            f"{out}: nothing usable was found; {len(skipped)} left out:\n{listed}\n"
            f"The whole list is in {whole_list}."
        )
    if all("mapped" in record for record in records.values()):
        held = {value for record in records.values() for value in record["mapped"]}
        notes[:0] = label_map_notes(layout.label_map, held, layout.labels)
    of_slices = (item["class_pixels"] for r in records.values() for item in r["items"])
    if layout.labels is not None:
        notes[:0] = absent_note(found.class_names, of_slices)
    elif not layout.label_map and layout.dataset in _MASKS_OF_VALUES:
        notes[:0] = kidneys_alone_note(of_slices)
    copies = find_copies(records, split.by)
    if copies.num_unknown:
        notes.append(
            f"{copies.num_unknown} of {len(records)} volumes were made by an earlier version, "
            "without hashes of their source's slices: of them, only copies of whole volumes are "
            "found. To compare their slices too, prepare into another --out."
        )
    keys, spellings = split_keys(found, records, split), found.spellings
    splits = split.divide(keys, copies.together)
    write_copies_csv(out / "duplicates.csv", copies, splits)
    if layout.has_images:
        usual = Counter(reason for _, reason in skipped).most_common(1)
        reasons = (
            f"{out}: {len(skipped)} left out, most often: {usual[0][0]} The whole list is in "
            f"{whole_list}.\n"
            if usual
            else ""
        )
        spelt = {who: spellings[who] for who in keys} if split.by == "patient" else {}
        reasons += one_identifier_note(split, spelt, len(records), "volume")
        check_no_split_is_empty(split, keys, copies.together, reasons, kept_note(out))
        if warning := warn_of_small_splits(split, keys, copies.together):
            notes.append(warning)
    if merged := merged_lines(split, spellings, splits if split.by == "patient" else {}):
        notes.insert(0, "\n".join(merged))
    manifest = manifest_of(layout, split, records, found, splits, licence)
    if moved := moved_by_spelling(split, keys, splits, copies):
        manifest["patients"]["moved"] = moved
    if divided_otherwise(out, manifest, copies.unit):
        notes.append(divided_anew(out))
    if copies.pairs:
        manifest["duplicates"] = copies.plain(split, keys, splits)
    hashes, num_unknown = hash_rows(records)
    if num_unknown < len(hashes):
        manifest["pixel_hashes"] = write_pixel_hashes(out, hashes, num_unknown)
    write_checked_json(out / "manifest.json", manifest)
    num_found = len(found.jobs) + len(found.skipped)
    verification = verify_slices(SliceCache.open(out), found) if options.verify else None
    own = {who: ", ".join(sorted(spelt)) for who, spelt in spellings.items()}
    return SliceOutcome(out, manifest, num_found, resumed, skipped, notes, own, verification)


def _sort_out(
    out: Path, found: Found, layout: Layout, verify: bool
) -> tuple[dict[str, dict[str, Any]], list[Job], list[str]]:
    """Records that hold, jobs that are left to do, and which of these were finished before."""
    records: dict[str, dict[str, Any]] = {}
    todo: list[Job] = []
    again: list[str] = []
    known = {path.stem for path in (out / "records").glob("*.json")}
    foreign = sorted(known - {job.shard for job in found.jobs})
    if foreign:
        raise UserError(
            f"{out}: holds {len(foreign)} volume(s) that the source does not have, such as "
            f"{foreign[0]}; it was made from another source. Nothing was changed. Give another "
            f"--out, or remove {record_path(out, foreign[0])} to drop that volume."
        )
    for job in found.jobs:
        try:
            record = finished(out, job, layout, verify)
        except SourceChangedError:
            raise UserError(
                f"{out}: {job.shard} was made from other files than those in the source now. "
                "Nothing was changed. Give another --out, or remove "
                f"{record_path(out, job.shard)} to make that volume again."
            ) from None
        if record is None:
            todo.append(job)
            if job.shard in known:
                again.append(job.shard)
                record_path(out, job.shard).unlink()
        else:
            records[job.shard] = record
    return records, todo, again


def _write_who_is_who(out: Path, found: Found) -> None:
    """What the cache does not say: whose pseudonym is whose, and which file is which."""
    if found.naming.is_nobodys:
        return
    if found.naming.salt is not None:
        rows = ((who, own) for who, spelt in found.spellings.items() for own in spelt)
        keep_rows(out, PATIENTS, ("patient_id", "identifier"), rows)
    keep_rows(out, FILES, ("name", "file"), found.own_names.rows())

"""From the records of all files to a finished set: manifest, card, sheet, what was left out."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cards.finish import finish_synthetic_set
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from foreign_text import printable
from preparation.private_table import FILES, SKIPPED, keep_rows, replace_rows
from preparation.synthetic.labels import Classes
from preparation.synthetic.request import Origin
from preparation.synthetic.sheet import write_sheet
from preparation.synthetic.source import SourceFile, counted_kinds, file_of
from preparation.synthetic.write import NOT_ASKED_FOR
from provenance import UserError, library_versions, write_text_atomic
from synthetic_marks import as_json


@dataclass
class SyntheticOutcome:
    """What came of it.

    Attributes:
        made: The finished set.
        num_files: Files of the source.
        left_out: (file or image as the source names it, reason).
        listed_in: Where these are listed.
        not_asked_for: Slices whose label map marks nothing.
        sizes: Images by the height and width of what they were made of.
        remarks: Images by what should be said of them.
        num_resumed: Files that an earlier call had finished.
        notes: Sentences for the person.
        trained_on: The cache that their generator learnt from; None where it is unknown.
    """

    made: SyntheticSet
    num_files: int
    left_out: list[tuple[str, str]]
    listed_in: Path
    not_asked_for: int
    sizes: Counter[tuple[int, int]]
    remarks: Counter[str]
    num_resumed: int = 0
    notes: list[str] = field(default_factory=list)
    trained_on: Path | None = None


NO_LABEL = (
    "no_label",
    "has no label, where others have one. Left out; pass --unlabelled keep to have it without.",
)


def assemble(
    *,
    out: Path,
    files: Sequence[SourceFile],
    lacking: Sequence[SourceFile],
    records: Sequence[dict[str, Any]],
    origin: Origin,
    classes: Classes,
    described: dict[str, Any],
    command: str,
) -> SyntheticOutcome:
    """List what was left out, and finish the set.

    Args:
        out: Its folder.
        files: All of the source.
        lacking: Those that were not read since they have no label.
        records: Of the others, in their order.
        origin: Where the images are from.
        classes: Which they show.
        described: `made_by`, `prepared_like` and `licences` of the manifest.
        command: What was typed.

    Raises:
        UserError: No file could be used.
    """
    cache = origin.like
    entries = [entry for record in records for entry in record["items"]]
    refused = [tuple(entry) for record in records for entry in record["left_out"]]
    left_out = [(one.id, *NO_LABEL) for one in lacking]
    left_out = sorted(left_out + [entry for entry in refused if entry[1] != NOT_ASKED_FOR])
    own = [(file_of(files, name), f"{why}: {said}") for name, why, said in left_out]
    listed_in = _listed(out, files, left_out)
    if not entries:
        first = f" {own[0][0]}: {own[0][1]}" if own else " No label map marks anything."
        raise UserError(
            f"{out}: none of {len(files):,} files could be used, so there is no set. Each is "
            f"listed with its reason in {listed_in}.{first}"
        )
    of_films = isinstance(cache, FilmCache)
    pixels = hashlib.sha256("".join(entry["sha256"] for entry in entries).encode()).hexdigest()
    manifest = {
        "dataset": cache.dataset,
        "image_size": cache.image_size,
        "class_names": list(classes.names),
        "synthetic": True,
        **as_json(),
        "generator": {
            "made_by": printable(described["made_by"]),
            "trained_on": origin.trained_on,
            **origin.knowledge.plain(),
        },
        "shows": "films" if of_films else "slices",
        "source": {
            "kinds": counted_kinds(files),
            "num_files": len(files),
            "num_left_out": len(left_out),
            "images_sha256": pixels,
        },
        "prepared_like": described["prepared_like"],
        "licences": [one.plain() for one in described["licences"]],
        "channels": cache.channels if isinstance(cache, FilmCache) else 1,
        "image_format": "png",
        "versions": library_versions(),
    }
    finish_synthetic_set(out, _items(entries, classes, not of_films), manifest, command)
    made = SyntheticSet.open(out)
    write_sheet(made)
    return SyntheticOutcome(
        made=made,
        num_files=len(files),
        left_out=own,
        listed_in=listed_in,
        not_asked_for=sum(entry[1] == NOT_ASKED_FOR for entry in refused),
        sizes=Counter((entry["source_shape"][0], entry["source_shape"][1]) for entry in entries),
        remarks=Counter(remark for entry in entries for remark in entry["remarks"]),
    )


def _items(
    entries: Sequence[dict[str, Any]], classes: Classes, of_slices: bool
) -> list[SyntheticItem]:
    """The images as the manifest has them; volumes are numbered: their names may identify."""
    series = list(dict.fromkeys(entry["series"] for entry in entries if entry["series"]))
    numbers = {one: f"volume_{number:06d}" for number, one in enumerate(series)}
    return [
        SyntheticItem(
            id=entry["id"],
            class_pixels=tuple(entry["class_pixels"]),
            label=classes.of_file.get(entry["file"]),
            volume=numbers[entry["series"]] if of_slices and entry["series"] else None,
        )
        for entry in entries
    ]


def _listed(out: Path, files: Sequence[SourceFile], left_out: Sequence[tuple[str, ...]]) -> Path:
    """Write which file is which, beside the set, and what was left out, in it and beside it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "reason"))
    writer.writerows((name, f"{why}: {said}") for name, why, said in left_out)
    write_text_atomic(out / SKIPPED, text.getvalue())
    keep_rows(out, FILES, ("id", "file"), [(one.id, one.file.name) for one in files])
    own = [(file_of(files, name), name, f"{why}: {said}") for name, why, said in left_out]
    return replace_rows(out, SKIPPED, ("file", "image", "reason"), own) or out / SKIPPED

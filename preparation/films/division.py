"""Which split each film of a cache belongs to, and what is said of it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from preparation.copies import joined
from preparation.films.duplicates import Duplicates
from preparation.films.names import spellings_of
from preparation.films.releases.published_split import divided_by_the_source
from preparation.films.tally import (
    Tally,
    counted,
    rejections,
)
from preparation.private_table import kept_note
from preparation.split import Split, moves, own_keys
from preparation.split_notes import (
    check_no_split_is_empty,
    merged_lines,
    one_identifier_note,
    warn_of_small_splits,
)

OnDuplicates = Literal["report", "same_split", "drop"]


@dataclass(frozen=True)
class FinishedShards:
    """The shards of which a cache is put together.

    Attributes:
        out: The cache folder.
        names: In the order of the source.
        named_there: The table beside the cache that names refused files; None without one.
    """

    out: Path
    names: Sequence[str]
    named_there: Path | None

    def left_out(self, tally: Tally) -> str:
        """How many films were refused and why, in the words of most of them; they name nobody."""
        each = rejections(self.out, self.names)
        sentences = Counter(f"{reason}: {text}" for _, reason, text in each)
        usual = "".join(f"{sentence} " for sentence, _ in sentences.most_common(1))
        return (
            f"left out: {counted(tally.rejected)}. {usual}Each is listed with its reason in "
            f"{self.named_there or self.out / 'rejected.csv'}."
        )


@dataclass
class Division:
    """Which split each of N films belongs to.

    Attributes:
        named: (N,) who is divided: the film's patient, or the film itself.
        splits: (N,) of each film.
        drawn: The split of everybody who is divided; empty where the source tells it of each film.
        moved: Who is elsewhere than alone, since they share a film with others; see `moves`.
        merged: A sentence on patients whose identifiers are spelt in several ways, if there are.
        notes: Other sentences for the person.
    """

    named: list[str]
    splits: list[str]
    drawn: dict[str, str] = field(default_factory=dict)
    moved: dict[str, list[str]] = field(default_factory=dict)
    merged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def divide_films(
    split: Split,
    tally: Tally,
    duplicates: Duplicates,
    on_duplicates: OnDuplicates,
    finished: FinishedShards,
) -> Division:
    """Divide the films of a cache.

    Args:
        split: How.
        tally: Of the films.
        duplicates: Films that are equal or nearly so.
        on_duplicates: See `assemble`.
        finished: What the films are of.

    Raises:
        UserError: A split has nobody.
    """
    by_patient = split.by == "patient"
    named = tally.patients if by_patient else tally.ids
    keys = tally.split_keys if by_patient else own_keys(tally.ids)
    if split.by == "published":
        pairs = zip(tally.ids, tally.published, strict=True)
        division = Division(named, [told or split.of(name, name) for name, told in pairs])
    else:
        together = _together(duplicates, named, on_duplicates)
        if split.published:
            drawn, notes = divided_by_the_source(split, named, tally.published, keys, together)
            division = Division(named, [drawn[name] for name in named], drawn, notes=notes)
        else:
            division = _drawn(split, tally, keys, together, finished)
    several = {name: own for name, own in tally.split_keys.items() if len(own) > 1}
    spelt = spellings_of(several, finished.out, finished.names)
    if spelt:
        lines = merged_lines(split, spelt, division.drawn if by_patient else {})
        division.merged.append("\n".join(lines))
    if division.drawn and by_patient:
        division.notes += _disagreement(tally, division.drawn)
    return division


def _drawn(
    split: Split,
    tally: Tally,
    keys: Mapping[str, Collection[str]],
    together: Sequence[Sequence[str]],
    finished: FinishedShards,
) -> Division:
    """The division by a draw; all films go to the test split where nothing can be divided."""
    by_patient, notes, divided = split.by == "patient", list[str](), split
    if split.cannot_divide(keys, together):
        divided = replace(split, all_to="test")
        spelt = spellings_of(keys if by_patient else {}, finished.out, finished.names)
        why = one_identifier_note(split, spelt, tally.num_used, "film") or (
            f"One {split.by}, or several who share images and stay together, cannot be divided. "
        )
        notes.append(
            f"{why}All films go to the test split, for evaluating models trained on other data. "
            "Pass --split-all-to train to train on them."
        )
    drawn = divided.divide(keys, together)
    reasons = f"{finished.out}: {finished.left_out(tally)}\n" if tally.rejected else ""
    check_no_split_is_empty(divided, keys, together, reasons, kept_note(finished.out))
    warning = warn_of_small_splits(divided, keys, together)
    notes += [warning] if warning else []
    named = tally.patients if by_patient else tally.ids
    moved = moves(divided, keys, drawn, chain(*together))
    return Division(named, [drawn[name] for name in named], drawn, moved, notes=notes)


def _together(
    duplicates: Duplicates, named: Sequence[str], on_duplicates: OnDuplicates
) -> list[list[str]]:
    """Groups of patients (or films, where those are divided) who share a film."""
    pairs = [(group[0], other) for group in duplicates.exact for other in group[1:]]
    if on_duplicates == "same_split":
        pairs += [(first, second) for first, second, _ in duplicates.near]
    return joined((named[first], named[second]) for first, second in pairs)


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

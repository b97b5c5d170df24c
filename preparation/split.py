"""Who trains, who validates, who tests: drawn by hash, so that adding patients moves nobody."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from datamodules.prepared_cache import SPLITS
from display.numbers import count
from provenance import UserError

_MOST_LISTED = 20


@dataclass(frozen=True)
class Split:
    """How slices are divided.

    Attributes:
        by: `patient` (default everywhere); `slice` for CT or `image` for films (which leaks);
            `published` where the source prescribes the split of every film.
        ratios: Shares of train, val and test; they sum to 1.
        seed: Another seed draws another division. The default was chosen by patient counts alone:
            it comes near 70/20/10 for KiTS19's 210 cases and for its first 12, 20 and 40.
        all_to: Put everything into this one split instead.
        published: Who is where stands in the source; who is not is divided into train and val.
    """

    by: str = "patient"
    ratios: tuple[float, float, float] = (0.7, 0.2, 0.1)
    seed: int = 85
    all_to: str | None = None
    published: bool = False

    def __post_init__(self) -> None:
        if self.by not in ("patient", "slice", "image", "published"):
            raise UserError(f"--split-by {self.by}: expected patient, slice, image or published.")
        if len(self.ratios) != 3 or min(self.ratios) < 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise UserError(
                f"--split-ratios {list(self.ratios)}: expected three shares (train, val, test) "
                "that are not negative and sum to 1, for example 0.7 0.2 0.1."
            )
        if self.all_to is not None and self.all_to not in SPLITS:
            raise UserError(f"--split-all-to {self.all_to}: expected {', '.join(SPLITS)}.")

    def plain(self) -> dict[str, Any]:
        """Return the division as a manifest holds it; `published` only where it is so."""
        plain = {**asdict(self), "ratios": list(self.ratios)}
        return {key: value for key, value in plain.items() if key != "published" or value}

    def of(self, patient_id: str, item_id: str) -> str:
        """Return the split of an item: a function of seed and name alone."""
        if self.all_to is not None:
            return self.all_to
        return split_of(patient_id if self.by == "patient" else item_id, self.ratios, self.seed)

    def divide(
        self, keys: Mapping[str, Collection[str]], together: Iterable[Sequence[str]] = ()
    ) -> dict[str, str]:
        """Return the split of each patient, or of each item where items are divided.

        A split is drawn for each key: for what the source calls somebody, so that another name in
        the cache moves nobody. Who has several keys, as a patient whose identifier is spelt in
        several ways, and groups take the split that most of their keys have by themselves, so that
        few move; of equally frequent ones, that of the smallest key. So it depends on nobody else.

        Args:
            keys: One or more of each name; see `own_keys` where the name itself is the key.
            together: Groups of names that share a split; no name is in two of them.
        """
        groups = [list(group) for group in together]
        grouped = {name for group in groups for name in group}
        drawn = {}
        for group in [*groups, *([name] for name in keys if name not in grouped)]:
            of_group = sorted({key for name in group for key in keys[name]})
            own = Counter(self.of(key, key) for key in of_group)
            drawn.update(dict.fromkeys(group, own.most_common(1)[0][0]))
        return drawn

    def cannot_divide(
        self, keys: Mapping[str, Collection[str]], together: Sequence[Sequence[str]] = ()
    ) -> bool:
        """Whether a single name, or a single group, has to be divided into several splits."""
        several = self.all_to is None and sum(ratio > 0 for ratio in self.ratios) > 1
        return several and len(keys) - sum(len(group) - 1 for group in together) == 1


def own_keys(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the keys of names that are drawn by themselves."""
    return {name: (name,) for name in names}


def moves(
    split: Split,
    keys: Mapping[str, Collection[str]],
    drawn: Mapping[str, str],
    names: Iterable[str],
) -> dict[str, list[str]]:
    """Return [split alone, split now] of each of these names that is not where a key of it is."""
    moved = {}
    for name in sorted(names):
        alone = [split.of(key, key) for key in sorted(keys[name])]
        if others := [own for own in alone if own != drawn[name]]:
            moved[name] = [others[0], drawn[name]]
    return moved


def merged_lines(
    split: Split,
    spellings: Mapping[str, Mapping[str, str]],
    drawn: Mapping[str, str],
) -> list[str]:
    """Whose identifiers are spelt in several ways, and where each spelling would be by itself.

    It names them as the source does: for the screen, not for the cache.

    Args:
        split: How patients are divided.
        spellings: The key of each spelling, by patient.
        drawn: The split of each patient; empty where other things are divided.
    """
    merged = {who: of for who, of in spellings.items() if len(of) > 1}
    if not merged:
        return []
    lines = [
        f"{sum(map(len, merged.values())):,} spellings of {len(merged):,} "
        f"patient{'' if len(merged) == 1 else 's'}: whole numbers are one patient however they are "
        "written (--patient-ids as_written keeps them apart)."
    ]
    by_spelling = sorted(merged.items(), key=lambda entry: sorted(entry[1]))
    for who, keys in by_spelling[:_MOST_LISTED]:
        now = drawn.get(who)
        alone = {spelling: split.of(key, key) for spelling, key in keys.items()}
        moved = [
            f"{spelling} from {own} to {now}"
            for spelling, own in sorted(alone.items())
            if now not in (None, own)
        ]
        lines.append(f"  {', '.join(sorted(keys))}" + (f": {', '.join(moved)}" if moved else ""))
    if len(merged) > _MOST_LISTED:
        lines.append(f"  and {len(merged) - _MOST_LISTED:,} patients more.")
    return lines


def divided_anew(out: Path) -> str:
    """Return the sentence for a finished cache in which copies changed somebody's split."""
    return (
        f"{out}: copies are now kept together, so the cache is divided otherwise than it was here "
        "before. Runs that were trained on it before may have seen what is now val or test: train "
        "again."
    )


def split_of(name: str, ratios: Sequence[float], seed: int) -> str:
    """Return `train`, `val` or `test`: a hash of (seed, name) in [0, 1) against summed ratios.

    Independent of the other names, of their number and of the machine.
    """
    text = f"{seed}:{name}".encode(errors="surrogateescape")  # folder names may be no UTF-8
    digest = hashlib.sha256(text).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    total = 0.0
    for split, ratio in zip(SPLITS, ratios, strict=True):
        total += ratio
        if position < total:
            return split
    return next(s for s, r in zip(reversed(SPLITS), reversed(ratios), strict=True) if r > 0)


def split_id(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of the sorted (patient or item, split) pairs, without repeats."""
    text = json.dumps(sorted(set(pairs)), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_no_split_is_empty(
    split: Split,
    keys: Mapping[str, Collection[str]],
    together: Sequence[Sequence[str]] = (),
    left_out: str = "",
    kept: str = "",
) -> None:
    """Refuse a division that leaves a split without anybody, and name a seed that does not.

    Args:
        split: How they are divided.
        keys: Who is divided, see `Split.divide`.
        together: See `Split.divide`.
        left_out: A sentence on what could not be used, which may be why; said first.
        kept: A sentence on what stays on the disk; said last.

    Raises:
        UserError: Says which split is empty and which flags help.
    """
    wanted = [s for s, ratio in zip(SPLITS, split.ratios, strict=True) if ratio > 0]
    if split.all_to is not None:
        return

    def empty(seed: int) -> list[str]:
        got = set(replace(split, seed=seed).divide(keys, together).values())
        return [s for s in wanted if s not in got]

    missing = empty(split.seed)
    if not missing:
        return
    better = next((seed for seed in range(1000) if not empty(seed)), None)
    remedy = (
        f"Pass --split-seed {better}, with which no split is empty"
        if better is not None
        else "Add patients"
    )
    copied = sum(map(len, together))
    why = f" {copied} of them share images with others and are kept together." if copied else ""
    there, nobody = f"There is 1 {split.by}", "nobody falls"
    if len(keys) != 1:
        there = f"There are {count(len(keys), split.by)}"
        nobody = f"none of the {count(len(keys), split.by)} falls"
    shares = " / ".join(f"{ratio:g}" for ratio in split.ratios)
    raise UserError(
        f"{left_out}{there}; divided {shares} by seed {split.seed}, {nobody} into "
        f"{' or '.join(missing)}.{why} {remedy}, or other --split-ratios, or --split-all-to test "
        f"to keep everything for testing.{kept}"
    )


def one_identifier_note(
    split: Split, spellings: Mapping[str, Collection[str]], number: int, what: str
) -> str:
    """Say that all is of one patient, where it is: an identifier that was removed looks like one.

    Args:
        split: How they are divided.
        spellings: What the source calls each patient: for the screen, not for the cache.
        number: How many of `what` there are.
        what: "film" or "volume".

    Returns:
        A sentence and a blank, or nothing.
    """
    if split.by != "patient" or len(spellings) != 1 or number < 2:
        return ""
    [names] = spellings.values()
    return (
        f"All {number:,} {what}s have the patient identifier {', '.join(sorted(names))}, so they "
        "count as one patient, who cannot be divided. If they are of several, the identifiers were "
        "removed, and who is who has to come from elsewhere. "
    )


def warn_of_small_splits(
    split: Split,
    keys: Mapping[str, Collection[str]],
    together: Sequence[Sequence[str]] = (),
    fewest: int = 3,
) -> str | None:
    """Return a sentence where a split has fewer than `fewest` patients, and a seed that has more.

    Counts alone decide on the seed that it proposes: no label and no score is looked at.
    """
    if split.by != "patient" or not keys or split.all_to == "train":
        return None

    def counts(seed: int) -> list[int]:
        drawn = list(replace(split, seed=seed).divide(keys, together).values())
        return [drawn.count(s) for s in SPLITS]

    def distance(seed: int) -> float:
        pairs = zip(counts(seed), split.ratios, strict=True)
        return sum(abs(n - ratio * len(keys)) for n, ratio in pairs)

    wanted = split.ratios if split.all_to is None else [s == split.all_to for s in SPLITS]
    small = {
        name: n
        for name, n, share in zip(SPLITS, counts(split.seed), wanted, strict=True)
        if share > 0 and n < fewest
    }
    if not small:
        return None
    told = " and ".join(f"{name} has {count(n, 'patient')}" for name, n in small.items())
    told += ": intervals over so few mean little"
    told += ", and over one patient there are none." if 1 in small.values() else "."
    if split.all_to is not None:
        return told
    better = min(range(100), key=distance)
    if distance(better) >= distance(split.seed):
        return f"{told} No other seed divides better: add patients, or give other --split-ratios."
    return (
        f"{told} Pass --split-seed {better} for {' / '.join(map(str, counts(better)))} "
        "(train / val / test), into another --out."
    )

"""What is said of a split, and which splits are refused."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from datamodules.prepared_cache import SPLITS
from display.numbers import count
from preparation.split import Split
from provenance import UserError

_MOST_LISTED = 20


def check_no_split_is_empty(
    split: Split,
    keys: Mapping[str, Collection[str]],
    together: Sequence[Sequence[str]] = (),
    left_out: str = "",
    kept: str = "",
) -> None:
    """Refuse an empty split, and name a seed with which none is empty.

    Args:
        split: How they are split.
        keys: Who is split, see `Split.divide`.
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
    there = f"There {'is' if len(keys) == 1 else 'are'} {count(len(keys), split.by)}"
    shares = " / ".join(f"{ratio:g}" for ratio in split.ratios)
    raise UserError(
        f"{left_out}{there}. Split {shares} by seed {split.seed}, none of them is in "
        f"{' or '.join(missing)}.{why} {remedy}, or other --split-ratios, or "
        f"--split-all-to test to use everything for testing.{kept}"
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
    told += ": confidence intervals over so few mean little"
    told += ", and over one patient there is none." if 1 in small.values() else "."
    if split.all_to is not None:
        return told
    better = min(range(100), key=distance)
    if distance(better) >= distance(split.seed):
        return (
            f"{told} No other seed gives better shares: add patients, or give other --split-ratios."
        )
    return (
        f"{told} Pass --split-seed {better} for {' / '.join(map(str, counts(better)))} "
        "(train / val / test), into another --out."
    )


def one_identifier_note(
    split: Split, spellings: Mapping[str, Collection[str]], number: int, what: str
) -> str:
    """A note if all items are of one patient, since removed identifiers look like this.

    Args:
        split: How they are split.
        spellings: What the source calls each patient: for the screen, not for the cache.
        number: How many of `what` there are.
        what: "film" or "volume".

    Returns:
        The note and a space, or an empty text.
    """
    if split.by != "patient" or len(spellings) != 1 or number < 2:
        return ""
    [names] = spellings.values()
    return (
        f"All {number:,} {what}s have the patient identifier {', '.join(sorted(names))}, so they "
        "count as one patient, who is in one split. If they are of several patients, the "
        "identifiers were removed, and must be taken from elsewhere. "
    )


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
        f"{out}: copies are now kept in one split, so the split of this cache has changed. Runs "
        "that were trained on it before may have seen images that are now in val or test: train "
        "again."
    )

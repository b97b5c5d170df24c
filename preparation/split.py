"""Who trains, who validates, who tests: drawn by hash, so that adding patients moves nobody."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from datamodules.prepared_cache import SPLITS
from provenance import UserError


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
    """

    by: str = "patient"
    ratios: tuple[float, float, float] = (0.7, 0.2, 0.1)
    seed: int = 85
    all_to: str | None = None

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
        """Return the division as a manifest holds it."""
        return {**asdict(self), "ratios": list(self.ratios)}

    def of(self, patient_id: str, item_id: str) -> str:
        """Return the split of an item: a function of seed and name alone."""
        if self.all_to is not None:
            return self.all_to
        return split_of(patient_id if self.by == "patient" else item_id, self.ratios, self.seed)

    def divide(
        self, names: Iterable[str], together: Iterable[Sequence[str]] = ()
    ) -> dict[str, str]:
        """Return the split of each patient, or of each item where items are divided.

        A group takes the split that most of its members have by themselves, so that few move; of
        equally frequent ones, that of the smallest name. So it depends on nobody outside of it.

        Args:
            names: Of patients, or of items.
            together: Groups of names that share a split; no name is in two of them.
        """
        drawn = {name: self.of(name, name) for name in names}
        for group in together:
            own = Counter(drawn[name] for name in sorted(group))
            drawn.update(dict.fromkeys(group, own.most_common(1)[0][0]))
        return drawn


def moves(
    split: Split, drawn: Mapping[str, str], together: Iterable[Sequence[str]]
) -> dict[str, list[str]]:
    """Return [split alone, split now] of each name that its group moved."""
    alone = {name: split.of(name, name) for group in together for name in group}
    return {name: [own, drawn[name]] for name, own in alone.items() if own != drawn[name]}


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
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
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
    split: Split, names: Iterable[str], together: Sequence[Sequence[str]] = ()
) -> None:
    """Refuse a division that leaves a split without anybody, and name a seed that does not.

    Args:
        split: How they are divided.
        names: Who is divided.
        together: See `Split.divide`.

    Raises:
        UserError: Says which split is empty and which flags help.
    """
    unique = sorted(set(names))
    wanted = [s for s, ratio in zip(SPLITS, split.ratios, strict=True) if ratio > 0]
    if split.all_to is not None:
        return

    def empty(seed: int) -> list[str]:
        got = set(replace(split, seed=seed).divide(unique, together).values())
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
    raise UserError(
        f"--split-seed {split.seed}: none of the {len(unique)} {split.by}s falls into "
        f"{' or '.join(missing)} (--split-ratios {' '.join(map(str, split.ratios))}).{why} "
        f"{remedy}, or other --split-ratios, or --split-all-to test to keep everything for testing."
    )


def warn_of_small_splits(
    split: Split,
    names: Iterable[str],
    together: Sequence[Sequence[str]] = (),
    fewest: int = 3,
) -> str | None:
    """Return a sentence where a split has fewer than `fewest` patients though more could be had.

    Counts alone decide on the seed that it proposes: no label and no score is looked at.
    """
    unique = sorted(set(names))
    if split.all_to is not None or split.by != "patient" or len(unique) < 3:
        return None

    def counts(seed: int) -> list[int]:
        drawn = list(replace(split, seed=seed).divide(unique, together).values())
        return [drawn.count(s) for s in SPLITS]

    def distance(seed: int) -> float:
        pairs = zip(counts(seed), split.ratios, strict=True)
        return sum(abs(n - ratio * len(unique)) for n, ratio in pairs)

    now = counts(split.seed)
    small = [
        f"{name} has {n} patient{'' if n == 1 else 's'}"
        for name, n, ratio in zip(SPLITS, now, split.ratios, strict=True)
        if ratio > 0 and n < fewest
    ]
    better = min(range(100), key=distance)
    if not small or distance(better) >= distance(split.seed):
        return None
    return (
        f"{' and '.join(small)}: intervals over so few mean little. Pass --split-seed {better} "
        f"for {' / '.join(map(str, counts(better)))} (train / val / test), into another --out."
    )

"""Who trains, who validates, who tests: drawn by hash, so that adding patients moves nobody."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datamodules.prepared_cache import SPLITS
from provenance import UserError


@dataclass(frozen=True)
class Split:
    """How slices or films are split into train, val and test.

    Attributes:
        by: `patient` (default everywhere); `slice` for CT or `image` for films (which leaks);
            `published` where the source prescribes the split of every film.
        ratios: Shares of train, val and test; they sum to 1.
        seed: Another seed draws another split. The default was chosen by patient counts alone: it
            comes near 70/20/10 for KiTS19's 210 cases and for its first 12, 20 and 40.
        all_to: Put everything into this one split instead.
        published: The source says the split of each patient; those whom it does not list are drawn
            into train and val.
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
        """Return the split as a manifest has it; `published` only where it is so."""
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
        """Return the split of each patient, or of each item where items are split.

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
        """Whether there is one name, or one group, for several splits."""
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

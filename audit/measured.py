"""What an audit measured, and the numbers of it that audit.json holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from audit.distances.spaces import Space
from audit.images import AuditedSets
from audit.matching import Matches
from audit.planted import PLAIN, Planted
from audit.statistics import (
    FALSE_RATE,
    BoolArray,
    Chance,
    FloatArray,
    largest_share,
    share_of,
    smallest_share_shown,
)

_SURE_OF_COPIES = 0.05
"""Quantile of plain planted copies' scores from which on an image is as like as they are."""

_CLEARLY = 2.0
"""Times the highest held-out score: nearer to it, one image as like as a plain copy is no news."""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        synthetic: (n,) scores: how much more like its training image than by chance.
        held_out: (m,) likewise.
        held_out_flags: (m,) above the threshold that other patients set.
        threshold: Of scores.
        chance: p values of the set against the held-out images.
        planted: Copies, by disguise.
        no_copies: Images that were changed and are no copies, by what they are.
        agreement: Flags of either embedding by itself, (2, n).
        matches: Of the synthetic images, for each embedding.
        held_out_matches: Likewise.
        regions: (n,) index of the region in which each synthetic image is suspicious.
        held_out_regions: (m,) likewise.
        independent: How many independent images the set counts for.
        own: Facts about the images whose label map belongs to a training image; None without.
        control_set: A set that is known to copy, judged likewise; None without.
        spaces: Where distances between images are measured, the audit's own first.
        sets: What was measured.
    """

    synthetic: FloatArray
    held_out: FloatArray
    held_out_flags: BoolArray
    threshold: float
    chance: Chance
    planted: Mapping[str, Planted]
    no_copies: Mapping[str, Planted]
    agreement: BoolArray
    matches: list[Matches]
    held_out_matches: list[Matches]
    regions: list[int]
    held_out_regions: list[int]
    independent: float
    own: dict[str, Any] | None
    control_set: Planted | None
    spaces: list[Space]
    sets: AuditedSets

    def plain(self) -> dict[str, Any]:
        """Plain values for audit.json; nothing of them names a patient."""
        flags = self.synthetic > self.threshold
        highest = float(self.held_out.max())
        above = self.synthetic > highest
        held_out = share_of(self.held_out_flags, self.sets.held_out.patients, 0.9)
        low = held_out.low if held_out.low is not None else 0.0
        high = held_out.high if held_out.high is not None else FALSE_RATE
        every = np.concatenate([one.scores for one in self.planted.values()]) > self.threshold
        found = float(every.mean())
        counted = self.independent / len(flags)
        level = float(np.quantile(self.planted[PLAIN].scores, _SURE_OF_COPIES))
        as_copies = self.synthetic >= level
        told_apart = level > _CLEARLY * highest

        def at_most(share: float) -> float:
            return largest_share(flags.sum() * counted, self.independent, low, share)

        return {
            "num_synthetic": len(flags),
            "num_synthetic_independent": round(self.independent, 1),
            "num_training": len(self.sets.training),
            "num_training_patients": self.sets.training.num_patients,
            "num_held_out_images": len(self.held_out),
            "num_held_out_patients": self.sets.held_out.num_patients,
            "threshold": self.threshold,
            "flagged": int(flags.sum()),
            "flagged_share": float(flags.mean()),
            "held_out_flagged_share": held_out.value,
            "held_out_flagged_low": low,
            "held_out_flagged_high": high,
            "p_flagged": self.chance.flagged,
            "highest_held_out": highest,
            "above_every_held_out": int(above.sum()),
            "p_above_every_held_out": self.chance.above_all,
            "plain_copy_level": level,
            "like_a_plain_copy": int(as_copies.sum()) if told_apart else None,
            "held_out_like_a_plain_copy": int((self.held_out >= level).sum()),
            "planted_found_share": found,
            "planted": [
                self._planted_row(name, copies, at_most) for name, copies in self.planted.items()
            ],
            "no_copies": [
                {"what": name, **self._above(images)} for name, images in self.no_copies.items()
            ],
            "control_set": self.control_set and self._above(self.control_set),
            "copies_at_most": at_most(found),
            "smallest_share_shown": smallest_share_shown(self.independent, high, found),
            "embeddings_flagged": self.agreement.sum(1).tolist(),
            "embeddings_flagged_both": int(self.agreement.all(0).sum()),
            "own_label_maps": self.own,
            "images": [
                {"id": name, "score": round(score, 4), "flagged": flagged, "above_held_out": top}
                for name, score, flagged, top in zip(
                    self.sets.synthetic.ids,
                    self.synthetic.tolist(),
                    flags.tolist(),
                    above.tolist(),
                    strict=True,
                )
            ],
        }

    def _planted_row(
        self, name: str, copies: Planted, at_most: Callable[[float], float]
    ) -> dict[str, Any]:
        found = self._above(copies)
        return {
            "disguise": name,
            **found,
            "source_named": None if copies.named is None else float(copies.named.mean()),
            "copies_at_most": at_most(found["low"] or 0.0),
        }

    def _above(self, images: Planted) -> dict[str, Any]:
        """Their share above the threshold, with its 95 % interval over patients."""
        found = share_of(images.scores > self.threshold, images.patients)
        return {
            "num": len(images.scores),
            "found": found.value,
            "low": found.low,
            "high": found.high,
            "above_every_held_out": float((images.scores > self.held_out.max()).mean()),
        }

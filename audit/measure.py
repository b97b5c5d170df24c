"""The measurements of an audit: the set, held-out images and planted copies, all judged alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audit.disguises import disguises
from audit.embedding import STEPS
from audit.images import AuditedSets
from audit.kept_embedding import kept_or_trained
from audit.matching import Gallery, Matches, match, points_of
from audit.statistics import (
    FALSE_RATE,
    BoolArray,
    Chance,
    FloatArray,
    Scale,
    by_chance,
    effective_number,
    held_out_flags,
    largest_share,
    share_of,
    smallest_share_shown,
    threshold_of,
)

PLAIN = "plain"
_SURE_OF_COPIES = 0.05
"""Quantile of plain planted copies' scores from which on an image is as like as they are."""

_CLEARLY = 2.0
"""Times the highest held-out score: nearer to it, one image as like as a plain copy is no news."""


@dataclass(frozen=True)
class Planted:
    """Copies of one disguise.

    Attributes:
        scores: (P,) theirs.
        named: (P,) whether the image that a copy is of is the one that was found.
        patients: Whose image each is a copy of.
    """

    scores: FloatArray
    named: BoolArray
    patients: list[str]


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        synthetic: (n,) scores: how much more like its training image than by chance.
        held_out: (m,) likewise.
        held_out_flags: (m,) above the threshold that other patients set.
        threshold: Of scores.
        chance: p values of the set against the held-out images.
        planted: By disguise.
        agreement: Flags of either embedding by itself, (2, n).
        matches: Of the synthetic images, for each embedding.
        held_out_matches: Likewise.
        regions: (n,) index of the region in which each synthetic image is suspicious.
        held_out_regions: (m,) likewise.
        independent: How many independent images the set counts for.
        own: Facts about the images whose label map belongs to a training image; None without.
        sets: What was measured.
    """

    synthetic: FloatArray
    held_out: FloatArray
    held_out_flags: BoolArray
    threshold: float
    chance: Chance
    planted: Mapping[str, Planted]
    agreement: BoolArray
    matches: list[Matches]
    held_out_matches: list[Matches]
    regions: list[int]
    held_out_regions: list[int]
    independent: float
    own: dict[str, Any] | None
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
        found = share_of(copies.scores > self.threshold, copies.patients)
        return {
            "disguise": name,
            "num": len(copies.scores),
            "found": found.value,
            "low": found.low,
            "high": found.high,
            "above_every_held_out": float((copies.scores > self.held_out.max()).mean()),
            "source_named": float(copies.named.mean()),
            "copies_at_most": at_most(found.low or 0.0),
        }


def likenesses_of(found: Matches) -> FloatArray:
    """(N, 2): the excess of the whole, and the mean of the two corners with the largest.

    Of a film that is half a copy two corners are copies; of one with a text box on it, three.
    """
    corners = found.excess[:, 1:].topk(2, dim=1).values.mean(1)
    both: FloatArray = torch.stack([found.excess[:, 0], corners], 1).double().cpu().numpy()
    return both


def measured(
    sets: AuditedSets,
    folder: Path,
    num_planted: int,
    device: torch.device,
    seed: int,
    show_progress: bool,
) -> Measured:
    """Train or fetch two embeddings, and judge everything with both.

    Args:
        sets: Of at least 2 training patients and 2 held-out ones.
        folder: The cache, where embeddings are kept.
        num_planted: Copies of each disguise.
        device: Where to compute.
        seed: Of everything.
        show_progress: Bars with the time left.
    """
    planted, rows = _plant(sets, num_planted, seed)
    groups = {"": sets.synthetic.pixels, "held out": sets.held_out.pixels, **planted}
    own = sets.own if bool((sets.own >= 0).any()) else None
    training = sets.training.pixels.to(device)
    names = {name: row for row, name in enumerate(sorted(set(sets.training.patients)))}
    owners = torch.tensor([names[one] for one in sets.training.patients], device=device)
    found: dict[str, list[Matches]] = {name: [] for name in groups}
    queries = 2 * sum(map(len, groups.values()))
    networks = []
    with tqdm(total=2 * STEPS, desc="embeddings", unit="step", disable=not show_progress) as bar:
        for number in range(2):
            networks.append(kept_or_trained(folder, training, 2 * seed + number, bar.update))
            bar.update((number + 1) * STEPS - bar.n)  # one that was kept takes no steps
    with tqdm(total=queries, desc="looking", unit="image", disable=not show_progress) as bar:
        for network in networks:
            gallery = Gallery(training, owners, points_of(network, training))
            for name, pixels in groups.items():
                mine = own.to(device) if own is not None and not name else None
                found[name].append(
                    _on_cpu(match(network, gallery, pixels.to(device), mine, bar.update))
                )
    likenesses = {
        name: np.mean([likenesses_of(one) for one in each], 0) for name, each in found.items()
    }
    scale = Scale.of(likenesses["held out"])
    scores = {name: scale.scores(each) for name, each in likenesses.items()}
    return Measured(
        scores[""],
        scores["held out"],
        held_out_flags(likenesses["held out"], sets.held_out.patients, seed),
        threshold_of(scores["held out"]),
        by_chance(
            likenesses[""],
            sets.synthetic.patients,
            likenesses["held out"],
            sets.held_out.patients,
            seed,
        ),
        {
            name: Planted(
                scores[name],
                _named(found[name][0], scale, rows),
                [sets.training.patients[row] for row in rows.tolist()],
            )
            for name in planted
        },
        np.stack([_flags_alone(found, number) for number in range(2)]),
        found[""],
        found["held out"],
        regions_of(found[""][0], scale),
        regions_of(found["held out"][0], scale),
        effective_number(scores[""], sets.synthetic.patients),
        None if own is None else _own_facts(found[""][0], own, sets),
        sets,
    )


def _plant(sets: AuditedSets, count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """So many copies of each disguise, (P, 1, S, S) uint8, and the (P,) images they are of."""
    source = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(sets.training), generator=source)[:count]
    strange = torch.randperm(len(sets.held_out), generator=source)
    strange = strange.repeat(-(-len(rows) // len(strange)))[: len(rows)]
    images, others = (
        one.pixels[at].float() / 255
        for one, at in ((sets.training, rows), (sets.held_out, strange))
    )
    return {
        name: (255 * disguise(images, others, source)).round().byte()
        for name, disguise in disguises().items()
    }, rows


def regions_of(found: Matches, scale: Scale) -> list[int]:
    """Of each image the region that made its score: the whole, or its most suspicious corner."""
    likenesses = likenesses_of(found)
    whole, corners = ((likenesses - scale.middle) / scale.reach).T
    best = 1 + found.excess[:, 1:].argmax(1)
    return np.where(whole >= corners, 0, best.cpu().numpy()).tolist()


def _named(found: Matches, scale: Scale, rows: Tensor) -> BoolArray:
    at = torch.tensor(regions_of(found, scale))
    named: BoolArray = (found.source.gather(1, at[:, None])[:, 0] == rows).numpy()
    return named


def _flags_alone(found: Mapping[str, list[Matches]], number: int) -> BoolArray:
    """(n,) which synthetic images one embedding flags by itself."""
    held_out = likenesses_of(found["held out"][number])
    scale = Scale.of(held_out)
    scores = scale.scores(likenesses_of(found[""][number]))
    flags: BoolArray = scores > threshold_of(scale.scores(held_out))
    return flags


def _own_facts(found: Matches, own: Tensor, sets: AuditedSets) -> dict[str, Any]:
    """How often the slice behind an image's label map is what lies on it best."""
    with_map = own >= 0
    best, mine = found.source[with_map, 0], own[with_map]
    patients = np.array(sets.training.patients, str)
    same = patients[best.numpy()] == patients[mine.numpy()]
    return {
        "num_images": int(with_map.sum()),
        "own_slice_is_nearest": float((best == mine).float().mean()),
        "own_patient_is_nearest": float(same.mean()),
    }


def _on_cpu(found: Matches) -> Matches:
    return Matches(*(value.cpu() for value in vars(found).values()))

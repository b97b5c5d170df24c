"""Controls made on the spot: copies that an audit should find, and images that are none."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audit.disguises import GENERATED, disguises
from audit.images import AuditedSets
from audit.rebuilding import NUM_COPIED, STEPS, Rebuilding, over_trained
from audit.statistics import BoolArray, FloatArray

PLAIN = "plain"


@dataclass(frozen=True)
class Copies:
    """P images that are made of training images in one way.

    Attributes:
        pixels: (P, 1, S, S) uint8.
        source: (P,) row of the training image that each is of.
    """

    pixels: Tensor
    source: Tensor


@dataclass(frozen=True)
class Planted:
    """Images of one kind, as they were judged.

    Attributes:
        scores: (P,) theirs.
        patients: Whose image each is, or is a copy of.
        named: (P,) whether the image that a copy is of is the one that was found; None where they
            are no copies of known images.
    """

    scores: FloatArray
    patients: list[str]
    named: BoolArray | None = None


@dataclass(frozen=True)
class NoCopies:
    """Images that are no copies, though something was done to them: they should not be flagged.

    Attributes:
        what: What they are, in words.
        pixels: (P, 1, S, S) uint8.
        patients: Whose each is.
    """

    what: str
    pixels: Tensor
    patients: list[str]


def plant(
    sets: AuditedSets, count: int, seed: int, show_progress: bool = False
) -> tuple[dict[str, Copies], NoCopies]:
    """So many copies of each disguise, and as many held-out images rebuilt as copies were.

    Rebuilt images are blurred: were the blur flagged, so would a set be that is blurred and holds
    no copy.
    """
    source = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(sets.training), generator=source)[:count]
    strange = torch.randperm(len(sets.held_out), generator=source)
    strange = strange.repeat(-(-len(rows) // len(strange)))[: len(rows)]
    images, others = (
        one.pixels[at].float() / 255
        for one, at in ((sets.training, rows), (sets.held_out, strange))
    )
    bar = tqdm(disguises().items(), "planted copies", unit="kind", disable=not show_progress)
    made = {name: Copies(_bytes(disguise(images, others, source)), rows) for name, disguise in bar}
    rebuilding = Rebuilding(sets.training.pixels, seed)
    by = f"rebuilt from {rebuilding.number} principal components"
    made[by] = Copies(_bytes(rebuilding(images)), rows)
    repeated = images[:NUM_COPIED]
    with tqdm(
        total=STEPS, desc="generator that copies", unit="step", disable=not show_progress
    ) as steps:
        drawn = over_trained(repeated, len(rows), seed, steps.update)
    made[GENERATED] = Copies(
        _bytes(drawn),
        rows[:NUM_COPIED].repeat(-(-len(rows) // len(repeated)))[: len(rows)],
    )
    return made, NoCopies(
        f"held-out images {by}",
        _bytes(rebuilding(others)),
        np.array(sets.held_out.patients, str)[strange.numpy()].tolist(),
    )


def _bytes(images: Tensor) -> Tensor:
    return (255 * images).round().byte()

"""Mixup, CutMix, RICAP and Perlin noise: how images of a batch are mixed.

Each method draws a mixture from one random generator per image, and nothing else, so that the same
seeds give the same bits, in any process and after any resume.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from augmentations.mixture import Blend, Patchwork, partners, shares_of
from augmentations.operation import BatchOperation, Generators, Images, setting
from augmentations.perlin import perlin_noise

NOTHING_TO_LEARN = (
    "the images have neither class labels nor label maps, and what is trained on them, such as a "
    "generator, would learn to make mixed or blanked images"
)

_BY_AREA = "Labels count by area, wherever the finding lies."
_PIECES = (
    "Each pixel keeps its true label, but pieces of an organ lie outside the body or in another "
    "organ, with edges that no anatomy has: position and shape mislead there."
)


@dataclass(frozen=True, kw_only=True)
class Mixing(BatchOperation):
    """Images of several images of the batch; `draw` says of which.

    Labels become shares of classes, masks go with the pixels.
    """

    meets: ClassVar[bool] = True

    def draw(
        self, generators: Generators, height: int, width: int, labels: Tensor | None = None
    ) -> Blend | Patchwork:
        """Draw what each image is made of: N generators, one for each, and (N,) labels if any."""
        raise NotImplementedError

    def undefined_for(self, images: Images) -> str | None:
        """See `BatchOperation`."""
        return None if images.labels or images.masks else NOTHING_TO_LEARN

    def apply(
        self, batch: dict[str, Any], generators: Generators, num_classes: int
    ) -> dict[str, Any]:
        """See `BatchOperation`."""
        image: Tensor = batch["image"]
        labels = batch["label"].cpu() if "label" in batch else None
        mixture = self.draw(generators, image.shape[-2], image.shape[-1], labels)
        mixed = {**batch, "image": mixture.images(image)}
        if "mask" in batch:
            assert isinstance(mixture, Patchwork), "refused by undefined_for"
            mixed["mask"] = mixture.masks(batch["mask"])
        if "label" in batch:
            shares = shares_of(batch.get("target", batch["label"]), num_classes)
            mixed["target"] = mixture.targets(shares)
        if "findings" in batch:
            mixed["findings"] = mixed_findings(mixture, batch["findings"])
        return mixed


@dataclass(frozen=True, kw_only=True)
class Mixup(Mixing):
    """The weighted mean of two images and of their labels.

    Args:
        alpha: The weight is from Beta(alpha, alpha): the smaller, the nearer to one of the two
            images; 0 leaves the image as it is. 0.2 is the paper's for ImageNet, 1 for CIFAR.

    Source: Zhang et al. 2017, arXiv:1710.09412. Deviations: a weight for each image in place of one
    for the batch; partners are neighbours in the shuffled batch.
    """

    alpha: float = setting(0.2, 0)

    source: ClassVar[str] = "Zhang et al. 2017, arXiv:1710.09412"
    breaks_meaning: ClassVar[str] = "Two patients overlap, each transparent."

    def undefined_for(self, images: Images) -> str | None:
        """See `BatchOperation`."""
        if images.masks:
            return (
                "it shows two images through one another, so a pixel has two labels, and a label "
                "map has one; cutmix, ricap, perlin_mix and cutout keep each pixel's label"
            )
        return super().undefined_for(images)

    def draw(
        self, generators: Generators, height: int, width: int, labels: Tensor | None = None
    ) -> Blend:
        """Draw a weight for each image; N generators, one for each."""
        kept = [
            _beta(random, self.alpha) if is_drawn(random, self.probability) else 1.0
            for random in generators
        ]
        own = torch.tensor(kept, dtype=torch.float32)
        return Blend(partners(len(kept))[:, :2], torch.stack([own, 1 - own], dim=1))


@dataclass(frozen=True, kw_only=True)
class CutMix(Mixing):
    """A box of another image in place of one's own; labels count by area, masks go with the pixels.

    Args:
        alpha: The box's share of the area is from Beta(alpha, alpha), before it is cut off at the
            image's border; 0 leaves the image as it is.

    Source: Yun et al. 2019, arXiv:1905.04899, with a probability of 1 for ImageNet and 0.5 for
    CIFAR. Deviations as for `Mixup`.
    """

    alpha: float = setting(1.0, 0)

    source: ClassVar[str] = "Yun et al. 2019, arXiv:1905.04899"
    breaks_meaning: ClassVar[str] = _BY_AREA
    breaks_meaning_of_masks: ClassVar[str] = _PIECES

    def draw(
        self, generators: Generators, height: int, width: int, labels: Tensor | None = None
    ) -> Patchwork:
        """Draw a box for each image; N generators, one for each."""
        parts = torch.zeros(len(generators), height, width, dtype=torch.uint8)
        for part, random in zip(parts, generators, strict=True):
            happens, kept = is_drawn(random, self.probability), _beta(random, self.alpha)
            across, down = int(random.integers(width)), int(random.integers(height))
            half = 0.5 * math.sqrt(1 - kept) if happens else 0.0
            _box(part, down, across, int(half * height), int(half * width)).fill_(1)
        return _in_place(partners(len(parts))[:, :2], parts)


@dataclass(frozen=True, kw_only=True)
class Ricap(Mixing):
    """Four images meet in a random point, each with a random crop of itself in its corner.

    Labels count by area, masks go with the pixels.

    Args:
        beta: The point is at Beta(beta, beta) of the height and of the width: the smaller, the
            more of the area is one image's; 0 leaves the image as it is.

    Source: Takahashi et al. 2018, arXiv:1811.09030 (RICAP). Deviations as for `Mixup`.
    """

    beta: float = setting(0.3, 0)

    source: ClassVar[str] = "Takahashi et al. 2018, arXiv:1811.09030"
    breaks_meaning: ClassVar[str] = _BY_AREA
    breaks_meaning_of_masks: ClassVar[str] = _PIECES

    def draw(
        self, generators: Generators, height: int, width: int, labels: Tensor | None = None
    ) -> Patchwork:
        """Draw a point and four crops for each image; N generators, one for each."""
        parts = torch.zeros(len(generators), height, width, dtype=torch.uint8)
        shifts = torch.zeros(len(generators), 4, 2, dtype=torch.int64)
        for part, shift, random in zip(parts, shifts, generators, strict=True):
            happens = is_drawn(random, self.probability)
            row = round(height * _beta(random, self.beta))
            column = round(width * _beta(random, self.beta))
            if not happens:
                row, column = height, width
            part[:row, column:] = 1
            part[row:, :column] = 2
            part[row:, column:] = 3
            for corner in range(4):
                below, right = divmod(corner, 2)
                rows, top = (height - row, row) if below else (row, 0)
                columns, left = (width - column, column) if right else (column, 0)
                shift[corner, 0] = top - int(random.integers(height - rows + 1))
                shift[corner, 1] = left - int(random.integers(width - columns + 1))
        return Patchwork(partners(len(parts)), parts, shifts)


@dataclass(frozen=True, kw_only=True)
class PerlinMix(Mixing):
    """Two images, of two classes where that goes, with a natural outline between them.

    The pixels with the largest values of a Perlin noise are another image's. Labels count by area,
    masks go with the pixels.

    Args:
        alpha: The other image's share of the area is from Beta(alpha, alpha); 0 leaves the image
            as it is.
        cells: Squares of the noise's lattice along a side: the more, the finer the outline.
        other_class: Take the first image of another class in the group, and the next one only where
            there is none. Rare classes are then seen more often than they are in the data. Label
            maps, and films with several findings, have no one class: the next one is taken.

    Source: Bae et al. 2018, doi:10.1038/s41598-018-36047-2, who label pixels; the lattice and the
    law of the share are ours.
    """

    alpha: float = setting(1.0, 0)
    cells: int = setting(4, 1, 64)
    other_class: bool = setting(True)

    source: ClassVar[str] = "Bae et al. 2018, doi:10.1038/s41598-018-36047-2"
    breaks_meaning: ClassVar[str] = _BY_AREA
    breaks_meaning_of_masks: ClassVar[str] = _PIECES

    def draw(
        self, generators: Generators, height: int, width: int, labels: Tensor | None = None
    ) -> Patchwork:
        """Draw a share and a noise for each image; N generators, and (N,) labels if there are."""
        pixels, counts, angles = height * width, [], []
        for random in generators:
            happens, kept = is_drawn(random, self.probability), _beta(random, self.alpha)
            counts.append(round((1 - kept) * pixels) if happens else 0)
            angles.append(random.uniform(0, 2 * math.pi, (self.cells + 1, self.cells + 1)))
        lattice = torch.from_numpy(np.stack(angles)).float()
        noise = perlin_noise(lattice, height, width).flatten(1)
        parts = torch.zeros(len(counts), pixels, dtype=torch.uint8)
        for part, values, count in zip(parts, noise, counts, strict=True):
            if count:
                part[values >= values.kthvalue(pixels - count + 1).values] = 1
        sources = partners(len(counts))
        other = torch.ones(len(counts), 1, dtype=torch.int64)
        if self.other_class and labels is not None:
            differs = labels[sources] != labels[:, None]
            # The first that differs; where none does, argmax would give the image itself.
            other = differs.int().argmax(dim=1, keepdim=True).clamp(min=1)
        chosen = torch.cat([sources[:, :1], sources.gather(1, other)], dim=1)
        return _in_place(chosen, parts.view(-1, height, width))


def mixed_findings(mixture: Blend | Patchwork, findings: Tensor) -> Tensor:
    """Each finding's share in a mixed image; unknown where it is of any image that is in it.

    Args:
        mixture: What each image is made of.
        findings: (N, K) shares in [0, 1], NaN for unknown.
    """
    unknown = findings.isnan()
    shares = mixture.targets(findings.nan_to_num(nan=0.0))
    return shares.masked_fill(mixture.targets(unknown.to(findings)) > 0, torch.nan)


def is_drawn(random: np.random.Generator, probability: float) -> bool:
    """Whether an operation of this probability happens to an image."""
    return bool(random.random() < probability)


def _beta(random: np.random.Generator, concentration: float) -> float:
    """A draw of Beta(concentration, concentration); 1, its limit towards one side, for 0."""
    return float(random.beta(concentration, concentration)) if concentration > 0 else 1.0


def _box(part: Tensor, row: int, column: int, half_rows: int, half_columns: int) -> Tensor:
    """The pixels of (H, W) in a box around a point, cut off at the border."""
    rows = slice(max(row - half_rows, 0), row + half_rows)
    return part[rows, max(column - half_columns, 0) : column + half_columns]


def _in_place(sources: Tensor, parts: Tensor) -> Patchwork:
    return Patchwork(sources, parts, torch.zeros(*sources.shape, 2, dtype=torch.int64))

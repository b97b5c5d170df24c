"""AugMix: an image blended with several differently transformed ones of itself.

Sources: Hendrycks et al. 2019, arXiv:1912.02781. The operations are torchvision's. Deviations: the
mixture keeps fractions of grey levels, as the images here do; what enters at a border is black.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

_PAPER = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
# Those that keep a grey value's meaning: solarising turns bright bone dark, equalising and
# posterising move or merge grey values (MedAugment, arXiv:2306.17466, leaves them out too).
_MEDICAL = tuple(name for name in _PAPER if name not in ("equalize", "posterize", "solarize"))
_SETS = {"paper": _PAPER, "medical": _MEDICAL}


@dataclass(frozen=True)
class Chain:
    """Operations that follow one another, each with its strength -10 to 10, and their weight."""

    weight: float
    operations: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class AugMix:
    """Views of an image that a classifier must call the same: see `losses.consistency`.

    An operation moves an image, and a mixture of several moves has no label map: images with masks
    are refused.

    Args:
        severity: Largest strength of an operation, 0 to 10; 0 leaves the image as it is.
        width: Chains that are mixed.
        depth: Operations in a chain; -1 draws 1 to 3 for each.
        alpha: Of the Dirichlet and Beta laws of the weights.
        operations: "paper" for its nine, "medical" without equalize, posterize and solarize, which
            change what a grey value means.
        consistency_weight: Of the Jensen-Shannon divergence of what the classifier says of the
            image and of two views, beside the loss of the image.
        probability: That an image has views of its own; otherwise they are the image, and the
            divergence is 0.
    """

    severity: float = 3.0
    width: int = 3
    depth: int = -1
    alpha: float = 1.0
    operations: Literal["paper", "medical"] = "paper"
    consistency_weight: float = 12.0
    probability: float = 1.0

    mixes_masks: ClassVar[bool] = False
    num_views: ClassVar[int] = 2

    def draw(self, random: np.random.Generator) -> tuple[Chain, ...]:
        """Draw one view: its chains, whose weights sum to 1 less the share of the image itself."""
        names = _SETS[self.operations]
        happens = bool(random.random() < self.probability) and self.severity > 0
        weights = random.dirichlet([self.alpha] * self.width)
        changed = float(random.beta(self.alpha, self.alpha)) if happens else 0.0
        chains = []
        for weight in weights:
            depth = self.depth if self.depth > 0 else int(random.integers(1, 4))
            chosen = random.integers(len(names), size=depth)
            strengths = random.uniform(min(0.1, self.severity), self.severity, depth)
            signs = np.where(random.random(depth) < 0.5, -1.0, 1.0)
            chains.append(
                Chain(
                    changed * float(weight),
                    tuple(
                        (names[which], float(strength))
                        for which, strength in zip(chosen, strengths * signs, strict=True)
                    ),
                )
            )
        return tuple(chains)

    def apply(self, image: Tensor, chains: tuple[Chain, ...]) -> Tensor:
        """Make one view.

        Args:
            image: (C, H, W) floating point in [-1, 1].
            chains: From `draw`.

        Returns:
            (C, H, W) in [-1, 1].
        """
        unit = (image.clamp(-1, 1) + 1) / 2
        # Written as "and a bit of the difference", so that a weight of 0 changes no bit.
        change = torch.zeros_like(image)
        for chain in chains:
            if chain.weight == 0:
                continue
            changed = unit
            for name, strength in chain.operations:
                changed = _OPERATIONS[name](changed, strength)
            change = change + chain.weight * (changed - unit)
        return image + 2 * change

    def views(self, images: Tensor, generators: list[np.random.Generator]) -> Tensor:
        """(N, C, H, W) to (N, 2, C, H, W): two views of each image, from its own generator."""
        made = [
            torch.stack([self.apply(image, self.draw(random)) for _ in range(self.num_views)])
            for image, random in zip(images, generators, strict=True)
        ]
        return torch.stack(made)


def _affine(image: Tensor, **changed: float) -> Tensor:
    return transform.affine(
        image,
        angle=changed.get("angle", 0.0),
        translate=[changed.get("right", 0.0), changed.get("down", 0.0)],
        scale=1.0,
        shear=[changed.get("shear_x", 0.0), changed.get("shear_y", 0.0)],
        interpolation=InterpolationMode.BILINEAR,
        fill=[0.0],
    )


def _shear(strength: float) -> float:
    """Degrees of a shear of 0.3 pixels per pixel at strength 10."""
    return float(np.rad2deg(np.arctan(0.3 * strength / 10)))


# Image (C, H, W) in [0, 1] and a strength of -10 to 10; the ranges are those of the paper's code.
_OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "autocontrast": lambda image, _: transform.autocontrast(image),
    "equalize": lambda image, _: transform.equalize(image),
    "posterize": lambda image, s: transform.posterize(image, 4 - int(abs(s) * 4 / 10)),
    "solarize": lambda image, s: transform.solarize(image, 1 - abs(s) / 10),
    "rotate": lambda image, s: _affine(image, angle=30 * s / 10),
    "shear_x": lambda image, s: _affine(image, shear_x=_shear(s)),
    "shear_y": lambda image, s: _affine(image, shear_y=_shear(s)),
    "translate_x": lambda image, s: _affine(image, right=image.shape[-1] / 3 * s / 10),
    "translate_y": lambda image, s: _affine(image, down=image.shape[-2] / 3 * s / 10),
}

"""AugMix: an image blended with several differently transformed ones of itself.

Sources: Hendrycks et al. 2019, arXiv:1912.02781. The operations are torchvision's. Deviations: the
mixture keeps fractions of grey levels, as the images here do; what enters at a border is black.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import BatchOperation, Generators, Images, setting

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


@dataclass(frozen=True, kw_only=True)
class AugMix(BatchOperation):
    """Views of an image that a classifier must call the same: see `losses.consistency`.

    An operation moves an image, and a mixture of several moves has no label map: images with masks
    are refused.

    Args:
        severity: Largest strength of an operation, 0 to 10; 0 leaves the image as it is.
        width: Chains that are mixed.
        depth: Operations in a chain; -1 draws 1 to 3 for each.
        alpha: Of the Dirichlet and Beta laws of the weights.
        repertoire: "paper" for its nine operations, "medical" without equalize, posterize and
            solarize, which change what a grey value means.
        consistency_weight: Of the Jensen-Shannon divergence of what the classifier says of the
            image and of two views, beside the loss of the image. Where an image has no views, by
            the probability, they are the image, and the divergence is 0.
    """

    severity: float = setting(3.0, 0, 10)
    width: int = setting(3, 1, 16)
    depth: int = setting(-1, -1, 16)
    alpha: float = setting(1.0, 1e-3)
    repertoire: str = setting("paper")
    consistency_weight: float = setting(12.0, 0)

    source: ClassVar[str] = "Hendrycks et al. 2019, arXiv:1912.02781"
    library: ClassVar[str] = "torchvision's operations"
    breaks_meaning: ClassVar[str] = (
        "solarize turns bright bone dark, and equalize and posterize move or merge grey values; "
        "repertoire: medical leaves them out."
    )
    makes_views: ClassVar[bool] = True
    num_views: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """See `BatchOperation`.

        Raises:
            ValueError: A repertoire or a depth that there is not.
        """
        if self.repertoire not in _SETS:
            raise ValueError(f"repertoire is {self.repertoire!r}, expected {' or '.join(_SETS)}")
        if self.depth == 0:
            raise ValueError("depth is 0, expected 1 or more, or -1 to draw 1 to 3")

    def undefined_for(self, images: Images) -> str | None:
        """See `BatchOperation`."""
        if images.masks:
            return (
                "it blends an image with moved ones of itself, and such a blend has no label map; "
                "cutmix, ricap, perlin_mix and cutout have one"
            )
        if not images.labels:
            return "its loss asks a classifier to call views alike, and these images have no labels"
        return None

    def draw(self, random: np.random.Generator) -> tuple[Chain, ...]:
        """Draw one view: its chains, whose weights sum to 1 less the share of the image itself."""
        names = _SETS[self.repertoire]
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

    def view(self, image: Tensor, chains: tuple[Chain, ...]) -> Tensor:
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

    def views(self, images: Tensor, generators: Generators) -> Tensor:
        """(N, C, H, W) to (N, 2, C, H, W): two views of each image, from its own generator."""
        made = [
            torch.stack([self.view(image, self.draw(random)) for _ in range(self.num_views)])
            for image, random in zip(images, generators, strict=True)
        ]
        return torch.stack(made)

    def apply(
        self, batch: dict[str, Any], generators: Generators, num_classes: int
    ) -> dict[str, Any]:
        """See `BatchOperation`; adds views (N, 2, C, H, W) and consistency_weight (N,)."""
        image: Tensor = batch["image"]
        weight = image.new_full((len(image),), self.consistency_weight)
        return {**batch, "views": self.views(image, generators), "consistency_weight": weight}


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

"""Changes of a part of the image: blank rectangles, a brightness gradient, a local gamma."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from augmentations.operation import Draws, GreyValues, Parameters, Size, setting


@dataclass(frozen=True, kw_only=True)
class BlankRectangles(GreyValues):
    """Rectangles get the image's mean value. The mask stays, so it has to be inferred there.

    It breaks meaning where a rectangle covers the finding.

    Args:
        max_count: Rectangles at most, one at least.
        min_side: Smallest side, as a share of the image's.
        max_side: Largest side.
    """

    max_count: int = setting(4, 1, 100)
    min_side: float = setting(0.1, 0.01, 1)
    max_side: float = setting(0.33, 0.01, 1)

    source = "nnU-Net, nnUNetTrainerDA5 (BlankRectangleTransform)"
    breaks_meaning = "A rectangle may cover the finding, and the film's label stays."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`: top, left, height and width in shares of the side."""
        count = draws.whole(1, self.max_count) if draws.level is None else self.max_count
        rectangles = []
        for _ in range(count):
            sides = [draws.uniform(self.min_side, self.max_side) for _ in range(2)]
            height, width = (side * draws.strength * (draws.level or 1.0) for side in sides)
            rectangles.append(
                [draws.uniform(0, 1 - height), draws.uniform(0, 1 - width), height, width]
            )
        return {"rectangles": rectangles}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        rows, columns = image.shape[-2:]
        changed, mean = image.clone(), image.mean()
        for top, left, height, width in parameters["rectangles"]:
            first, start = round(top * rows), round(left * columns)
            last, stop = first + round(height * rows), start + round(width * columns)
            changed[:, first:last, start:stop] = mean
        return changed


@dataclass(frozen=True, kw_only=True)
class _Bump(GreyValues):
    """Base: a Gaussian bump, 0 to 1 over the image, with its centre in or near it."""

    def place(self, draws: Draws) -> Parameters:
        """Centre up to half a side outside, width log-uniform from 1/6 of a side to all of it."""
        return {
            "centre": [draws.uniform(-0.5, 1.5) for _ in range(2)],
            "width": [math.exp(draws.uniform(math.log(1 / 6), 0.0)) for _ in range(2)],
        }

    def bump(self, image: Tensor, parameters: Parameters) -> Tensor:
        """(H, W) in [0, 1], 0 and 1 both reached."""
        along = []
        for side, centre, width in zip(
            image.shape[-2:], parameters["centre"], parameters["width"], strict=True
        ):
            place = (torch.arange(side, dtype=torch.float32, device=image.device) + 0.5) / side
            # Logarithms, since both sides far from the centre would be 0 otherwise.
            along.append(-0.5 * ((place - centre) / width) ** 2)
        logarithm = along[0][:, None] + along[1][None, :]
        bump = (logarithm - logarithm.amax()).exp()
        return (bump - bump.amin()) / (bump.amax() - bump.amin()).clamp_min(1e-8)


@dataclass(frozen=True, kw_only=True)
class BrightnessGradient(_Bump):
    """One side is brighter or darker, as from a tilted grid or a near coil.

    Args:
        max_change: At its strongest place, in standard deviations of the image, brighter or darker.
        min_change: At least so much there; 0 lets it be faint.
    """

    max_change: float = setting(1.0, 0, 10)
    min_change: float = setting(0.0, 0, 10)

    source = "nnU-Net, nnUNetTrainerDA5 (BrightnessGradientAdditiveTransform)"
    breaks_meaning = "With strong changes a bright side looks like fluid."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        signed = draws.signed()
        least = math.copysign(self.min_change * draws.strength, signed)
        return {
            "change": least + signed * (self.max_change - self.min_change),
            **self.place(draws),
        }

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        amount = parameters["change"] * image.std(correction=0)
        return image + amount * self.bump(image, parameters)


@dataclass(frozen=True, kw_only=True)
class LocalGamma(_Bump):
    """A gamma around one place of the image alone.

    Args:
        min_gamma: Brightest.
        max_gamma: Darkest.
        least_bright: None between this and 1 is drawn, so that a bright place is seen to be one.
        least_dark: None between 1 and this, of dark places.
    """

    min_gamma: float = setting(0.5, 0.01, 1)
    max_gamma: float = setting(2.0, 1, 20)
    least_bright: float = setting(1.0, 0.01, 1)
    least_dark: float = setting(1.0, 1, 20)

    source = "nnU-Net, nnUNetTrainerDA5 (LocalGammaTransform)"
    breaks_meaning = "With strong values a part is brighter than tissue can be there."

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if self.min_gamma > self.least_bright or self.least_dark > self.max_gamma:
            raise ValueError(
                f"no gamma is from min_gamma {self.min_gamma:g} to least_bright "
                f"{self.least_bright:g}, or from least_dark {self.least_dark:g} to max_gamma "
                f"{self.max_gamma:g}"
            )

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        gamma = draws.factor(self.min_gamma, self.max_gamma)
        nearest, farthest = (
            (self.least_bright, self.min_gamma) if gamma < 1 else (self.least_dark, self.max_gamma)
        )
        if farthest != 1:
            # From 1 to the farthest, squeezed to begin at the nearest; at strength 0 all is 1.
            share = (gamma - 1) / (farthest - 1)
            gamma = 1 + draws.strength * (nearest - 1) + share * (farthest - nearest)
        return {"gamma": gamma, **self.place(draws)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; from the image's darkest to its brightest value."""
        low, high = image.amin(), image.amax()
        levels = (image - low) / (high - low).clamp_min(1e-8)
        changed = levels + self.bump(image, parameters) * (levels ** parameters["gamma"] - levels)
        return changed * (high - low) + low

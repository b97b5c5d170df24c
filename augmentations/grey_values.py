"""Changes of grey values that are alike all over the image: brightness, contrast, gamma, noise."""

from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, GreyValues, Parameters, Size, setting

_WINDOW = "Wrong where the label depends on grey values as densities, such as fat against water."


def _of_zero_to_one(image: Tensor) -> Tensor:
    return (image + 1) / 2


def _of_unit(levels: Tensor) -> Tensor:
    return levels * 2 - 1


@dataclass(frozen=True, kw_only=True)
class Brightness(GreyValues):
    """Grey values, with black as 0, times a factor. It breaks the meaning of absolute densities.

    Args:
        min_factor: Darkest.
        max_factor: Brightest.
    """

    min_factor: float = setting(0.75, 0, 1)
    max_factor: float = setting(1.25, 1, 10)

    source = "nnU-Net (MultiplicativeBrightnessTransform)"
    library = "torchvision adjust_brightness"
    of_grey_or_colour = True
    breaks_meaning = _WINDOW

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"factor": draws.factor(self.min_factor, self.max_factor)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        levels = _of_zero_to_one(image)
        return _of_unit(transform.adjust_brightness(levels, parameters["factor"]))


@dataclass(frozen=True, kw_only=True)
class BrightnessShift(GreyValues):
    """The same value is added to all pixels. It breaks the meaning of absolute densities.

    Args:
        max_shift: In standard deviations of the image, uniform in +- this.
        normal: Not uniform but normal, with a third of max_shift as the standard deviation, as in
            nnU-Net, and cut off at max_shift.
    """

    max_shift: float = setting(0.5, 0, 10)
    normal: bool = setting(False)

    source = "nnU-Net, nnUNetTrainerDA5 (BrightnessTransform)"
    breaks_meaning = _WINDOW

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        if not self.normal or draws.level is not None:
            return {"shift": draws.signed() * self.max_shift}
        # One number for one, so that it is used up alike; 0 and 1 have no quantile.
        quantile = min(max(draws.uniform(), 1e-6), 1 - 1e-6)
        deviations = min(max(NormalDist().inv_cdf(quantile), -3.0), 3.0)
        return {"shift": draws.strength * deviations / 3 * self.max_shift}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        return image + parameters["shift"] * _spread(image)


@dataclass(frozen=True, kw_only=True)
class Contrast(GreyValues):
    """Differences from the mean grey value times a factor.

    Args:
        min_factor: Flattest.
        max_factor: Hardest.
        keep_range: Cut off what leaves the image's own range, as nnU-Net does.
    """

    min_factor: float = setting(0.75, 0, 1)
    max_factor: float = setting(1.25, 1, 10)
    keep_range: bool = setting(True)

    source = "nnU-Net (ContrastTransform)"
    library = "torchvision adjust_contrast"
    of_grey_or_colour = True
    breaks_meaning = _WINDOW

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"factor": draws.factor(self.min_factor, self.max_factor)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        levels = _of_zero_to_one(image)
        changed = _of_unit(transform.adjust_contrast(levels, parameters["factor"]))
        return changed.clamp(image.amin(), image.amax()) if self.keep_range else changed


@dataclass(frozen=True, kw_only=True)
class Gamma(GreyValues):
    """Grey values to a power: dark parts change more than bright ones, and the order stays.

    Args:
        min_gamma: Brightest.
        max_gamma: Darkest.
        inverted: Of the negative, so that bright parts change more.
        keep_statistics: Bring mean and standard deviation back to the image's own, as nnU-Net does.
    """

    min_gamma: float = setting(0.7, 0.05, 1)
    max_gamma: float = setting(1.5, 1, 20)
    inverted: bool = setting(False)
    keep_statistics: bool = setting(False)

    source = "Kim and Bae 2020, Fig. 1 [13]; nnU-Net (GammaTransform)"
    library = "torchvision adjust_gamma"
    breaks_meaning = _WINDOW

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"gamma": draws.factor(self.min_gamma, self.max_gamma)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; from the image's darkest to its brightest value."""
        low, high = image.amin(), image.amax()
        if low == high:
            return image
        levels = (image - low) / (high - low)
        levels = 1 - levels if self.inverted else levels
        levels = transform.adjust_gamma(levels, parameters["gamma"])
        levels = 1 - levels if self.inverted else levels
        changed = levels * (high - low) + low
        if self.keep_statistics:
            changed = (changed - changed.mean()) / _spread(changed).clamp_min(1e-8)
            changed = changed * _spread(image) + image.mean()
        return changed


@dataclass(frozen=True, kw_only=True)
class Noise(GreyValues):
    """Gaussian noise is added to each pixel.

    Args:
        max_share: Its standard deviation at most, as a share of the image's own.
    """

    max_share: float = setting(0.1, 0, 10)

    source = "nnU-Net (GaussianNoiseTransform)"
    library = "own (torchvision's takes no generator)"
    breaks_meaning = "With strong noise faint findings vanish while the label stays."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"share": draws.share() * self.max_share, "seed": draws.seed()}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; drawn on the CPU, so that every device gets the same."""
        generator = torch.Generator().manual_seed(parameters["seed"])
        noise = torch.randn(image.shape, generator=generator).to(image)
        return image + noise * (parameters["share"] * _spread(image))


def _spread(image: Tensor) -> Tensor:
    """Standard deviation of all values; 0 of a constant image."""
    return image.std(correction=0)

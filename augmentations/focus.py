"""Changes of sharpness: blur, motion, median, low resolution, sharpening."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, GreyValues, Parameters, Size, setting

_FINE = "Fine lines (a pneumothorax's edge, microcalcifications) may vanish while the label stays."


@dataclass(frozen=True, kw_only=True)
class Sharpening(GreyValues):
    """Edges are enhanced, and so is noise.

    Args:
        max_factor: Of the difference from a blurred image; 1 is no change.
        softens: Half of the images are made softer instead, down to 2 - max_factor.
    """

    max_factor: float = setting(3.0, 1, 20)
    softens: bool = setting(False)

    source = "Kim and Bae 2020, Fig. 1 [6]"
    library = "torchvision adjust_sharpness"
    of_grey_or_colour = True
    breaks_meaning = "With strong factors noise looks like texture."

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if self.softens and self.max_factor > 2:
            raise ValueError(
                f"max_factor is {self.max_factor:g}, and with softens it is 1 to 2, so that "
                "2 - max_factor is 0 or more"
            )

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        level = draws.signed() if self.softens else draws.share()
        return {"factor": 1 + level * (self.max_factor - 1)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        sharp = transform.adjust_sharpness((image + 1) / 2, parameters["factor"])
        return sharp * 2 - 1


@dataclass(frozen=True, kw_only=True)
class GaussianBlur(GreyValues):
    """Gaussian blur. It breaks meaning where the finding is a fine line.

    Args:
        min_sigma: Smallest standard deviation in pixels, at the lowest level.
        max_sigma: Largest one.
    """

    min_sigma: float = setting(0.0, 0, 100)
    max_sigma: float = setting(1.0, 0, 100)

    source = "Kim and Bae 2020, Fig. 1 [8]"
    library = "torchvision gaussian_blur"
    breaks_meaning = _FINE

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        least = self.min_sigma * draws.strength
        return {"sigma": least + draws.share() * (self.max_sigma - self.min_sigma)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; below 1/10 of a pixel nothing would change."""
        sigma = parameters["sigma"]
        if sigma < 0.1:
            return image
        reach = min(math.ceil(3 * sigma), min(image.shape[-2:]) - 1)
        return transform.gaussian_blur(image, [2 * reach + 1] * 2, [sigma] * 2)


@dataclass(frozen=True, kw_only=True)
class MotionBlur(GreyValues):
    """Blur along a line, as of a moving patient. It breaks meaning where a finding is a fine line.

    Args:
        max_length: Of the line, in pixels.
    """

    max_length: float = setting(5.0, 0, 200)

    source = "Kim and Bae 2020, Fig. 1 [7]"
    library = "own (a line kernel)"
    breaks_meaning = _FINE

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"length": draws.share() * self.max_length, "degrees": draws.uniform(0, 180)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; borders are mirrored."""
        kernel = line_kernel(parameters["length"], parameters["degrees"]).to(image)
        reach = len(kernel) // 2
        channels = len(image)
        mode = "reflect" if reach < min(image.shape[-2:]) else "replicate"
        padded = F.pad(image[None], [reach] * 4, mode=mode)
        weights = kernel.expand(channels, 1, *kernel.shape)
        return F.conv2d(padded, weights, groups=channels)[0]


def line_kernel(length: float, degrees: float) -> Tensor:
    """(K, K) weights of a line through the centre, sum 1, K odd.

    Args:
        length: In pixels; 0 leaves the centre alone.
        degrees: From the right, counter-clockwise.
    """
    reach = math.ceil(length / 2)
    points = torch.linspace(-length / 2, length / 2, max(2, 4 * math.ceil(length) + 1))
    angle = math.radians(degrees)
    x, y = points * math.cos(angle) + reach, -points * math.sin(angle) + reach
    cells = torch.arange(2 * reach + 1, dtype=torch.float32)
    # Each point is shared among the four pixels around it.
    columns = (1 - (x[:, None] - cells).abs()).clamp_min(0)
    rows = (1 - (y[:, None] - cells).abs()).clamp_min(0)
    kernel = torch.einsum("pr,pc->rc", rows, columns)
    return kernel / kernel.sum()


@dataclass(frozen=True, kw_only=True)
class Median(GreyValues):
    """Each pixel becomes the median of a square around it. It removes noise, and fine lines.

    Args:
        min_size: Side of the smallest square in pixels; 1 changes nothing.
        max_size: Side of the largest one; each whole number between is equally frequent.
    """

    min_size: int = setting(1, 1, 31)
    max_size: int = setting(5, 1, 31)

    source = "nnU-Net, nnUNetTrainerDA5 (MedianFilterTransform)"
    library = "SciPy median_filter"
    breaks_meaning = _FINE

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        least, most = (
            1 + round((side - 1) * draws.strength) for side in (self.min_size, self.max_size)
        )
        return {"size": min(most, least + int(draws.unit() * (most - least + 1)))}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; on the CPU."""
        from scipy.ndimage import median_filter

        side = parameters["size"]
        found = median_filter(image.cpu().numpy(), size=(1, side, side))
        return torch.from_numpy(found).to(image)


@dataclass(frozen=True, kw_only=True)
class LowResolution(GreyValues):
    """The image is reduced to fewer pixels and enlarged again.

    Args:
        min_scale: Fewest pixels along a side, as a share of the image's.
    """

    min_scale: float = setting(0.5, 0.05, 1)

    source = "nnU-Net (SimulateLowResolutionTransform)"
    library = "torch interpolate"
    breaks_meaning = _FINE

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"scale": 1 - draws.share() * (1 - self.min_scale)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; nearest on the way down and bilinear up, as there."""
        size = image.shape[-2:]
        fewer = [max(1, round(side * parameters["scale"])) for side in size]
        if fewer == list(size):
            return image
        small = F.interpolate(image[None], fewer, mode="nearest-exact")
        return F.interpolate(small, list(size), mode="bilinear", align_corners=False)[0]

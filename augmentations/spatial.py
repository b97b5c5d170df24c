"""Movements of the whole image that resample it: rotation, shift, zoom, shear, crop."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, Movement, Parameters, Size, setting

LEAVES_THE_IMAGE = "A finding at the border may leave the image, and the film's label stays."


@dataclass(frozen=True, kw_only=True)
class Affine(Movement):
    """Base of the movements by a matrix: `matrix` says which of them."""

    library = "torchvision affine"

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """Arguments of torchvision's `affine`; what is left out changes nothing."""
        raise NotImplementedError

    def move(
        self,
        pixels: Tensor,
        parameters: Parameters,
        interpolation: InterpolationMode,
        fill: list[float],
    ) -> Tensor:
        """See `Movement`."""
        height, width = pixels.shape[-2:]
        still: dict[str, Any] = {
            "angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]
        }  # fmt: skip
        how = still | self.matrix(parameters, (height, width))
        return transform.affine(pixels, **how, interpolation=interpolation, fill=fill)


@dataclass(frozen=True, kw_only=True)
class Rotation(Affine):
    """Rotation about the centre, in either direction.

    Args:
        max_degrees: The angle is uniform in +- this, in degrees. Patients are hardly ever rotated
            by more than about 15.
    """

    max_degrees: float = setting(15.0, 0, 180)

    source = "Kim and Bae 2020, Fig. 1 [9]"
    breaks_meaning = "Corners leave the image. With large angles the orientation is lost."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"degrees": draws.signed() * self.max_degrees}

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """See `Affine`."""
        return {"angle": parameters["degrees"]}


@dataclass(frozen=True, kw_only=True)
class Shift(Affine):
    """Shift by whole pixels, so that no grey value changes.

    It breaks meaning where what leaves the image is what the label says.

    Args:
        max_share: Uniform in +- this share of the side, in each direction that is allowed.
        direction: "both", "horizontal" or "vertical".
    """

    max_share: float = setting(0.1, 0, 1)
    direction: str = setting("both")

    source = "Kim and Bae 2020, Fig. 1 [10]"
    resamples = False
    breaks_meaning = LEAVES_THE_IMAGE

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if self.direction not in ("both", "horizontal", "vertical"):
            raise ValueError(
                f"direction is {self.direction}, expected both, horizontal or vertical"
            )

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        right, down = draws.signed() * self.max_share, draws.signed() * self.max_share
        return {
            "right": 0.0 if self.direction == "vertical" else right,
            "down": 0.0 if self.direction == "horizontal" else down,
        }

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """See `Affine`."""
        height, width = size
        return {
            "translate": [round(parameters["right"] * width), round(parameters["down"] * height)]
        }


@dataclass(frozen=True, kw_only=True)
class Zoom(Affine):
    """Enlarged or reduced about the centre, both equally often.

    It breaks meaning where size is a finding: a heart of half the chest's width stays so, but a
    tumour of 4 cm does not stay one of 4 cm.

    Args:
        min_factor: Smallest.
        max_factor: Largest.
        of_grid: The factor is that of the grid at which the image is read, as in nnU-Net: things
            become 1 / factor as large, and the factor is uniform from the smallest to the largest.
    """

    min_factor: float = setting(0.8, 0.1, 1)
    max_factor: float = setting(1.25, 1, 10)
    of_grid: bool = setting(False)

    source = "Kim and Bae 2020, Fig. 1 [11]"
    breaks_meaning = "Sizes in centimetres change. " + LEAVES_THE_IMAGE

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        if not self.of_grid:
            return {"factor": draws.factor(self.min_factor, self.max_factor)}
        if draws.level is None:
            factor = 1 + draws.strength * (draws.uniform(self.min_factor, self.max_factor) - 1)
        else:
            factor = draws.factor(self.min_factor, self.max_factor)
        return {"factor": 1 / factor}

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """See `Affine`."""
        return {"scale": parameters["factor"]}


@dataclass(frozen=True, kw_only=True)
class Shear(Affine):
    """Rows, or columns, are shifted against each other.

    Args:
        max_slope: Pixels by which one row slides against the next, uniform in +- this.
        direction: "horizontal" (rows slide) or "vertical" (columns do).
    """

    max_slope: float = setting(0.2, 0, 2)
    direction: str = setting("horizontal")

    source = "Müller and Hutter 2021, arXiv:2103.10158"
    breaks_meaning = "Angles change, so what is measured in degrees (a spine's curve) does too."

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if self.direction not in ("horizontal", "vertical"):
            raise ValueError(f"direction is {self.direction}, expected horizontal or vertical")

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"degrees": math.degrees(math.atan(draws.signed() * self.max_slope))}

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """See `Affine`."""
        degrees = parameters["degrees"]
        return {"shear": [degrees, 0.0] if self.direction == "horizontal" else [0.0, degrees]}


@dataclass(frozen=True, kw_only=True)
class Crop(Movement):
    """A square part of the image, enlarged to the full size.

    It breaks meaning where what is cut off is what the label says.

    Args:
        min_share: Smallest side of the part, as a share of the image's.
    """

    min_share: float = setting(0.75, 0.1, 1)

    source = "Kim and Bae 2020, Fig. 1 [12]"
    library = "torchvision resized_crop"
    breaks_meaning = "What is cut off may be the finding, and the film's label stays."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        side = 1 - draws.share() * (1 - self.min_share)
        return {"side": side, "top": draws.uniform(0, 1 - side), "left": draws.uniform(0, 1 - side)}

    def move(
        self, pixels: Tensor, parameters: Parameters, interpolation: InterpolationMode, fill: Any
    ) -> Tensor:
        """See `Movement`."""
        height, width = pixels.shape[-2:]
        nearest = interpolation == InterpolationMode.NEAREST
        return transform.resized_crop(
            pixels,
            top=round(parameters["top"] * height),
            left=round(parameters["left"] * width),
            height=max(1, round(parameters["side"] * height)),
            width=max(1, round(parameters["side"] * width)),
            size=[height, width],
            interpolation=InterpolationMode.NEAREST_EXACT if nearest else interpolation,
            antialias=not nearest,
        )

"""Flips and quarter turns: every pixel keeps its value and changes its place."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, Movement, Parameters, Size, setting

_MIRRORS = (
    "Left and right, or head and feet, change places: heart on the right, liver on the left, a "
    "mirrored side marker. Wrong where a label or a finding has a side."
)


@dataclass(frozen=True, kw_only=True)
class HorizontalFlip(Movement):
    """A mirror image, left to right. It breaks meaning where sides count.

    A heart comes to lie on the right, and a side marker in mirror writing.
    """

    probability: float = setting(0.5, 0, 1)

    source = "Kim and Bae 2020, Fig. 1 [1]"
    library = "torchvision horizontal_flip"
    breaks_meaning = _MIRRORS
    graded = False
    resamples = False

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {}

    def move(
        self, pixels: Tensor, parameters: Parameters, interpolation: InterpolationMode, fill: Any
    ) -> Tensor:
        """See `Movement`."""
        return transform.horizontal_flip(pixels)


@dataclass(frozen=True, kw_only=True)
class VerticalFlip(HorizontalFlip):
    """A mirror image, top to bottom. It breaks meaning where sides or gravity count."""

    source = "Kim and Bae 2020, Fig. 1 [2]"
    library = "torchvision vertical_flip"

    def move(
        self, pixels: Tensor, parameters: Parameters, interpolation: InterpolationMode, fill: Any
    ) -> Tensor:
        """See `Movement`."""
        return transform.vertical_flip(pixels)


@dataclass(frozen=True, kw_only=True)
class QuarterTurns(Movement):
    """Rotation by 0, 90, 180 or 270 degrees, equally often."""

    source = "nnU-Net, nnUNetTrainerDA5 (Rot90Transform)"
    library = "torch rot90"
    breaks_meaning = (
        "The orientation is lost: a patient lies on the side or upside down, and fluid levels and "
        "free air no longer follow gravity. Wrong where a finding has a direction."
    )
    graded = False
    resamples = False

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`; with a level the turn is none that changes nothing."""
        refuse_oblong(size, "quarter_turns")
        return {"turns": draws.whole(0, 3) if draws.level is None else draws.whole(1, 3)}

    def move(
        self, pixels: Tensor, parameters: Parameters, interpolation: InterpolationMode, fill: Any
    ) -> Tensor:
        """See `Movement`."""
        return pixels.rot90(parameters["turns"], dims=(-2, -1))


@dataclass(frozen=True, kw_only=True)
class Transpose(HorizontalFlip):
    """Rows become columns (a mirror image, rotated). It breaks meaning as a flip does."""

    source = "nnU-Net, nnUNetTrainerDA5 (TransposeAxesTransform)"
    library = "torch transpose"

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        refuse_oblong(size, "transpose")
        return {}

    def move(
        self, pixels: Tensor, parameters: Parameters, interpolation: InterpolationMode, fill: Any
    ) -> Tensor:
        """See `Movement`."""
        return pixels.transpose(-2, -1).contiguous()


def refuse_oblong(size: Size, name: str) -> None:
    """Refuse (ValueError) an image whose sides would change places."""
    if size[0] != size[1]:
        raise ValueError(f"{name}: the image is {size[0]} x {size[1]}, and needs equal sides")

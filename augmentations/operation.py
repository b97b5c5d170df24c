"""What an operation is: a draw of its parameters, and their application.

Drawing is apart from applying. Parameters are plain values, a function of a generator's seed, so a
transform can be replayed bit for bit on an image and its mask, in any process, and be written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode

Parameters = dict[str, Any]
"""Plain values: numbers, texts, and lists and dicts of these."""

Size = tuple[int, int]
"""Height and width in pixels."""


def setting(default: Any, least: float | None = None, most: float | None = None) -> Any:
    """A dataclass field with the least and the most that it may be set to."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True)
class Images:
    """What a policy is for.

    Args:
        channels: Of the images as they are kept: 1 grey, 3 colour, others of several scans.
        masks: Whether they have label maps.
        labels: Whether they have class labels.
    """

    channels: int = 1
    masks: bool = False
    labels: bool = False


@dataclass(frozen=True)
class Draws:
    """Random numbers of one operation on one image.

    Args:
        generator: Where they come from.
        strength: What `signed` and `share` are multiplied by, in [0, 1].
        level: None draws how strong; a number in [0, 1] says it. The side of a two-sided operation
            is drawn in any case.
    """

    generator: torch.Generator
    strength: float = 1.0
    level: float | None = None

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Uniform in [low, high)."""
        unit = torch.rand(1, generator=self.generator, dtype=torch.float64).item()
        return low + (high - low) * unit

    def signed(self) -> float:
        """Uniform in [-strength, strength); the numbers used up do not depend on the level."""
        drawn = self.uniform(-1.0, 1.0)
        if self.level is not None:
            drawn = self.level if drawn >= 0 else -self.level
        return drawn * self.strength

    def share(self) -> float:
        """Uniform in [0, strength)."""
        return self.unit() * self.strength

    def unit(self) -> float:
        """Uniform in [0, 1), or the level where there is one."""
        drawn = self.uniform()
        return drawn if self.level is None else self.level

    def factor(self, least: float, most: float) -> float:
        """Between least and 1, or between 1 and most, equally often: 1 is no change.

        So nnU-Net draws factors. Where one of the two is 1, it lies on the other's side.
        """
        signed = self.signed()
        if least == 1 or most == 1:
            signed = abs(signed) if least == 1 else -abs(signed)
        return 1 + signed * (most - 1) if signed >= 0 else 1 + signed * (1 - least)

    def whole(self, least: int, most: int) -> int:
        """A whole number from least to most, both included."""
        return int(torch.randint(least, most + 1, (1,), generator=self.generator))

    def seed(self) -> int:
        """Of a field of random numbers that is too large for parameters."""
        return self.whole(0, 2**62)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation on one image and its mask. Subclasses say what is drawn and what is done.

    Args:
        probability: Share of images that it happens to, in [0, 1].
        strength: How far its ranges are used, in [0, 1]; 0 changes nothing.

    Attributes:
        source: The paper or the library that it follows.
        library: Whose function does it; "own" where none is right.
        breaks_meaning: When the changed image does not mean what the label says; "" never.
        graded: False where it is done or not, with nothing between; strength is then 0 or 1.
    """

    probability: float = setting(1.0, 0, 1)
    strength: float = setting(1.0, 0, 1)

    source: ClassVar[str] = ""
    library: ClassVar[str] = "own"
    breaks_meaning: ClassVar[str] = ""
    graded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that do not go together; a ValueError's text follows the name.

        Raises:
            ValueError: Says which, and what is allowed.
        """
        if not self.graded and self.strength not in (0, 1):
            raise ValueError(
                f"strength is {self.strength:g}, and it is done or not, with nothing between: 1, "
                "or 0 for never. Set its probability"
            )
        for name, least in vars(self).items():
            other = name.replace("min_", "max_", 1)
            if name.startswith("min_") and least > getattr(self, other, least):
                raise ValueError(f"{name} {least:g} is above {other} {getattr(self, other):g}")

    def undefined_for(self, images: Images) -> str | None:
        """Why it is not defined for such images, in words after "name: "; None where it is."""
        return None

    def draw(
        self, generator: torch.Generator, size: Size, level: float | None = None
    ) -> Parameters | None:
        """Draw what is done to one image; the probability is the policy's to draw.

        Args:
            generator: Source of randomness; the same numbers are used up whatever the strength.
            size: (H, W) of the image.
            level: How strong, in [0, 1], of `strength`; None draws it.

        Returns:
            Plain values; None where the image stays as it is.
        """
        drawn = self.parameters(Draws(generator, self.strength, level), size)
        return None if self.strength == 0 or level == 0 else drawn

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """What `draw` returns where the strength is not 0."""
        raise NotImplementedError

    def apply(
        self, image: Tensor, mask: Tensor | None, parameters: Parameters
    ) -> tuple[Tensor, Tensor | None]:
        """Do what was drawn.

        Args:
            image: (C, H, W) float32 in [-1, 1].
            mask: (H, W) integer labels; None without one.
            parameters: From `draw`.

        Returns:
            Image and mask of the same shapes and dtypes; values in [-1, 1], labels of the mask or
            0, the background.
        """
        raise NotImplementedError


class Movement(Operation):
    """An operation that moves pixels, and so the mask too.

    Images are bilinear, and what enters from outside is the image's lowest value: air. Masks take
    the nearest label, so none is invented, and outside is 0.

    Attributes:
        resamples: Whether pixels land between pixels; a flip puts each on another's place.
    """

    resamples: ClassVar[bool] = True

    def move(
        self,
        pixels: Tensor,
        parameters: Parameters,
        interpolation: InterpolationMode,
        fill: list[float],
    ) -> Tensor:
        """Move (C, H, W) pixels."""
        raise NotImplementedError

    def apply(
        self, image: Tensor, mask: Tensor | None, parameters: Parameters
    ) -> tuple[Tensor, Tensor | None]:
        """See `Operation`."""
        air, bilinear = float(image.min()), InterpolationMode.BILINEAR
        if image.is_floating_point() and self.resamples:
            # From air upwards: torchvision blends a 0 into pixels at the border, and a 0 in the
            # middle of [-1, 1] would draw a grey line around the image.
            moved = (self.move(image - air, parameters, bilinear, [0.0]) + air).clamp(-1.0, 1.0)
        else:
            moved = self.move(image, parameters, bilinear, [air])
        if mask is not None:
            mask = self.move(mask[None], parameters, InterpolationMode.NEAREST, [0.0])[0]
        return moved, mask


class GreyValues(Operation):
    """An operation that changes values and moves nothing: the mask stays.

    Attributes:
        of_grey_or_colour: Whether its library takes 1 or 3 channels alone; then it does the same
            to each of other numbers of channels.
    """

    of_grey_or_colour: ClassVar[bool] = False

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """Change (C, H, W) in [-1, 1]; what leaves the range is cut off."""
        raise NotImplementedError

    def apply(
        self, image: Tensor, mask: Tensor | None, parameters: Parameters
    ) -> tuple[Tensor, Tensor | None]:
        """See `Operation`."""
        if self.of_grey_or_colour and len(image) not in (1, 3):
            changed = torch.cat([self.change(channel[None], parameters) for channel in image])
        else:
            changed = self.change(image, parameters)
        return changed.clamp(-1.0, 1.0), mask


Generators = Sequence[np.random.Generator]
"""A source of randomness for each image of a batch."""


@dataclass(frozen=True, kw_only=True)
class BatchOperation:
    """An operation on a batch, such as mixing images; it runs after those on single images.

    The datamodule applies it to a training batch where that lies; see `augmentations.batch_mixing`.

    Args:
        probability: Share of images that it happens to, in [0, 1].

    Attributes:
        source: The paper that it follows.
        breaks_meaning: When the changed images do not mean what their labels say.
        breaks_meaning_of_masks: The same of images with label maps, where that is something else.
        meets: Whether an image meets others of its batch.
        makes_views: Whether it adds views of the images as they are by then, so that none that
            changes images may follow.
    """

    probability: float = setting(1.0, 0, 1)

    source: ClassVar[str] = ""
    library: ClassVar[str] = "own"
    breaks_meaning: ClassVar[str] = ""
    breaks_meaning_of_masks: ClassVar[str] = ""
    graded: ClassVar[bool] = True
    meets: ClassVar[bool] = False
    makes_views: ClassVar[bool] = False

    def undefined_for(self, images: Images) -> str | None:
        """Why it is not defined for such images, in words after "name: "; None where it is."""
        return None

    def apply(
        self, batch: dict[str, Any], generators: Generators, num_classes: int
    ) -> dict[str, Any]:
        """Do it to this process's share of a batch.

        Args:
            batch: image (N, C, H, W) floating point in [-1, 1]; mask (N, H, W) and label (N,)
                where there are; target (N, num_classes), shares of classes, where an operation
                before has mixed labels; findings (N, num_classes), shares of each with NaN for
                unknown, in place of labels.
            generators: N; what happens to image i is drawn from generator i alone.
            num_classes: Of the labels.

        Returns:
            The batch with image, mask, target and findings as they are then; all else stays.
        """
        raise NotImplementedError

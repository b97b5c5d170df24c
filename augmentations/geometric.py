"""Rotation, shift and scale with one draw for image and mask (Choe et al. 2022, section 3.3).

Drawing the parameters is apart from applying them, so that a transform can be replayed bit for
bit, on the image and on its mask, in any process.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform


@dataclass(frozen=True)
class AffineParameters:
    """One drawn transform: degrees, fractions of the image side, factor."""

    rotation_degrees: float
    shift_x: float
    shift_y: float
    scale: float


@dataclass(frozen=True)
class GeometricAugmentation:
    """Random rotation, shift and scale; Choe et al. name the three, not their ranges.

    Args:
        max_rotation_degrees: Rotation is uniform in +- this.
        max_shift: Shift is uniform in +- this fraction of the side, in both directions.
        min_scale: Scale is log-uniform between these two factors, so that growing and shrinking
            are equally likely.
        max_scale: See `min_scale`.
    """

    max_rotation_degrees: float = 15.0
    max_shift: float = 0.08
    min_scale: float = 0.85
    max_scale: float = 1.15

    def draw(self, generator: torch.Generator) -> AffineParameters:
        """Draw one transform from the generator."""
        unit = torch.rand(4, generator=generator, dtype=torch.float64)
        turn, right, down = (2 * unit[:3] - 1).tolist()
        scale = self.min_scale * (self.max_scale / self.min_scale) ** unit[3].item()
        return AffineParameters(
            rotation_degrees=turn * self.max_rotation_degrees,
            shift_x=right * self.max_shift,
            shift_y=down * self.max_shift,
            scale=scale,
        )

    def apply(
        self, image: Tensor, mask: Tensor, parameters: AffineParameters
    ) -> tuple[Tensor, Tensor]:
        """Transform an image and its mask alike.

        Args:
            image: (C, H, W) uint8 or float; bilinear; what enters from outside is the image's
                lowest value: air.
            mask: (H, W) integer labels; nearest neighbour, so no label is invented; outside is 0.
            parameters: From `draw`.

        Returns:
            Image and mask of the same shapes and dtypes.
        """
        height, width = image.shape[-2:]
        shift = [round(parameters.shift_x * width), round(parameters.shift_y * height)]
        moved_image = transform.affine(
            image,
            angle=parameters.rotation_degrees,
            translate=shift,
            scale=parameters.scale,
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
            fill=[float(image.min())],
        )
        moved_mask = transform.affine(
            tv_tensors.Mask(mask.unsqueeze(0)),
            angle=parameters.rotation_degrees,
            translate=shift,
            scale=parameters.scale,
            shear=[0.0, 0.0],
        )
        return moved_image, moved_mask.as_subclass(Tensor).squeeze(0)

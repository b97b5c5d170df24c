"""Rotation, shift and scale in one movement (Choe et al. 2022, section 3.3)."""

from dataclasses import dataclass
from typing import Any

import torch

from augmentations.operation import Parameters, Size, setting
from augmentations.spatial import LEAVES_THE_IMAGE, Affine


@dataclass(frozen=True, kw_only=True)
class Geometric(Affine):
    """Random rotation, shift and scale together; Choe et al. give the three, not their ranges.

    It breaks meaning where what it moves out of the image is what the label says.

    Args:
        max_rotation_degrees: Rotation is uniform in +- this.
        max_shift: Shift is uniform in +- this fraction of the side, in both directions.
        min_scale: Scale is log-uniform between these two factors, so that growing and shrinking
            are equally likely.
        max_scale: See `min_scale`.
    """

    max_rotation_degrees: float = setting(15.0, 0, 180)
    max_shift: float = setting(0.08, 0, 1)
    min_scale: float = setting(0.85, 0.1, 1)
    max_scale: float = setting(1.15, 1, 10)

    source = "Choe et al. 2022, section 3.3 (the three; the ranges are ours)"
    breaks_meaning = LEAVES_THE_IMAGE

    def draw(
        self, generator: torch.Generator, size: Size, level: float | None = None
    ) -> Parameters | None:
        """See `Operation`. Four numbers at once, as runs of earlier versions drew them."""
        unit = torch.rand(4, generator=generator, dtype=torch.float64)
        if level is not None:
            unit = 0.5 + torch.where(unit < 0.5, -0.5, 0.5) * level
        turn, right, down = (self.strength * (2 * unit[:3] - 1)).tolist()
        scale = self.min_scale * (self.max_scale / self.min_scale) ** unit[3].item()
        if self.strength == 0 or level == 0:
            return None
        return {
            "rotation_degrees": turn * self.max_rotation_degrees,
            "shift_x": right * self.max_shift,
            "shift_y": down * self.max_shift,
            "scale": scale**self.strength,
        }

    def matrix(self, parameters: Parameters, size: Size) -> dict[str, Any]:
        """See `Affine`; the shift is of whole pixels."""
        height, width = size
        return {
            "angle": parameters["rotation_degrees"],
            "translate": [
                round(parameters["shift_x"] * width), round(parameters["shift_y"] * height)
            ],
            "scale": parameters["scale"],
        }  # fmt: skip

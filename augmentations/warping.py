"""Movements that bend the image: elastic, grid and optical distortion.

Each is a field of displacements, drawn once, by which torchvision samples the image and its mask.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, Movement, Parameters, Size, setting

_SHAPES = (
    "Outlines and sizes change a little: wrong where the shape itself is the finding, such as an "
    "enlarged heart."
)


@dataclass(frozen=True, kw_only=True)
class Warping(Movement):
    """Base: `displacement` says from where each pixel is taken."""

    breaks_meaning = _SHAPES

    def displacement(self, parameters: Parameters, size: Size) -> Tensor:
        """(1, H, W, 2) to the right and down, in halves of the side, on the CPU."""
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
        field = self.displacement(parameters, (height, width)).to(pixels.device)
        return transform.elastic(pixels, field, interpolation=interpolation, fill=fill)


@dataclass(frozen=True, kw_only=True)
class Elastic(Warping):
    """Smooth small displacements, as of soft tissue under pressure.

    It breaks meaning where the shape is the finding.

    Args:
        max_share: Largest displacement of a pixel, as a share of the side.
        smoothness: Standard deviation of the Gaussian that smooths the field, as a share of the
            side. Small ones tear tissue apart.
    """

    max_share: float = setting(0.04, 0, 0.5)
    smoothness: float = setting(0.08, 0.01, 0.5)

    source = "Simard et al. 2003; Kim and Bae 2020, Fig. 1 [3]"
    library = "torchvision gaussian_blur and elastic"

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"share": draws.share() * self.max_share, "seed": draws.seed()}

    def displacement(self, parameters: Parameters, size: Size) -> Tensor:
        """See `Warping`; smoothed on a coarse grid, on which the Gaussian is 2 cells wide."""
        generator = torch.Generator().manual_seed(parameters["seed"])
        side = min(max(4, math.ceil(2 / self.smoothness)), *size)
        noise = torch.rand(1, 2, side, side, generator=generator) * 2 - 1
        sigma = max(self.smoothness * side, 0.5)
        reach = min(int(3 * sigma + 1), side - 1)
        smooth = transform.gaussian_blur(noise, [2 * reach + 1] * 2, [sigma] * 2)
        field = torch.nn.functional.interpolate(smooth, size, mode="bicubic", align_corners=False)
        # The longest displacement is what was drawn, whatever the smoothing has left.
        longest = field.square().sum(dim=1).amax().sqrt().clamp_min(1e-30)
        return (field * (2 * parameters["share"] / longest)).permute(0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class GridDistortion(Warping):
    """Rows and columns of a grid of cells are stretched or compressed.

    It breaks meaning where the shape is the finding.

    Args:
        cells: Along each side.
        max_change: Width of a cell is 1 +- up to this, before all are scaled to the side's length.
    """

    cells: int = setting(5, 2, 64)
    max_change: float = setting(0.3, 0, 0.9)

    source = "Kim and Bae 2020, Fig. 1 [4]; MONAI GridDistortion"
    library = "own field (MONAI's does not keep the border in place), torchvision elastic"

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`: widths of the cells of both directions, each 1 on average."""
        widths = [
            [1 + draws.signed() * self.max_change for _ in range(self.cells)] for _ in range(2)
        ]
        total = [sum(row) / self.cells for row in widths]
        return {
            "columns": [one / total[0] for one in widths[0]],
            "rows": [one / total[1] for one in widths[1]],
        }

    def displacement(self, parameters: Parameters, size: Size) -> Tensor:
        """See `Warping`."""
        height, width = size
        right = _stretched(parameters["columns"], width).expand(height, width)
        down = _stretched(parameters["rows"], height)[:, None].expand(height, width)
        return torch.stack([right, down], dim=-1)[None]


@dataclass(frozen=True, kw_only=True)
class OpticalDistortion(Warping):
    """Barrel or pincushion distortion, as of a lens, about a point near the centre.

    It breaks meaning where the shape is the finding.

    Args:
        max_change: How curved, uniform in +- this: at the middle of a side, the radius that is read
            is longer by this share, or divided by 1 + this share.
        max_offset: Of the centre, as a share of the side.
    """

    max_change: float = setting(0.2, 0, 0.4)
    max_offset: float = setting(0.05, 0, 0.5)

    source = "Brown 1966; Fitzgibbon 2001; Kim and Bae 2020, Fig. 1 [5]"
    library = "own field, torchvision elastic"

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if self.max_change * 2 * (1 + 2 * self.max_offset) ** 2 >= 1:
            raise ValueError(
                f"max_change {self.max_change:g} with max_offset {self.max_offset:g} would fold "
                "the corners over; max_change times 2 (1 + 2 max_offset)^2 must be below 1"
            )

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {
            "change": draws.signed() * self.max_change,
            "x": draws.uniform(-1, 1) * self.max_offset,
            "y": draws.uniform(-1, 1) * self.max_offset,
        }

    def displacement(self, parameters: Parameters, size: Size) -> Tensor:
        """See `Warping`.

        The radius r of a pixel, 1 at the middle of a side, reads at r (1 + k r^2) (Brown), and for
        k below 0 at r / (1 - k r^2) (Fitzgibbon), which does not turn back.
        """
        height, width = size
        x = _centres(width)[None, :] - 2 * parameters["x"]
        y = _centres(height)[:, None] - 2 * parameters["y"]
        curved = parameters["change"] * (x**2 + y**2)
        change = curved if parameters["change"] >= 0 else 1 / (1 - curved) - 1
        return torch.stack([x * change, y * change], dim=-1)[None]


def _centres(count: int) -> Tensor:
    """(count,) centres of pixels, from -1 to 1 between the image's borders."""
    return (2 * torch.arange(count, dtype=torch.float32) + 1) / count - 1


def _stretched(widths: list[float], count: int) -> Tensor:
    """(count,) displacement that gives equal cells these widths of the source, 1 on average."""
    cells = len(widths)
    edges = torch.tensor([0.0, *widths]).cumsum(dim=0) * (2 / cells) - 1
    centres = _centres(count)
    place = (centres + 1) * (cells / 2)
    cell = place.floor().long().clamp(0, cells - 1)
    source = edges[cell] + (place - cell) * (edges[cell + 1] - edges[cell])
    return source - centres

"""Two views of one image: what the embedding shall find alike."""

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.transforms import blur

SIDE = 32
"""Pixels of a view; what the embedding looks at."""

_MOST_TURNED = 12.0  # degrees
_MOST_SHIFTED = 0.14  # of the region's side, either way
_MOST_ZOOMED = 0.22  # natural logarithm
_DARKEST = 1e-3


class Regions:
    """A square of every image: the whole of it, or a part.

    Attributes:
        sides: (N,) share of the image's side.
        centres: (N, 2) in [-1, 1], x and y.
    """

    def __init__(self, sides: Tensor, centres: Tensor) -> None:
        self.sides = sides
        self.centres = centres

    @staticmethod
    def drawn(count: int, source: torch.Generator) -> "Regions":
        """Whole images and, as often, squares of 45 to 90 % of the side, anywhere."""
        whole = torch.rand(count, generator=source) < 0.5
        sides = torch.where(whole, 1.0, _between(count, 0.45, 0.9, source))
        places = torch.rand(count, 2, generator=source) * 2 - 1
        return Regions(sides, places * (1 - sides)[:, None])


def view(images: Tensor, regions: Regions, source: torch.Generator) -> Tensor:
    """A random view (N, 1, SIDE, SIDE) of a region of each image (N, 1, S, S) in [0, 1].

    Flipped, turned, shifted, zoomed; other gamma, contrast and brightness; noise, blur, cutout.
    """
    count = len(images)
    angle = torch.deg2rad(_between(count, -_MOST_TURNED, _MOST_TURNED, source))
    zoom = torch.exp(_between(count, -_MOST_ZOOMED, _MOST_ZOOMED, source)) * regions.sides
    mirror = torch.where(torch.rand(count, generator=source) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2, generator=source) * 2 - 1) * _MOST_SHIFTED
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    matrices = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], 1).unflatten(1, (2, 2))
    offsets = regions.centres + shift * regions.sides[:, None]
    return _shaded(cut(images, matrices, offsets), source)


def region(images: Tensor, side: float, x: float, y: float) -> Tensor:
    """The square region of all images as it is, (N, 1, SIDE, SIDE); see `Regions`."""
    matrices = images.new_tensor([[side, 0.0], [0.0, side]]).expand(len(images), -1, -1)
    return cut(images, matrices, images.new_tensor([x, y]).expand(len(images), -1))


def cut(images: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """Read (N, 1, S, S) at SIDE x SIDE places: (N, 2, 2) matrices about (N, 2) offsets.

    Images of more than twice SIDE are averaged first, so that no pixel is passed over.
    """
    step = images.shape[-1] // (2 * SIDE)
    if step > 1:
        images = F.avg_pool2d(images, step)
    affine = torch.cat([matrices, offsets[:, :, None]], 2).to(images)
    grid = F.affine_grid(affine, [len(images), 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _shaded(views: Tensor, source: torch.Generator) -> Tensor:
    count = len(views)

    def drawn(least: float, most: float) -> Tensor:
        return _between(count, least, most, source)[:, None, None, None].to(views)

    views = views.clamp(_DARKEST, 1) ** drawn(-0.5, 0.5).exp()
    views = views * drawn(0.6, 1.3) + drawn(-0.15, 0.15)
    soft = (torch.rand(count, generator=source) < 0.3)[:, None, None, None].to(views.device)
    views = torch.where(soft, blur(views, 0.8), views)
    noise = torch.randn(views.shape, generator=source).to(views)
    return _cut_out(views + noise * drawn(0.0, 0.1), source)


def _cut_out(views: Tensor, source: torch.Generator) -> Tensor:
    """Every second view loses a rectangle of 6 to 18 of the 32 pixels to one grey."""
    count = len(views)
    rows = torch.arange(SIDE)
    inside = torch.rand(count, 1, 1, generator=source) < 0.5
    for dim in (1, 2):
        middle = _between(count, 0, SIDE, source)[:, None]
        reach = _between(count, 3, 9, source)[:, None]
        inside = inside & ((rows - middle).abs() < reach).unsqueeze(3 - dim)
    grey = torch.rand(count, 1, 1, 1, generator=source).to(views)
    return torch.where(inside[:, None].to(views.device), grey, views)


def _between(count: int, least: float, most: float, source: torch.Generator) -> Tensor:
    return least + (most - least) * torch.rand(count, generator=source)

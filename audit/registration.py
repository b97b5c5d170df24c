"""Lay one image over another by an affine motion, so that copies can be told from likenesses.

The correlation of two images is highest where one lies on the other. The enhanced correlation
coefficient (ECC) algorithm climbs to it by Gauss-Newton steps, and does not mind another brightness
or contrast. Here it runs for a batch of pairs at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 14
"""Enough for a motion to settle."""

_MOST_MOVED = 0.5
"""A motion that is further than this from where it started has lost its way."""

_LONGEST_STEP = 0.1


def register(
    images: Tensor, templates: Tensor, start: Tensor, steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """Move each image onto its template as well as an affine motion near `start` can.

    Args:
        images: (N, 1, S, S) float.
        templates: (N, 1, s, s): what is to be covered.
        start: (N, 2, 3) for `torch.nn.functional.affine_grid`: where each pixel of the template
            lies in the image at first.
        steps: Of the search.

    Returns:
        correlation: (N,) Pearson's, of the template and the image that lies on it.
        motions: (N, 2, 3), in the place of `start`.

    Source: Evangelidis & Psarakis 2008, IEEE PAMI 30(10), the forward additive algorithm. The best
    of all steps is kept, so the correlation is never lower than at the start.
    """
    slopes = torch.cat([_slope(images, 3), _slope(images, 2)], 1)
    read = torch.cat([images, slopes], 1)
    basis = _basis(templates)
    size = templates.shape[-2:]
    template = _centred(templates.flatten(1))
    best, kept, motions = torch.full_like(template[:, 0], -2.0), start, start
    for step in range(steps + 1):
        grid = (motions @ basis).unflatten(2, size).permute(0, 2, 3, 1)
        pixels = F.grid_sample(read, grid, padding_mode="border", align_corners=False).flatten(2)
        moved = _centred(pixels[:, 0])
        value = _cosine(moved, template)
        better = value > best
        best = torch.where(better, value, best)
        kept = torch.where(better[:, None, None], motions, kept)
        if step == steps:
            break
        motions = motions + _gain(pixels[:, 1:], basis, moved, template)
        lost = (motions - start).abs().amax((1, 2)) > _MOST_MOVED
        motions = torch.where(lost[:, None, None], kept, motions)
    return best, kept


def _basis(templates: Tensor) -> Tensor:
    """(3, P): x, y and 1 at the template's pixels, by which a row of the motion is multiplied."""
    size = list(templates.shape[-2:])
    identity = torch.eye(2, 3).to(templates)[None]
    places = F.affine_grid(identity, [1, 1, *size], align_corners=False).flatten(1, 2)[0].T
    return torch.cat([places, torch.ones_like(places[:1])])


def _gain(slopes: Tensor, basis: Tensor, moved: Tensor, template: Tensor) -> Tensor:
    """The change (N, 2, 3) of the motion that raises the correlation most (theorem 1).

    The derivative of a pixel by the motion is slope (N, 2, P) x basis (3, P). It is never written
    out: products of slopes, times products of the basis, are three times as fast.
    """
    x, y = slopes[:, 0], slopes[:, 1]
    squares = (basis[:, None] * basis).flatten(0, 1)
    of_slopes = torch.stack([x * x, x * y, y * y], 1) @ squares.T
    xx, xy, yy = of_slopes.unflatten(2, (3, 3)).unbind(1)
    hessian = torch.cat([torch.cat([xx, xy], 2), torch.cat([xy, yy], 2)], 1)
    mean = (slopes @ basis.T).flatten(1) / basis.shape[1]
    hessian = hessian - basis.shape[1] * mean[:, :, None] * mean[:, None]
    ridge = 1e-4 * hessian.diagonal(dim1=1, dim2=2).mean(1) + 1e-8
    hessian = hessian + ridge[:, None, None] * torch.eye(6).to(hessian)
    both = torch.stack([moved, template], 1)
    sides = ((both[:, :, None] * slopes[:, None]) @ basis.T).flatten(2).transpose(1, 2)
    solved = torch.linalg.solve(hessian, sides)
    # What of the moved image the motion cannot explain, beside itself and beside the template.
    itself = moved.square().sum(1) - (sides[:, :, 0] * solved[:, :, 0]).sum(1)
    together = (moved * template).sum(1) - (sides[:, :, 1] * solved[:, :, 0]).sum(1)
    scale = itself / together.clamp_min(1e-6)
    change = scale[:, None] * solved[:, :, 1] - solved[:, :, 0]
    return change.clamp(-_LONGEST_STEP, _LONGEST_STEP).unflatten(1, (2, 3))


def _slope(images: Tensor, dim: int) -> Tensor:
    """Derivative along a dimension, by grid_sample's coordinates, in which a side is 2 long."""
    size = images.shape[dim]
    padded = F.pad(images, [1, 1, 0, 0] if dim == 3 else [0, 0, 1, 1], mode="replicate")
    return (padded.narrow(dim, 2, size) - padded.narrow(dim, 0, size)) * size / 4


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(-1, keepdim=True)


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    """(N,) of centred rows (N, P); 0 where one is constant."""
    norm = one.norm(dim=1) * other.norm(dim=1)
    return (one * other).sum(1) / norm.clamp_min(1e-6)

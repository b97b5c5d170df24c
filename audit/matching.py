"""Which training image each query may be a copy of, and how closely it lies on it.

Two stages. An embedding proposes: for the whole of a query and for each of its corners, the
training images that look most like it, and most like its negative. Registration disposes: each is
moved onto the query as well as an affine motion can, mirrored or not, and correlated.

A correlation by itself says little: chest films are alike, and a noisy copy correlates less with
its source than two clean films with one another. So each query's best is compared with its next
best among *other patients*: a copy stands out from those, whatever the image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.embedding import CopyEmbedding
from audit.registration import register
from audit.search import nearest
from audit.transforms import blur
from audit.views import SIDE, region

WHOLE = (1.0, 0.0, 0.0)
CORNERS = tuple((0.5, x, y) for y in (-0.5, 0.5) for x in (-0.5, 0.5))
REGIONS = (WHOLE, *CORNERS)
"""(side, x, y) of the squares that are looked at by themselves; see `audit.views.region`."""

_FROM_WHOLE, _FROM_CORNERS = 10, 4
"""Candidates that a whole image and all corners of training images propose to one query region."""

_OTHERS = 4
"""Patients, next to the best one's, that say how well images of others lie on the query."""

_SMOOTHING = 0.7
"""Pixels, before correlating: noise is nobody's."""

_BATCH = 512
_MOST_CORRELATED = 0.9995


@dataclass(frozen=True)
class Gallery:
    """The training images, ready to be searched.

    Attributes:
        images: (M, 1, S, S) uint8.
        patients: (M,) long: whose each is.
        points: (len(REGIONS), M, D): embeddings of their regions.
    """

    images: Tensor
    patients: Tensor
    points: Tensor


@dataclass(frozen=True)
class Matches:
    """Of N queries, for each of R regions, the training image that lies on it best.

    Attributes:
        correlation: (N, R) of the best.
        excess: (N, R) Fisher z of the best minus the mean of the next best of other patients.
        source: (N, R) index of the training image.
        motion: (N, R, 2, 3) that lays it on the query's region.
        negative: (N, R) whether it lies there as a negative.
    """

    correlation: Tensor
    excess: Tensor
    source: Tensor
    motion: Tensor
    negative: Tensor


@torch.no_grad()
def points_of(network: CopyEmbedding, images: Tensor, negative: bool = False) -> Tensor:
    """Embeddings (len(REGIONS), N, D) of the regions of images (N, 1, S, S) uint8."""
    found: list[list[Tensor]] = [[] for _ in REGIONS]
    for batch in images.split(_BATCH):
        levels = _levels(batch, negative)
        for place, (side, x, y) in enumerate(REGIONS):
            found[place].append(network(region(levels, side, x, y)))
    return torch.stack([torch.cat(part) for part in found])


@torch.no_grad()
def match(
    network: CopyEmbedding,
    gallery: Gallery,
    queries: Tensor,
    on_query: Callable[[int], object] = lambda _: None,
) -> Matches:
    """Find what each query (N, 1, S, S) uint8 may be a copy of."""
    both = [points_of(network, queries, negative) for negative in (False, True)]
    parts: list[tuple[Tensor, ...]] = []
    whole, corners = gallery.points[0], gallery.points[1:].flatten(0, 1)
    for start in range(0, len(queries), 16):
        rows = slice(start, start + 16)
        of_regions = []
        for place in range(len(REGIONS)):
            pairs = []
            for negative in (False, True):
                points = both[negative][place, rows]
                if place == 0:
                    _, index = nearest(points, whole, _FROM_WHOLE)
                    pairs.append((index, torch.zeros_like(index), negative))
                else:
                    _, index = nearest(points, corners, _FROM_CORNERS)
                    count = len(gallery.images)
                    pairs.append((index % count, index // count + 1, negative))
            of_regions.append(_best(gallery, queries[rows], place, pairs))
        parts.append(tuple(torch.stack(x, 1) for x in zip(*of_regions, strict=True)))
        on_query(len(queries[rows]))
    return Matches(*(torch.cat(x) for x in zip(*parts, strict=True)))


def _best(
    gallery: Gallery, queries: Tensor, place: int, pairs: list[tuple[Tensor, Tensor, bool]]
) -> tuple[Tensor, ...]:
    """Register all candidates of one region, and choose."""
    count = len(queries)
    templates = _smooth(region(_levels(queries), *REGIONS[place]))
    values, motions, sources, negatives = [], [], [], []
    for index, places, negative in pairs:
        width = index.shape[1]
        images = _levels(gallery.images[index.flatten()], negative)
        side = 2 * SIDE if place else SIDE
        images = _smooth(F.interpolate(images, size=(side, side), mode="area"))
        repeated = templates.repeat_interleave(width, 0)
        for mirror in (1.0, -1.0):
            starts = _starts(places.flatten(), mirror).to(images)
            value, motion = register(images, repeated, starts)
            values.append(value.view(count, width))
            motions.append(motion.view(count, width, 2, 3))
            sources.append(index)
            negatives.append(torch.full_like(index, negative))
    value, motion = torch.cat(values, 1), torch.cat(motions, 1)
    source, negative_of = torch.cat(sources, 1), torch.cat(negatives, 1)
    best = value.argmax(1)
    row = torch.arange(count)
    patient = gallery.patients[source]
    excess = _excess(value, patient, best)
    return (
        value[row, best],
        excess,
        source[row, best],
        motion[row, best],
        negative_of[row, best].bool(),
    )


def _excess(value: Tensor, patient: Tensor, best: Tensor) -> Tensor:
    """How far the best (N,) of values (N, C) stands above the next best of other patients."""
    z = value.clamp(-_MOST_CORRELATED, _MOST_CORRELATED).atanh()
    found = []
    for scores, owners, first in zip(z, patient, best, strict=True):
        others = scores.masked_fill(owners == owners[first], -9.0)
        kept: list[Tensor] = []
        for _ in range(_OTHERS):
            at = int(others.argmax())
            if others[at] <= -9.0:
                break
            kept.append(others[at])
            others = others.masked_fill(owners == owners[at], -9.0)
        rest = torch.stack(kept).mean() if kept else scores.new_zeros(())
        found.append(scores[first] - rest)
    return torch.stack(found)


def _starts(places: Tensor, mirror: float) -> Tensor:
    """(N, 2, 3): the motion that shows a region of an image as it is, or mirrored."""
    chosen = torch.tensor(REGIONS)[places]
    matrices = torch.zeros(len(places), 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = mirror * chosen[:, 0], chosen[:, 0]
    matrices[:, :, 2] = chosen[:, 1:]
    return matrices


def _levels(images: Tensor, negative: bool = False) -> Tensor:
    levels = images.float() / 255
    return 1 - levels if negative else levels


def _smooth(images: Tensor) -> Tensor:
    return blur(images, _SMOOTHING)

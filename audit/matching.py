"""Which training image each query may be a copy of, and how closely it lies on it.

Two stages. An embedding proposes: for the whole of a query and for each of its corners, the
training images that look most like it, and most like its negative; for the whole, most like it
turned by 90, 180 and 270 degrees too, which with the mirror is every way a picture can lie.
Registration disposes: each is moved onto the query as well as an affine motion can, mirrored or
not, and correlated.

A correlation by itself says little: chest films are alike, and a noisy copy correlates less with
its source than two clean films with one another. So each query's best is compared with its next
best among *other patients*: a copy stands out from those, whatever the image.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.embedding import CopyEmbedding
from audit.registration import STEPS, register
from audit.search import nearest
from audit.transforms import blur
from audit.views import SIDE, region

WHOLE = (1.0, 0.0, 0.0)
CORNERS = tuple((0.5, x, y) for y in (-0.5, 0.5) for x in (-0.5, 0.5))
REGIONS = (WHOLE, *CORNERS)
"""(side, x, y) of the squares that are looked at by themselves; see `audit.views.region`."""

_PATIENTS_OF_WHOLE, _MORE_OF_WHOLE, _PATIENTS_OF_CORNER = 8, 2, 4
"""Candidates of a query, and of its negative: from that many patients the nearest image, and more
images of whomever; of a corner, from that many patients the nearest of all corners."""

_TURNS, _PATIENTS_OF_TURNED = (1, 2, 3), 2
"""Quarter turns of the whole query, and candidates of each."""

_OTHERS = 4
"""Patients, next to the best one's, that say how well images of others lie on the query."""

_SMOOTHING = 0.7
"""Pixels, before correlating: noise is nobody's."""

_BATCH = 512
_QUERIES_AT_ONCE = {"cpu": 16, "cuda": 256}
"""By device: what fits the cache of a core; enough to fill a GPU, in about 1 GiB of its memory."""

_TRIED_STEPS = 4
_MOST_CORRELATED = 0.9995


@dataclass(frozen=True)
class Gallery:
    """The training images, ready to be searched.

    Attributes:
        images: (M, 1, S, S) uint8, of at least 2 patients.
        patients: (M,) long: whose each is; on the images' device, as all of it.
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


@dataclass(frozen=True)
class _Candidates:
    """What may lie on one region of C queries.

    Attributes:
        index: (C, K) training images.
        places: (C, K) index into `REGIONS`: which of their regions.
        negative: Whether as negatives.
        turns: By how many quarter turns to the right the query lies.
    """

    index: Tensor
    places: Tensor
    negative: bool = False
    turns: int = 0


@torch.no_grad()
def points_of(
    network: CopyEmbedding,
    images: Tensor,
    negative: bool = False,
    regions: Sequence[tuple[float, float, float]] = REGIONS,
) -> Tensor:
    """Embeddings (len(regions), N, D) of the regions of images (N, 1, S, S) uint8."""
    found: Tensor | None = None  # whole from the start: parts that are joined take three times it
    for number, batch in enumerate(images.split(_BATCH)):
        rows = slice(number * _BATCH, number * _BATCH + len(batch))
        levels = _levels(batch, negative)
        for place, (side, x, y) in enumerate(regions):
            points = network(region(levels, side, x, y))
            if found is None:
                found = points.new_empty(len(regions), len(images), points.shape[1])
            found[place, rows] = points
    assert found is not None  # an empty tensor has one part too
    return found


@torch.no_grad()
def match(
    network: CopyEmbedding,
    gallery: Gallery,
    queries: Tensor,
    own: Tensor | None = None,
    on_query: Callable[[int], object] = lambda _: None,
) -> Matches:
    """Find what each query (N, 1, S, S) uint8 may be a copy of.

    Args:
        network: Of the gallery's points.
        gallery: The training images.
        queries: At least one, on the gallery's device.
        own: (N,) index of the training image whose label map a query was made from, which is a
            candidate wherever it lies; -1 where there is none.
        on_query: Called with the number of queries that are done since, for a progress bar.
    """
    both = [points_of(network, queries, negative) for negative in (False, True)]
    turned = [
        points_of(network, queries.rot90(turns, (2, 3)), regions=(WHOLE,))[0] for turns in _TURNS
    ]
    parts: list[tuple[Tensor, ...]] = []
    whole, corners = gallery.points[0], gallery.points[1:].flatten(0, 1)
    owners = gallery.patients.repeat(len(REGIONS) - 1)
    count = len(gallery.images)
    height = _QUERIES_AT_ONCE[queries.device.type]
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        of_regions = []
        for place in range(len(REGIONS)):
            tried = []
            for negative in (False, True):
                points = both[negative][place, rows]
                if place == 0:
                    index = nearest(
                        points, whole, gallery.patients, _PATIENTS_OF_WHOLE, _MORE_OF_WHOLE
                    )
                    if own is not None:
                        named = torch.where(own[rows] < 0, index[:, 0], own[rows])
                        index = torch.cat([index, named[:, None]], 1)
                    tried.append(_Candidates(index, torch.zeros_like(index), negative))
                else:
                    index = nearest(points, corners, owners, _PATIENTS_OF_CORNER)
                    tried.append(_Candidates(index % count, index // count + 1, negative))
            for turns, points in zip(_TURNS, turned, strict=True) if place == 0 else ():
                index = nearest(points[rows], whole, gallery.patients, _PATIENTS_OF_TURNED)
                tried.append(_Candidates(index, torch.zeros_like(index), turns=turns))
            of_regions.append(_best(gallery, queries[rows], place, tried))
        parts.append(tuple(torch.stack(x, 1) for x in zip(*of_regions, strict=True)))
        on_query(len(queries[rows]))
    return Matches(*(torch.cat(x) for x in zip(*parts, strict=True)))


def _best(
    gallery: Gallery, queries: Tensor, place: int, tried: Sequence[_Candidates]
) -> tuple[Tensor, ...]:
    """Register all candidates of one region, and choose."""
    count = len(queries)
    templates = _smooth(region(_levels(queries), *REGIONS[place]))
    side = 2 * SIDE if place else SIDE  # a corner as large as its template
    values, motions = [], []
    for some in tried:
        width = some.index.shape[1]
        images = _levels(gallery.images[some.index.flatten()], some.negative)
        images = _smooth(F.interpolate(images, size=(side, side), mode="area"))
        repeated = templates.repeat_interleave(width, 0)
        value, motion = _register_either_way(images, repeated, some.places.flatten(), some.turns)
        values.append(value.view(count, width))
        motions.append(motion.view(count, width, 2, 3))
    value, motion = torch.cat(values, 1), torch.cat(motions, 1)
    source = torch.cat([some.index for some in tried], 1)
    negative_of = torch.cat([torch.full_like(some.index, some.negative) for some in tried], 1)
    best = value.argmax(1)
    row = torch.arange(count, device=best.device)
    return (
        value[row, best],
        excess_over_others(value, gallery.patients[source], best),
        source[row, best],
        motion[row, best],
        negative_of[row, best].bool(),
    )


def _register_either_way(
    images: Tensor, templates: Tensor, places: Tensor, turns: int
) -> tuple[Tensor, Tensor]:
    """`register`, mirrored or not: whichever lies better after a few steps goes on."""
    tried = [
        register(images, templates, _starts(places, mirror, turns).to(images), _TRIED_STEPS)
        for mirror in (1.0, -1.0)
    ]
    mirrored = tried[1][0] > tried[0][0]
    start = torch.where(mirrored[:, None, None], tried[1][1], tried[0][1])
    return register(images, templates, start, STEPS - _TRIED_STEPS)


def excess_over_others(value: Tensor, patient: Tensor, best: Tensor) -> Tensor:
    """How far the best (N,) of correlations (N, C) stands above the best of other patients.

    In Fisher's z, above the mean of the best of each of the next 4 patients; 0 where all are of one
    patient, since there is nothing to compare with.

    Args:
        value: (N, C) correlations.
        patient: (N, C) whose each is.
        best: (N,) index of each row's largest.
    """
    z = value.clamp(-_MOST_CORRELATED, _MOST_CORRELATED).atanh()
    first = best[:, None]
    left = z.masked_fill(patient == patient.gather(1, first), -math.inf)
    kept = []
    for _ in range(_OTHERS):
        top, index = left.max(1, keepdim=True)
        kept.append(top)
        left = left.masked_fill(patient == patient.gather(1, index), -math.inf)
    others = torch.cat(kept, 1)
    there = others.isfinite()
    mean = others.where(there, 0).sum(1) / there.sum(1).clamp_min(1)
    return (z.gather(1, first)[:, 0] - mean).where(there.any(1), 0)


def _starts(places: Tensor, mirror: float, turns: int) -> Tensor:
    """(N, 2, 3): the motion that shows a region of an image as it is, mirrored or turned."""
    turn = torch.linalg.matrix_power(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), turns)
    chosen = torch.tensor(REGIONS)[places.cpu()]
    matrices = torch.zeros(len(places), 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = mirror * chosen[:, 0], chosen[:, 0]
    matrices[:, :, :2] @= turn
    matrices[:, :, 2] = chosen[:, 1:]
    return matrices


def _levels(images: Tensor, negative: bool = False) -> Tensor:
    levels = images.float() / 255
    return 1 - levels if negative else levels


def _smooth(images: Tensor) -> Tensor:
    return blur(images, _SMOOTHING)

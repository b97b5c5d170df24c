"""Every image as a point, so that distances between images can be asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audit.embedding import CopyEmbedding
from audit.images import AuditedSets
from audit.matching import WHOLE
from audit.planted import Copies
from audit.views import region
from metrics.extractor import FeatureExtractor

OWN = "own embedding"

_BATCH = 256


@dataclass(frozen=True)
class Space:
    """Points of all that is audited, by one extractor.

    Attributes:
        name: The extractor's.
        description: What it is, for the record.
        training: (M, D) float32 on the CPU, as all of them.
        held_out: (m, D).
        synthetic: (n, D).
        copies: (P, D) of the planted copies, all disguises.
        source: (P,) row of the training image that each is of.
    """

    name: str
    description: str
    training: Tensor
    held_out: Tensor
    synthetic: Tensor
    copies: Tensor
    source: Tensor


def own_space(
    networks: Sequence[CopyEmbedding],
    sets: AuditedSets,
    planted: Sequence[Copies],
    device: torch.device,
) -> Space:
    """By the embeddings of whole images, side by side: squared distances are their mean."""

    def points(levels: Tensor) -> Tensor:
        views = region(levels, *WHOLE)
        return torch.cat([network(views) for network in networks], 1) / len(networks) ** 0.5

    described = f"{len(networks)} networks, trained by contrast on the training images"
    return _space(OWN, described, points, sets, planted, device)


def space_of(
    extractor: FeatureExtractor,
    sets: AuditedSets,
    planted: Sequence[Copies],
    device: torch.device,
) -> Space:
    """By an extractor that knows none of the images."""
    network = extractor.to(device)
    return _space(
        network.name,
        network.description,
        lambda levels: network(2 * levels - 1),
        sets,
        planted,
        device,
    )


def _space(
    name: str,
    description: str,
    points: Callable[[Tensor], Tensor],
    sets: AuditedSets,
    planted: Sequence[Copies],
    device: torch.device,
) -> Space:
    @torch.no_grad()
    def of(pixels: Tensor) -> Tensor:
        parts = [points(batch.to(device).float() / 255).cpu() for batch in pixels.split(_BATCH)]
        return torch.cat(parts)

    return Space(
        name,
        description,
        of(sets.training.pixels),
        of(sets.held_out.pixels),
        of(sets.synthetic.pixels),
        of(torch.cat([copies.pixels for copies in planted])),
        torch.cat([copies.source for copies in planted]),
    )

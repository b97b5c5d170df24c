"""An embedding in which copies of an image lie near it, however they are disguised.

Trained on the user's own training images, so it needs no weights from elsewhere, and knows what
makes one of *these* images different from the next, which networks for photographs do not.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.views import SIDE, Regions, view

SIZE = 128
"""Numbers of an embedding."""

RECIPE = "contrastive 1"
"""Changes with whatever changes the trained weights: it is part of a kept file's name."""

_TEMPERATURE = 0.1
_SPREAD_WEIGHT = 0.1
_BATCH = 128
_LEARNING_RATE = 2e-3
STEPS = 600
"""Whatever the number of images: 77,000 pairs of views."""


class CopyEmbedding(nn.Module):
    """Small convolutional network from a view (N, 1, SIDE, SIDE) to a point on the unit sphere.

    Args:
        width: channels of the first stage, a multiple of 8; two stages follow with twice and four
            times as many.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        channels = [1, width, 2 * width, 4 * width]
        self.stages = nn.Sequential(
            *(_stage(few, many) for few, many in itertools.pairwise(channels))
        )
        self.project = nn.Linear(4 * width * (SIDE // 8) ** 2, SIZE)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 1, SIDE, SIDE), of which mean and contrast do not count, to (N, SIZE) of length 1."""
        views = views - views.mean((1, 2, 3), keepdim=True)
        views = views / (views.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-3)
        return F.normalize(self.project(self.stages(views).flatten(1)), dim=1)


def _stage(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(8, num_out),
        nn.ReLU(),
        nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
        nn.GroupNorm(8, num_out),
        nn.ReLU(),
    )


def contrastive_loss(first: Tensor, second: Tensor) -> Tensor:
    """NT-Xent of two views (N, D) each, plus a term that spreads images over the sphere.

    Of 2 N points each shall find its other view among all others. The spreading term is minus the
    mean logarithm of the distance to the nearest other image (Kozachenko-Leonenko entropy).

    Sources: Chen 2020 (SimCLR), arXiv:2002.05709, equation 1; Pizzi 2022 (SSCD), arXiv:2202.10261,
    equation 4, which found the second to matter most for copies.
    """
    points = torch.cat([first, second])
    itself = torch.eye(len(points), dtype=torch.bool, device=points.device)
    cosines = (points @ points.T).masked_fill(itself, -math.inf)
    target = torch.arange(len(points), device=points.device).roll(len(first))
    alike = F.cross_entropy(cosines / _TEMPERATURE, target)
    nearest = [
        (side @ side.T).masked_fill(itself[: len(side), : len(side)], -1.0).amax(1)
        for side in (first, second)
    ]
    distance = (2 - 2 * torch.cat(nearest)).clamp_min(1e-6).sqrt()
    return alike - _SPREAD_WEIGHT * distance.log().mean()


def train_embedding(
    images: Tensor, seed: int, steps: int = STEPS, on_step: Callable[[], object] = lambda: None
) -> CopyEmbedding:
    """Train on images (N, 1, S, S) uint8; the same seed gives the same network on one device.

    Args:
        images: at least 2.
        seed: of weights, order and views.
        steps: batches of up to 128 images, two views of each.
        on_step: called after every step, for a progress bar.

    Raises:
        ValueError: fewer than 2 images.
    """
    if len(images) < 2:
        raise ValueError(f"train_embedding: {len(images)} images, expected at least 2.")
    source = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CopyEmbedding().to(images.device)
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    for _, rows in zip(range(steps), _batches(len(images), source), strict=False):
        batch = images[rows].float() / 255
        regions = Regions.drawn(len(batch), source)
        views = torch.cat([view(batch, regions, source) for _ in range(2)])
        loss = contrastive_loss(*network(views).chunk(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        on_step()
    return network.eval()


def _batches(count: int, source: torch.Generator) -> Iterator[Tensor]:
    """Endless rounds over all images, shuffled; a round's rest goes on with the next."""
    left = torch.empty(0, dtype=torch.long)
    size = min(_BATCH, count)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=source)])
        yield left[:size]
        left = left[size:]

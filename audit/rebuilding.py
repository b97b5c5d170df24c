"""Copies as a generator makes them: images rebuilt from what was learnt of the training images.

Disguises are known changes of a copy. A generator that copies changes an image in a way of its own:
it draws the image again from few numbers, and what these do not hold is lost. Filters that find the
former miss the latter (Koeken 2025, arXiv:2510.01793), so both are planted.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_COMPONENTS = 100
NUM_COPIED = 50
"""Images on which a generator is trained until it can do nothing but repeat them."""

_LEARNT_FROM = 5000
_NUM_LATENTS = 64
STEPS = 400
_SIDE = 64
_LEARNING_RATE = 5e-3
_LATENT_RATE = 2e-2
_AROUND = 0.3
"""Standard deviation of what is added to an image's latent, so that no two copies are equal."""


class Rebuilding:
    """Principal components of images, which rebuild any image as nearly as they can.

    Args:
        images: (N, 1, S, S) uint8; of more than 5,000 as many, evenly spread.
        seed: Of the randomised decomposition.

    Attributes:
        number: Of components: 100; half as many as images where that is fewer, since with as many
            as images nothing of these would be lost.
    """

    def __init__(self, images: Tensor, seed: int) -> None:
        chosen = torch.linspace(0, len(images) - 1, min(len(images), _LEARNT_FROM)).long()
        points = images[chosen].flatten(1).float() / 255
        self.number = max(1, min(NUM_COMPONENTS, len(points) // 2, points.shape[1]))
        self._mean = points.mean(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, _, self._components = torch.pca_lowrank(
                points - self._mean, self.number, center=False, niter=4
            )

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1, S, S) in [0, 1] likewise."""
        points = images.flatten(1) - self._mean
        rebuilt = self._mean + points @ self._components @ self._components.T
        return rebuilt.view_as(images).clamp(0, 1)


def over_trained(
    images: Tensor, count: int, seed: int, on_step: Callable[[int], object] = lambda _: None
) -> Tensor:
    """What a small generator makes that was trained on these images until it repeats them.

    Each image has a latent of its own, learnt with the network's weights; latents near an image's
    give something very like it.

    Args:
        images: (N, 1, S, S) in [0, 1], on the CPU.
        count: Images to make: of the first, the second, ... and from the first again.
        seed: Of weights and latents.
        on_step: Called with the number of steps that are done since, for a progress bar.

    Returns:
        (count, 1, S, S) in [0, 1].

    Source: Bojanowski 2018 (GLO), arXiv:1707.05776; with an absolute in place of a Laplacian loss.
    """
    target = F.interpolate(images, size=(_SIDE, _SIDE), mode="bilinear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _decoder()
        latents = torch.randn(len(images), _NUM_LATENTS, requires_grad=True)
        trained: list[dict[str, Any]] = [{"params": network.parameters()}, {"params": [latents]}]
        optimiser = torch.optim.Adam(trained)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [_LEARNING_RATE, _LATENT_RATE], total_steps=STEPS
        )
        for _ in range(STEPS):
            around = latents + 0.1 * torch.randn(latents.shape)
            loss = F.l1_loss(network(around), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            on_step(1)
        which = torch.arange(count) % len(images)
        with torch.no_grad():
            drawn = latents[which]
            made = network(drawn + _AROUND * torch.randn(drawn.shape))
    return F.interpolate(made, size=images.shape[2:], mode="area").clamp(0, 1)


def _decoder() -> nn.Sequential:
    """Latents (N, 64) to images (N, 1, 64, 64)."""
    widths = [64, 48, 32, 24]
    stages: list[nn.Module] = []
    for few, many in itertools.pairwise(widths):
        stages += [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(few, many, 3, padding=1),
            nn.GroupNorm(8, many),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(
        nn.Linear(_NUM_LATENTS, 16 * widths[0]),
        nn.Unflatten(1, (widths[0], 4, 4)),
        *stages,
        nn.Conv2d(widths[-1], 4, 3, padding=1),
        nn.PixelShuffle(2),
        nn.Sigmoid(),
    )

"""Losses of generator and discriminator, from logits of one or more scales."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.precision import at_least_float32

AdversarialLossName = Literal["vanilla", "lsgan", "hinge"]


def generator_loss(fake_logits: Sequence[Tensor], kind: AdversarialLossName) -> Tensor:
    """Loss of the generator: small when the discriminator takes its images for real.

    vanilla: softplus(-f), the non-saturating form that the Pix2Pix paper trains with.
    lsgan: (f - 1)^2. hinge: -f. Each is averaged over all patches and images, then over scales, so
    equal micro-batches or ranks average to the big batch.

    Args:
        fake_logits: per scale (N, 1, h, w), unbounded scores of generated images.
        kind: "vanilla", "lsgan" or "hinge".

    Returns:
        Scalar; >= 0 for vanilla (log 2 when all scores are 0) and lsgan, unbounded for hinge.

    Raises:
        ValueError: an unknown kind, or no scale.

    Sources: Goodfellow 2014, arXiv:1406.2661; Mao 2017, arXiv:1611.04076 (without its factor 1/2,
    as pix2pixHD has it); Lim and Ye 2017, arXiv:1705.02894.
    """
    _check(kind, fake_logits)
    return _mean([_generator_term(at_least_float32(fake), kind) for fake in fake_logits])


def discriminator_loss(
    real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor], kind: AdversarialLossName
) -> Tensor:
    """Loss of the discriminator: small when it tells real from generated.

    vanilla: (softplus(-r) + softplus(f)) / 2; the Pix2Pix paper halves it to slow the
    discriminator. lsgan: ((r - 1)^2 + f^2) / 2. hinge: relu(1 - r) + relu(1 + f).
    Averaged over patches and images, then over scales.

    Args:
        real_logits: per scale (N, 1, h, w), unbounded scores of real images.
        fake_logits: the same for generated images, made without gradient to the generator.
        kind: "vanilla", "lsgan" or "hinge".

    Returns:
        Scalar >= 0; when all scores are 0: log 2 for vanilla, 1/2 for lsgan, 2 for hinge.

    Raises:
        ValueError: an unknown kind, no scale, or different numbers of scales.

    Sources: see `generator_loss`.
    """
    _check(kind, real_logits)
    if len(real_logits) != len(fake_logits):
        raise ValueError(
            f"discriminator_loss: {len(real_logits)} scales of real logits and {len(fake_logits)} "
            "of generated ones, expected as many. Score both with the same discriminator."
        )
    terms = [
        _discriminator_term(at_least_float32(real), at_least_float32(fake), kind)
        for real, fake in zip(real_logits, fake_logits, strict=True)
    ]
    return _mean(terms)


def _generator_term(fake: Tensor, kind: AdversarialLossName) -> Tensor:
    if kind == "vanilla":
        return F.softplus(-fake).mean()
    if kind == "lsgan":
        return (fake - 1).square().mean()
    return -fake.mean()


def _discriminator_term(real: Tensor, fake: Tensor, kind: AdversarialLossName) -> Tensor:
    if kind == "vanilla":
        return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
    if kind == "lsgan":
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()


def _check(kind: str, logits: Sequence[Tensor]) -> None:
    if kind not in get_args(AdversarialLossName):
        raise ValueError(
            f"Adversarial loss {kind!r} is not known, expected one of "
            f"{', '.join(get_args(AdversarialLossName))}."
        )
    if isinstance(logits, Tensor) or len(logits) == 0:
        raise ValueError("Adversarial loss: expected a list with the logits of at least one scale.")

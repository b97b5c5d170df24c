"""Losses of GANs without a condition, from logits of one or more scales.

`losses.adversarial` has those of Pix2Pix. Ko et al. 2020 compare the four kinds here other than
"non_saturating", and found the relativistic average hinge fastest and most stable.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.precision import at_least_float32

UnconditionalLossName = Literal["minmax", "non_saturating", "wgan_gp", "hinge", "ra_hinge"]
Mean = Callable[[Tensor], Tensor]


def discriminator_loss(
    real_logits: Sequence[Tensor],
    fake_logits: Sequence[Tensor],
    kind: UnconditionalLossName,
    mean: Mean = torch.mean,
) -> Tensor:
    """Loss of the discriminator: small when it tells real from generated.

    minmax and non_saturating: softplus(-r) + softplus(f), which is -log s(r) - log(1 - s(f)) for
    the sigmoid s. wgan_gp: f - r, to which the caller adds `penalties.gradient_penalty`. hinge:
    relu(1 - r) + relu(1 + f). ra_hinge: relu(1 - (r - mean f)) + relu(1 + (f - mean r)).
    Averaged over patches and images, then over scales.

    All but ra_hinge are means of a number per image, so equal micro-batches or ranks average to
    the big batch. In ra_hinge every score meets the mean of the others: micro-batches are another
    loss than the big batch, and are to be refused; processes need a `mean` over all of them.

    Args:
        real_logits: per scale (N, ...), e.g. (N, 1) or (N, 1, h, w); unbounded scores of real
            images.
        fake_logits: the same for generated images, made without gradient to the generator.
        kind: one of `UnconditionalLossName`.
        mean: (N, ...) to a scalar, the mean over the global batch that ra_hinge compares with. On
            several processes pass `lightning_modules.step.global_mean.global_mean`, through which
            gradients flow to all of them; a mean per process points elsewhere.

    Returns:
        Scalar; >= 0 except for wgan_gp. When all scores are equal to 0: 2 log 2 for minmax and
        non_saturating, 0 for wgan_gp, 2 for hinge; for ra_hinge 2 when they are equal to anything.

    Raises:
        ValueError: an unknown kind, no scale, or different numbers of scales.

    Sources: Goodfellow 2014, arXiv:1406.2661; Gulrajani 2017, arXiv:1704.00028; Lim and Ye 2017,
    arXiv:1705.02894; Jolicoeur-Martineau 2018, arXiv:1807.00734 (its code halves ra_hinge).
    """
    _check_kind(kind)
    terms = []
    for real, fake in _pairs(real_logits, fake_logits):
        if kind == "wgan_gp":
            terms.append(fake.mean() - real.mean())
        elif kind == "hinge":
            terms.append(F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        elif kind == "ra_hinge":
            terms.append(_relativistic_hinge(real, fake, mean))
        else:
            terms.append(F.softplus(-real).mean() + F.softplus(fake).mean())
    return torch.stack(terms).mean()


def generator_loss(
    fake_logits: Sequence[Tensor],
    kind: UnconditionalLossName,
    real_logits: Sequence[Tensor] | None = None,
    mean: Mean = torch.mean,
) -> Tensor:
    """Loss of the generator: small when the discriminator takes its images for real.

    minmax: log(1 - s(f)) = -softplus(f), the game's own objective; its gradient fades where the
    discriminator is sure, so non_saturating: softplus(-f) is what most train with. wgan_gp and
    hinge: -f. ra_hinge: relu(1 - (f - mean r)) + relu(1 + (r - mean f)), the discriminator's with
    the roles exchanged. Averaged over patches and images, then over scales.

    Args:
        fake_logits: per scale (N, ...), unbounded scores of generated images.
        kind: one of `UnconditionalLossName`; micro-batches as in `discriminator_loss`.
        real_logits: the same for the step's real images; ra_hinge needs them, the others do not
            read them.
        mean: see `discriminator_loss`.

    Returns:
        Scalar; <= 0 for minmax (-log 2 when all scores are 0), >= 0 for non_saturating (log 2) and
        ra_hinge (2), unbounded for wgan_gp and hinge.

    Raises:
        ValueError: an unknown kind, no scale, or ra_hinge without as many real scales.

    Sources: see `discriminator_loss`.
    """
    _check_kind(kind)
    if kind == "ra_hinge":
        if real_logits is None:
            raise ValueError(
                "generator_loss: ra_hinge compares with real images, but there are no real_logits. "
                "Score the step's real images with the same discriminator."
            )
        pairs = _pairs(real_logits, fake_logits)
        return torch.stack([_relativistic_hinge(fake, real, mean) for real, fake in pairs]).mean()
    return torch.stack([_generator_term(fake, kind) for fake in _scales(fake_logits)]).mean()


def _generator_term(fake: Tensor, kind: UnconditionalLossName) -> Tensor:
    if kind == "minmax":
        return -F.softplus(fake).mean()
    if kind == "non_saturating":
        return F.softplus(-fake).mean()
    return -fake.mean()


def _relativistic_hinge(upper: Tensor, lower: Tensor, mean: Mean) -> Tensor:
    """Hinge that wants `upper` a margin of 1 above the mean of `lower`, and the reverse."""
    above = F.relu(1 - (upper - mean(lower))).mean()
    below = F.relu(1 + (lower - mean(upper))).mean()
    return above + below


def _check_kind(kind: str) -> None:
    if kind not in get_args(UnconditionalLossName):
        raise ValueError(
            f"Adversarial loss {kind!r} is not known, expected one of "
            f"{', '.join(get_args(UnconditionalLossName))}."
        )


def _scales(logits: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(logits, Tensor) or len(logits) == 0:
        raise ValueError("Adversarial loss: expected a list with the logits of at least one scale.")
    return [at_least_float32(scale) for scale in logits]


def _pairs(
    real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Real and generated logits of each scale; they never broadcast against each other."""
    real, fake = _scales(real_logits), _scales(fake_logits)
    if len(real) != len(fake):
        raise ValueError(
            f"Adversarial loss: {len(real)} scales of real logits and {len(fake)} of generated "
            "ones, expected as many. Score both with the same discriminator."
        )
    return list(zip(real, fake, strict=True))

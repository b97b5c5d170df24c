"""Penalties on the gradients of a discriminator or generator, and on the size of its scores.

All are unweighted: the caller multiplies them (the sources' weights are given). Those with
gradients are computed in float32 or more with autocast off, since their second derivatives lose
all digits in half precision; parameters must be float32 or float64. A discriminator or generator
that went through torch.compile refuses the double backward pass, or drops the penalty without a
word: pass the uncompiled one.

A discriminator here maps a list of images, one per scale (N, C, H, W), to a list of logits
(N, ...). Where it has many outputs for an image (scales, patches), its score is their mean, as in
the losses. An image's gradient is taken of the batch's summed scores: layers that mix the batch's
images (minibatch standard deviation) add a little of their neighbours' to it, as in the sources'
code. Everything is a mean over images, so equal micro-batches or ranks average to the big batch.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from losses.precision import at_least_float32

Discriminator = Callable[[list[Tensor]], list[Tensor]]

_SMALLEST_SQUARE = 1e-12
"""Added below the root, whose own derivative is infinite at 0: a discriminator that starts flat
would otherwise turn into NaN."""


def gradient_penalty(
    discriminator: Discriminator,
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    epsilon: Tensor,
) -> Tensor:
    """Mean squared distance from 1 of the gradient's length, between real and generated images.

    (|grad score(x)| - 1)^2 at x = epsilon real + (1 - epsilon) fake. All scales of an image share
    its epsilon, so that they stay scales of one image, and their gradients form one vector: the
    score is a function of all scales together, and it is that function which is to be 1-Lipschitz.

    Args:
        discriminator: see the module.
        real: per scale (N, C, H, W).
        fake: the same shapes.
        epsilon: (N,) uniform in [0, 1], drawn by the caller.

    Returns:
        Scalar >= 0, differentiable with respect to the discriminator's parameters.

    Raises:
        ValueError: shapes that do not fit.

    Source: Gulrajani 2017, arXiv:1704.00028 (weight 10). Deviation from MSG-GAN, arXiv:1903.06048,
    which averages one penalty per scale: that asks for length sqrt(scales) of the whole gradient,
    and punishes a scale for which the discriminator does not care.
    """
    _check(real, fake, epsilon)
    between = []
    for one, other in zip(real, fake, strict=True):
        share = epsilon.to(at_least_float32(one)).view(-1, *[1] * (one.dim() - 1))
        between.append(at_least_float32(one) * share + at_least_float32(other) * (1 - share))
    squares = _squared_gradient(discriminator, between)
    return ((squares + _SMALLEST_SQUARE).sqrt() - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Sequence[Tensor]) -> Tensor:
    """Half the mean squared length of the score's gradient at real images.

    Args:
        discriminator: see the module.
        real: per scale (N, C, H, W); their gradients form one vector.

    Returns:
        Scalar >= 0; times gamma it is the source's gamma / 2 E|grad score|^2.

    Source: Mescheder 2018, arXiv:1801.04406 (gamma 10; StyleGAN2 scales it with the resolution).
    """
    return 0.5 * _squared_gradient(discriminator, real).mean()


def drift_penalty(real_logits: Sequence[Tensor]) -> Tensor:
    """Mean squared score of real images; keeps a Wasserstein critic's scores near 0.

    Args:
        real_logits: per scale (N, ...).

    Returns:
        Scalar >= 0: mean over patches and images, then over scales.

    Source: Karras 2018 (PGGAN), arXiv:1710.10196, appendix A.1 (weight 0.001).
    """
    return torch.stack([at_least_float32(real).square().mean() for real in real_logits]).mean()


def path_length_penalty(
    synthesis: Callable[[Tensor], Tensor],
    latents: Tensor,
    noise: Tensor,
    mean_length: Tensor,
    decay: float = 0.01,
    mean: Callable[[Tensor], Tensor] = torch.mean,
) -> tuple[Tensor, Tensor]:
    """How much a step's length in image space depends on position and direction in latent space.

    (|J^T y| - a)^2 with J the Jacobian of the image by the latent vector, y a noise image scaled by
    1 / sqrt(H W), and a the running mean of that length.

    Args:
        synthesis: latents to images (N, C, H, W).
        latents: (N, D), or (N, L, D) with one row per layer; lengths are over D, their squares
            averaged over L. With the mapping's graph they pass the penalty's gradient on to it.
        noise: (N, C, H, W) standard normal, drawn by the caller.
        mean_length: scalar a of the steps so far; 0 at the start.
        decay: how far a moves towards this batch's mean length.
        mean: mean of (N,) lengths over the global batch, see `unconditional.discriminator_loss`.
            Micro-batches move a one after the other, unlike the big batch.

    Returns:
        The penalty, a scalar >= 0 differentiable with respect to the generator's parameters, and
        the new mean length, detached, against which it was measured.

    Source: Karras 2020 (StyleGAN2), arXiv:1912.04958 (weight 2). Deviation: no gradient flows
    through the running mean, which is the target.
    """
    latents = at_least_float32(latents)
    if not latents.requires_grad:
        latents = latents.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(latents.device.type, enabled=False):
        images = synthesis(latents)
        scaled = noise.to(images) / (images.shape[-2] * images.shape[-1]) ** 0.5
        (gradient,) = torch.autograd.grad((images * scaled).sum(), latents, create_graph=True)
        squares = gradient.square().sum(dim=-1).reshape(len(latents), -1).mean(dim=1)
        lengths = (squares + _SMALLEST_SQUARE).sqrt()
        target = torch.lerp(mean_length.to(lengths), mean(lengths.detach()), decay)
        return (lengths - target).square().mean(), target


def _squared_gradient(discriminator: Discriminator, images: Sequence[Tensor]) -> Tensor:
    """(N,) squared length of the score's gradient by an image's scales, with its own graph."""
    inputs = [at_least_float32(image.detach()).requires_grad_() for image in images]
    with torch.enable_grad(), torch.autocast(inputs[0].device.type, enabled=False):
        logits = [at_least_float32(scale) for scale in discriminator(inputs)]
        scores = torch.stack([scale.reshape(len(scale), -1).mean(dim=1) for scale in logits])
        # A sum over images and a mean over scales: each image's gradient is of its own score.
        gradients = torch.autograd.grad(scores.mean(dim=0).sum(), inputs, create_graph=True)
        return torch.stack([g.square().flatten(1).sum(dim=1) for g in gradients]).sum(dim=0)


def _check(real: Sequence[Tensor], fake: Sequence[Tensor], epsilon: Tensor) -> None:
    shapes = [tuple(image.shape) for image in real]
    others = [tuple(image.shape) for image in fake]
    if not shapes or shapes != others:
        raise ValueError(
            f"gradient_penalty: real images are {shapes} and generated ones {others}, expected the "
            "same shapes, one per scale."
        )
    if epsilon.shape != (shapes[0][0],):
        raise ValueError(
            f"gradient_penalty: epsilon is {tuple(epsilon.shape)}, expected one number per image: "
            f"({shapes[0][0]},)."
        )

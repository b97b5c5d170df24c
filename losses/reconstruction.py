"""How far a generated image is from the real one: in pixels, and in a discriminator's features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from losses.precision import at_least_float32


def l1_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of two batches of images.

    Args:
        fake: (N, C, H, W) generated images.
        real: (N, C, H, W) real ones; no broadcasting.

    Returns:
        Scalar in [0, 2] for images in [-1, 1].

    Raises:
        ValueError: shapes that differ.

    Source: Isola et al. 2017, arXiv:1611.07004 (weight 100 there).
    """
    if fake.shape != real.shape:
        raise ValueError(
            f"l1_loss: generated images are {tuple(fake.shape)} and real ones {tuple(real.shape)}, "
            "expected the same shape."
        )
    return (at_least_float32(fake) - at_least_float32(real)).abs().mean()


def feature_matching_loss(
    real_features: Sequence[Sequence[Tensor]], fake_features: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Mean absolute difference of a discriminator's features of real and generated images.

    Real features are targets: no gradient flows into them. Every layer weighs the same, whatever
    its size, and so does every scale.

    Args:
        real_features: per scale, per layer (N, C, h, w).
        fake_features: the same for generated images.

    Returns:
        Scalar >= 0; 0 when all features agree.

    Raises:
        ValueError: other numbers of scales or layers.

    Source: Wang et al. 2018 (pix2pixHD), arXiv:1711.11585 (weight 10 there). Deviation: mean and
    not sum over scales, so that the weight does not depend on their number.
    """
    num_layers = [len(layers) for layers in real_features]
    if not num_layers or num_layers != [len(layers) for layers in fake_features]:
        raise ValueError(
            f"feature_matching_loss: real features have {num_layers} layers per scale, generated "
            f"ones {[len(layers) for layers in fake_features]}. Score both with the same "
            "discriminator."
        )
    scales = [
        torch.stack(
            [l1_loss(fake, real.detach()) for real, fake in zip(reals, fakes, strict=True)]
        ).mean()
        for reals, fakes in zip(real_features, fake_features, strict=True)
    ]
    return torch.stack(scales).mean()

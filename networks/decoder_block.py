"""What the Pix2Pix generator is built of on its way up: up-sampling, noise, normalisation."""

from typing import Literal

import torch
from torch import Tensor, nn

from networks.spade import SpatiallyAdaptiveNorm

NormalizationName = Literal["instance", "batch"]
UpsamplingName = Literal["transposed", "resize"]


class DecoderBlock(nn.Module):
    """Up-sampling, normalisation, noise map.

    The noise comes after the normalisation, where features have a known spread, so that its
    strength means the same in every block (StyleGAN2, arXiv:1912.04958, moved it likewise).

    Args:
        up: doubles height and width.
        norm: normalisation of its result, by the label map or not.
        num_out: channels of its result.
        pixel_noise: add a noise map, weighted per channel.
    """

    def __init__(self, up: nn.Module, norm: nn.Module, num_out: int, pixel_noise: bool) -> None:
        super().__init__()
        self.up = up
        self.norm = norm
        self.noise_strength = (
            nn.Parameter(torch.full((num_out, 1, 1), 0.1)) if pixel_noise else None
        )

    def forward(self, features: Tensor, labels: Tensor, noise_map: Tensor | None) -> Tensor:
        """Double features (N, C, h, w), given labels (N, L, H, W) and noise (N, 1, 2h, 2w)."""
        features = self.up(features)
        if isinstance(self.norm, SpatiallyAdaptiveNorm):
            features = self.norm(features, labels)
        else:
            features = self.norm(features)
        if self.noise_strength is not None and noise_map is not None:
            features = features + (self.noise_strength * noise_map).to(features.dtype)
        return features


def make_norm(name: NormalizationName, num_features: int, affine: bool = True) -> nn.Module:
    """Normalisation of `num_features` channels, with a learned scale and shift if `affine`."""
    if name == "instance":
        return nn.InstanceNorm2d(num_features, affine=affine)
    return nn.BatchNorm2d(num_features, affine=affine)


def make_upsampling(name: UpsamplingName, num_in: int, num_out: int, bias: bool) -> nn.Module:
    """Layer that doubles height and width: (N, num_in, h, w) to (N, num_out, 2h, 2w)."""
    if name == "transposed":
        return nn.ConvTranspose2d(num_in, num_out, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=bias),
    )

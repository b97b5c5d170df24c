"""Spatially adaptive normalisation: the label map sets scale and shift of every pixel."""

import torch.nn.functional as F
from torch import Tensor, nn


class SpatiallyAdaptiveNorm(nn.Module):
    """Parameter-free normalisation, then a scale and a shift computed from the label map.

    `norm(x) * (1 + gamma(labels)) + beta(labels)`. A normalisation layer washes out what a flat
    label region says; here the label is given again after each one.

    Args:
        num_features: C, channels of the features.
        label_channels: L, channels of the one-hot label map.
        norm: normalisation of C channels without parameters of its own.
        hidden_channels: width of the small convolution that reads the label map (128 in the paper;
            32 here, since a map of two organs says less than a street scene).

    Source: Park et al. 2019, arXiv:1903.07291. Deviation: the label map is brought to the features'
    size by averaging (share of each class) and not by nearest neighbour, which loses small tumours.
    """

    def __init__(
        self, num_features: int, label_channels: int, norm: nn.Module, hidden_channels: int = 32
    ) -> None:
        super().__init__()
        self.norm = norm
        self.shared = nn.Conv2d(label_channels, hidden_channels, 3, padding=1)
        self.gamma = nn.Conv2d(hidden_channels, num_features, 3, padding=1)
        self.beta = nn.Conv2d(hidden_channels, num_features, 3, padding=1)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Modulate features (N, C, h, w) by labels (N, L, H, W), where h <= H and w <= W."""
        shares = F.adaptive_avg_pool2d(labels, (features.shape[-2], features.shape[-1]))
        hidden = F.relu(self.shared(shares))
        modulated: Tensor = self.norm(features) * (1 + self.gamma(hidden)) + self.beta(hidden)
        return modulated

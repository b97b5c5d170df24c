"""Attention for GANs: over channels (squeeze and excitation), and over pixels."""

import torch
from torch import Tensor, nn

from networks.equalised import EqualisedConv2d, EqualisedLinear, at_least_float32


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate that is computed from the means of all channels.

    2 * sigmoid(W2 relu(W1 mean + b1) + b2), a gate in (0, 2). W2 and b2 start at 0, so every gate
    starts at 1 and the layer does nothing until it has learned to. The mean over pixels (the
    squeeze) is summed in float32, and the gates are computed with autocast off: bfloat16 would lose
    what tells one image's means from another's.

    Args:
        channels: C.
        reduction: C / reduction numbers pass the bottleneck, at least 4 so that narrow networks
            keep something to gate with.

    Source: Hu et al. 2018, arXiv:1709.01507. Deviations: the layers have an equalised learning
    rate, like all others here; and gates start at 1 and not around 1/2, in the manner of SAGAN's
    gamma. With no normalisation behind them to make up for it, gates of 1/2 would halve the
    discriminator's signal at each of up to nine resolutions: at first it would hardly see the
    largest image.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.reduce = EqualisedLinear(channels, hidden)
        self.expand = EqualisedLinear(hidden, channels, gain=1.0)
        nn.init.zeros_(self.expand.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape and type."""
        with torch.autocast(features.device.type, enabled=False):
            means = at_least_float32(features).mean(dim=(2, 3)).to(self.reduce.weight.dtype)
            gates = 2 * torch.sigmoid(self.expand(torch.relu(self.reduce(means))))
        return features * gates.to(features.dtype)[:, :, None, None]


class SelfAttention(nn.Module):
    """Let every pixel gather features from all pixels that resemble it, near or far.

    features + gamma * W_o (sum over pixels j of softmax_j(query_i . key_j) value_j). gamma starts
    at 0, where the layer does nothing, and is learned: near ties first, distant ones later.

    The map of H * W by H * W weights is computed in full and in float32 at least, since dot
    products are not scaled, and since torch's fused attention refuses the second derivative that a
    gradient penalty takes. It costs (H W)^2 * 4 bytes per image: 4 MiB at 32 pixels, 1 GiB at 128.

    Args:
        channels: C. Queries, keys and values have C / 8 channels, at least 1.

    Source: Zhang et al. 2019 (SAGAN), arXiv:1805.08318, section 3. Deviation: equalised learning
    rate in place of spectral normalisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 8, 1)
        self.query = EqualisedConv2d(channels, hidden, 1, gain=1.0)
        self.key = EqualisedConv2d(channels, hidden, 1, gain=1.0)
        self.value = EqualisedConv2d(channels, hidden, 1, gain=1.0)
        self.output = EqualisedConv2d(hidden, channels, 1, gain=1.0)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape and type."""
        queries, keys, values = (
            at_least_float32(layer(features).flatten(2))
            for layer in (self.query, self.key, self.value)
        )
        with torch.autocast(features.device.type, enabled=False):
            weights = (queries.transpose(1, 2) @ keys).softmax(dim=-1)
            gathered = values @ weights.transpose(1, 2)
        gathered = gathered.to(features.dtype).unflatten(2, features.shape[2:])
        return features + self.gamma.to(features.dtype) * self.output(gathered).to(features.dtype)

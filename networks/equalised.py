"""Layers of the progressive GAN: equalised learning rate, pixel norm, minibatch deviation."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAKY_RELU_GAIN = math.sqrt(2)
"""He gain before a (leaky) ReLU, as the paper takes it; 1 where the output stays linear."""

GROUP_SIZE = 4
"""Images whose spread minibatch deviation measures together."""

_EPSILON = 1e-8


class EqualisedConv2d(nn.Module):
    """Convolution of stride 1 that keeps height and width, with an equalised learning rate.

    The stored weights are N(0, 1) and multiplied by He's gain / sqrt(fan-in) at every call. Adam
    moves each stored weight by about the learning rate, so all layers, wide or narrow, then learn
    at the same relative speed. Biases start at 0 and are not scaled.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd, in pixels.
        gain: sqrt(2) before a leaky ReLU, 1 for a linear output.

    Attributes:
        scale: factor between stored and effective weights.

    Source: Karras et al. 2018, arXiv:1710.10196, section 4.1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, gain: float = LEAKY_RELU_GAIN
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.padding = kernel_size // 2
        self.scale: float = gain / math.sqrt(in_channels * kernel_size**2)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        return F.conv2d(features, self.weight * self.scale, self.bias, padding=self.padding)


class EqualisedLinear(nn.Module):
    """Fully connected layer with an equalised learning rate; see `EqualisedConv2d`."""

    def __init__(self, in_features: int, out_features: int, gain: float = LEAKY_RELU_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale: float = gain / math.sqrt(in_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_features) to (N, out_features)."""
        return F.linear(features, self.weight * self.scale, self.bias)


def at_least_float32(values: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def by_pixel(features: Tensor) -> Tensor:
    """On a CPU, features (N, C, H, W) laid out by pixel, and by channel within it.

    What follows keeps this layout, in which convolutions of few channels are faster on CPUs, and
    slower on GPUs. The numbers are the same.
    """
    if features.device.type != "cpu":
        return features
    # `contiguous` would leave a single channel, or a single pixel, in no layout at all.
    return features.clone(memory_format=torch.channels_last)


def pixel_norm(features: Tensor) -> Tensor:
    """Bring every pixel's feature vector to a mean square of 1, in float32 at least.

    x / sqrt(mean over channels of x^2 + 1e-8). It keeps the generator's signals from escalating in
    the race with the discriminator, and has no parameters.

    Args:
        features: (N, C, ...); a latent vector (N, C) is put on a sphere of radius sqrt(C).

    Returns:
        Shape and type of `features`.

    Source: Karras et al. 2018, arXiv:1710.10196, section 4.2.
    """
    exact = at_least_float32(features)
    mean_square = exact.square().mean(dim=1, keepdim=True)
    return (exact * (mean_square + _EPSILON).rsqrt()).to(features.dtype)


def minibatch_deviation(features: Tensor) -> Tensor:
    """Append one channel that says how much the images of a group differ from one another.

    Standard deviation over the group, sqrt(var + 1e-8) with the biased variance, for every channel
    and pixel; then its mean over channels and pixels, as a constant map. A discriminator that sees
    it notices a generator that always makes the same image. Computed in float32 at least.

    Groups are 4 images that follow one another in the batch. So a batch cut into micro-batches, or
    processes, of a multiple of 4 images has the same groups as the whole. When N is not a multiple
    of 4, the batch is cut into ceil(N / 4) groups as equal as can be, the larger ones first: 6 is
    3 + 3, and 7 is 4 + 3. Smaller groups have a smaller biased deviation: give the discriminator
    as many real images as generated ones, in calls of their own, since a mixed group tells them
    apart for nothing. A single image has none to differ from and gets 1e-4.

    Args:
        features: (N, C, H, W).

    Returns:
        (N, C + 1, H, W) of the same type.

    Source: Karras et al. 2018, arXiv:1710.10196, section 3. Deviation: the authors' groups are
    strided over the batch, and must divide it.
    """
    num_groups = math.ceil(len(features) / GROUP_SIZE)
    maps = []
    for group in at_least_float32(features).tensor_split(num_groups):
        variance = (group - group.mean(dim=0)).square().mean(dim=0)
        deviation = (variance + _EPSILON).sqrt().mean()
        maps.append(deviation.expand(len(group), 1, *features.shape[2:]))
    return torch.cat([features, torch.cat(maps).to(features.dtype)], dim=1)

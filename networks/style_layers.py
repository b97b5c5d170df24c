"""Layers of StyleGAN2: mapping network, modulated convolution, resampling without aliasing.

StyleGAN takes its mapping network and its filter from here as well.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.equalised import EqualisedConv2d, EqualisedLinear, at_least_float32, pixel_norm

_EPSILON = 1e-8
_SLOPE = 0.2
_GAIN = math.sqrt(2)


def activate(features: Tensor) -> Tensor:
    """Leaky ReLU (slope 0.2) times sqrt(2), so that its result is as spread as what went in.

    Large layers multiply smaller tensors by sqrt(2) instead, before or after: a leaky ReLU of a
    multiple is the multiple of the leaky ReLU.
    """
    return F.leaky_relu(features, _SLOPE) * _GAIN


class Blur(nn.Module):
    """Smooth by a separable filter in both directions; outside is 0.

    Args:
        padding: rows and columns of zeros on every side.
        gain: factor; 4 where every second row and column is 0 and shall be filled in.
        taps: the filter, k numbers, divided by their sum: StyleGAN2's; StyleGAN has [1, 2, 1].

    Source: Zhang 2019, arXiv:1904.11486; the filter of arXiv:1912.04958.
    """

    kernel: Tensor

    def __init__(
        self,
        padding: int,
        gain: float = 1.0,
        taps: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0),
    ) -> None:
        super().__init__()
        line = torch.tensor(taps) / sum(taps)
        self.register_buffer("kernel", gain * torch.outer(line, line), persistent=False)
        self.padding = padding

    def forward(self, features: Tensor, stride: int = 1) -> Tensor:
        """(N, C, H, W) to (N, C, H + 2 padding - k + 1, W + 2 padding - k + 1).

        With a stride of 2 every second row and column of that, from the first one on.
        """
        channels = features.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        return F.conv2d(features, kernel, padding=self.padding, stride=stride, groups=channels)


def enlarge_image(image: Tensor) -> Tensor:
    """Double height and width of (N, C, H, W) with the filter [1, 3, 3, 1] / 4.

    Bilinear interpolation, that is: 3/4 of the nearest pixel and 1/4 of the next. Written out,
    since the gradient of torch's own sums in changing order on a GPU, and a run must replay bit for
    bit. Deviation from the source: the border is repeated and not taken for 0, so that a flat image
    stays flat.
    """
    for dim in (-2, -1):
        size = image.shape[dim]
        before = torch.cat([image.narrow(dim, 0, 1), image.narrow(dim, 0, size - 1)], dim)
        after = torch.cat([image.narrow(dim, 1, size - 1), image.narrow(dim, size - 1, 1)], dim)
        pair = [0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after]
        image = torch.stack(pair, dim).flatten(dim - 1, dim)
    return image


class DownsamplingConv2d(EqualisedConv2d):
    """Blur, then convolution of stride 2: halves height and width, which must be even.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd, in pixels.
        bias: False leaves the bias out.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, gain=1.0)
        self.blur = Blur(padding=kernel_size // 2 + 1)
        if not bias:
            self.register_parameter("bias", None)

    def forward(self, features: Tensor, gain: float = 1.0) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H / 2, W / 2), of weights multiplied by `gain`."""
        weight = self.weight * (self.scale * gain)
        if self.padding == 0:  # one pixel wide: what the stride leaves out need not be blurred
            return F.conv2d(self.blur(features, stride=2), weight, self.bias)
        return F.conv2d(self.blur(features), weight, self.bias, stride=2)


class ModulatedConv2d(nn.Module):
    """Convolution whose weights the style scales per input channel, for every image anew.

    With weights w and the style's scales s, image n is convolved by w' = w * s[n], divided, if
    `demodulate`, by its norm over input channels and kernel, so that every output channel has unit
    spread whatever the style says. It takes the place of StyleGAN's instance normalisation, and of
    the blobs that this left in images.

    Computed as it is cheapest: scaling the input channels by s and the output channels by the
    norms is the same as scaling weights, with one convolution for the batch and not a group per
    image (see the source's appendix B). On one CPU thread, forward and backward took 0.2 to 1 times
    as long as with groups; at 128 channels 48 against 86 ms for 16 images of 16 pixels. On GPUs the
    source's authors train this way too.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd, in pixels.
        style_size: length of the style vector.
        demodulate: divide by the norm; not for the layer that makes an image.
        upsample: double height and width first: a transposed convolution of stride 2, then a blur.

    Source: Karras et al. 2020, arXiv:1912.04958, section 2.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_size: int,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.to_scales = EqualisedLinear(style_size, in_channels, gain=1.0)
        nn.init.ones_(self.to_scales.bias)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.weight_scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.demodulate = demodulate
        self.blur = Blur(padding=1, gain=4.0) if upsample else None

    def forward(self, features: Tensor, style: Tensor, gain: float = 1.0) -> Tensor:
        """Features (N, C_in, H, W) and style (N, style_size) to (N, C_out, H, W), or double.

        `gain` multiplies the result of a demodulated convolution.
        """
        weight = self.weight * self.weight_scale
        # Small matrices, whose rounding every pixel would inherit.
        with torch.autocast(features.device.type, enabled=False):
            scales = self.to_scales(at_least_float32(style))
            if self.demodulate:
                squares = weight.square().sum(dim=(2, 3))
                norms = (scales.square() @ squares.T + _EPSILON).rsqrt() * gain
        features = features * scales.to(features.dtype)[:, :, None, None]
        if self.blur is not None:
            features = F.conv_transpose2d(features, weight.transpose(0, 1), stride=2)
            features = self.blur(features)
        else:
            features = F.conv2d(features, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            features = features * norms.to(features.dtype)[:, :, None, None]
        return features


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        style_size: length of the style vector.
        upsample: double height and width.

    The noise is weighted by one learned strength, 0 at the start as in the source.
    """

    def __init__(
        self, in_channels: int, out_channels: int, style_size: int, upsample: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, 3, style_size, upsample=upsample)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, C_in, h, w), style (N, style_size), noise (N, 1, H, W) or none.

        Returns:
            (N, C_out, H, W), where H is h or, if up-sampling, 2 h.
        """
        features = self.conv(features, style, gain=_GAIN)
        if noise is not None:
            features = features + (self.noise_strength * _GAIN * noise).to(features.dtype)
        return F.leaky_relu(features + (self.bias * _GAIN).to(features.dtype), _SLOPE)


class ToImage(nn.Module):
    """What one resolution adds to the image: a modulated 1x1 convolution and a bias."""

    def __init__(self, in_channels: int, image_channels: int, style_size: int) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, image_channels, 1, style_size, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(image_channels, 1, 1))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, image_channels, H, W), float32 at least."""
        return at_least_float32(self.conv(features, style)) + self.bias


class MappingLayer(EqualisedLinear):
    """Fully connected layer that learns at a 100th of the others' rate.

    Stored weights are 100 times as large, and effective weights and biases a 100th of the stored
    ones, so one step of Adam changes them by a 100th.
    """

    learning_rate_factor = 0.01

    def __init__(self, size: int) -> None:
        super().__init__(size, size, gain=1.0)
        nn.init.normal_(self.weight, std=1 / self.learning_rate_factor)
        self.scale *= self.learning_rate_factor

    def forward(self, features: Tensor) -> Tensor:
        """(N, size) to (N, size)."""
        return F.linear(features, self.weight * self.scale, self.bias * self.learning_rate_factor)


class MappingNetwork(nn.Module):
    """z, normally distributed, to the style w, whose distribution is learnt.

    Args:
        style_size: length of z and of w.
        num_layers: fully connected layers; 0 leaves z normalised as it is.

    Source: Karras et al. 2019, arXiv:1812.04948, section 2.
    """

    def __init__(self, style_size: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MappingLayer(style_size) for _ in range(num_layers))

    def forward(self, z: Tensor) -> Tensor:
        """(N, style_size), of which only the direction matters, to (N, style_size) float32."""
        with torch.autocast(z.device.type, enabled=False):
            style = pixel_norm(at_least_float32(z))
            for layer in self.layers:
                style = activate(layer(style))
        return style


class ResidualBlock(nn.Module):
    """Two convolutions beside a straight way; both halve the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(in_channels, in_channels, 3, gain=1.0)
        self.second = DownsamplingConv2d(in_channels, out_channels, 3)
        self.straight = DownsamplingConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / 2, W / 2)."""
        # The sum of two has twice the variance and is divided by sqrt(2), which cancels the gain of
        # one activation; the other one's is in the weights that follow.
        bent = F.leaky_relu(self.first(features), _SLOPE)
        bent = F.leaky_relu(self.second(bent, gain=_GAIN), _SLOPE)
        total: Tensor = bent + self.straight(features, gain=1 / _GAIN)
        return total

"""StyleGAN, the first: a growing generator steered by styles, and its discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.enlargement import Enlargement
from networks.equalised import EqualisedConv2d, EqualisedLinear, at_least_float32, by_pixel
from networks.growth import SMALLEST_RESOLUTION, Growth, growth_within
from networks.pggan import PGGANDiscriminator
from networks.progressive_blocks import DiscriminatorBlock
from networks.style_generator import StyledNetwork
from networks.style_layers import Blur

_EPSILON = 1e-8
_BINOMIAL = (1.0, 2.0, 1.0)


class AdaptiveInstanceNorm(nn.Module):
    """Bring every feature map to mean 0 and variance 1, then to the style's own.

    y = (1 + scale) * (x - mean(x)) / sqrt(var(x) + 1e-8) + shift, with scale and shift one learned
    affine function of the style, so that 0 changes nothing. In float32 at least.

    Args:
        channels: C.
        style_size: length of the style vector.

    Source: Karras et al. 2019, arXiv:1812.04948, equation 1, after Huang 2017, arXiv:1703.06868.
    """

    def __init__(self, channels: int, style_size: int) -> None:
        super().__init__()
        self.to_style = EqualisedLinear(style_size, 2 * channels, gain=1.0)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Features (N, C, H, W) and style (N, style_size) to (N, C, H, W)."""
        with torch.autocast(features.device.type, enabled=False):
            exact = at_least_float32(features)
            centred = exact - exact.mean(dim=(2, 3), keepdim=True)
            variance = centred.square().mean(dim=(2, 3), keepdim=True)
            pair = self.to_style(at_least_float32(style))[:, :, None, None]
            scale, shift = pair.chunk(2, dim=1)
            styled = centred * (variance + _EPSILON).rsqrt() * (1 + scale) + shift
        return styled.to(features.dtype)


class StyledLayer(nn.Module):
    """Convolution, noise, bias, leaky ReLU, adaptive instance norm.

    Args:
        in_channels: C_in; None for a layer without a convolution, the first after the constant.
        out_channels: C_out.
        style_size: length of the style vector.
        upsample: double height and width by nearest neighbours before the convolution, and smooth
            by [1, 2, 1] / 4 after it.

    The noise has a learned strength per channel, 0 at the start as in the source's code.
    """

    def __init__(
        self, in_channels: int | None, out_channels: int, style_size: int, upsample: bool = False
    ) -> None:
        super().__init__()
        self.conv = None
        if in_channels is not None:
            self.conv = EqualisedConv2d(in_channels, out_channels, 3)
            self.conv.register_parameter("bias", None)  # it follows the smoothing and the noise
        self.blur = Blur(padding=1, taps=_BINOMIAL) if upsample else None
        self.noise_strength = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.norm = AdaptiveInstanceNorm(out_channels, style_size)

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features (N, C_in, h, w), style (N, style_size), noise (N, 1, H, W) or none.

        Returns:
            (N, C_out, H, W), where H is h or, if up-sampling, 2 h.
        """
        if self.blur is not None:
            features = F.interpolate(features, scale_factor=2.0, mode="nearest")
        if self.conv is not None:
            features = self.conv(features)
        if self.blur is not None:
            features = self.blur(features)
        if noise is not None:
            features = features + self.noise_strength * noise
        features = F.leaky_relu(features + self.bias, 0.2)
        styled: Tensor = self.norm(features, style)
        return styled


class StyleGANGenerator(StyledNetwork):
    """Generator of StyleGAN, which grows from 4 pixels as PGGAN's does (`Growth`).

    A learned constant goes through two layers per resolution, each with noise of its own and with
    its mean and variance set by the style. Latents, style mixing and truncation are those of
    `StyledNetwork`. While a stage fades in, its image is mixed with the enlarged image of the stage
    before; parameters that a stage does not use get no gradient.

    Args, attributes, errors: those of `StyledNetwork`.

    Source: Karras et al. 2019, arXiv:1812.04948, configuration F: 26.2 M parameters at 1024 pixels
    and 3 channels (table 1 and section 2), without the layers that make the images of smaller
    stages.
    """

    enlargement = Enlargement()

    def make_layers(self, channels: list[int]) -> None:
        """Two styled layers and an image output at every resolution."""
        style_size = self.style_size
        self.constant = nn.Parameter(torch.ones(1, channels[0], *[SMALLEST_RESOLUTION] * 2))
        inputs = [None, *channels[:-1]]
        self.first = nn.ModuleList(
            StyledLayer(num_in, num_out, style_size, upsample=num_in is not None)
            for num_in, num_out in zip(inputs, channels, strict=True)
        )
        self.second = nn.ModuleList(StyledLayer(count, count, style_size) for count in channels)
        self.to_images = nn.ModuleList(
            EqualisedConv2d(count, self.image_channels, 1, gain=1.0) for count in channels
        )

    def layers_at(self, growth: Growth | None) -> int:
        """Layers that a stage of growth has: two per resolution."""
        return 2 * (growth_within(growth, self.image_size).stage + 1)

    def synthesis(
        self, styles: Tensor, noise: Tensor | None, growth: Growth | None = None
    ) -> Tensor:
        """Image (N, image_channels, r, r) of given styles, at r = growth.resolution.

        Args:
            styles: w (N, num_layers, style_size); a stage reads the first of them.
            noise: (N, noise_size); None for none.
            growth: stage to compute; None for fully grown.

        Raises:
            ValueError: a stage beyond the image size.
        """
        growth = growth_within(growth, self.image_size)
        maps, of_layer = self.noise_maps(noise), styles.unbind(1)
        before = features = by_pixel(self.constant.expand(len(styles), -1, -1, -1))
        for stage in range(growth.stage + 1):
            before, layer = features, 2 * stage
            features = self.first[stage](features, of_layer[layer], maps[layer])
            features = self.second[stage](features, of_layer[layer + 1], maps[layer + 1])
        image = at_least_float32(self.to_images[growth.stage](features))
        if growth.alpha < 1:
            smaller = at_least_float32(self.to_images[growth.stage - 1](before))
            enlarged = F.interpolate(smaller, scale_factor=2.0, mode="nearest")
            image = torch.lerp(enlarged, image, growth.alpha)
        return image


class SmoothingDiscriminatorBlock(DiscriminatorBlock):
    """PGGAN's block with a filter [1, 2, 1] / 4 before the features are halved."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__(num_in, num_out)
        self.blur = Blur(padding=1, taps=_BINOMIAL)

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_in, H, W) to (N, num_out, H / 2, W / 2)."""
        features = self.blur(F.leaky_relu(self.first(features), 0.2))
        return F.leaky_relu(F.avg_pool2d(self.second(features), 2), 0.2)


class StyleGANDiscriminator(PGGANDiscriminator):
    """Discriminator of StyleGAN: PGGAN's, which smooths before it halves.

    Args, errors, growth: those of `PGGANDiscriminator`.

    Source: Karras et al. 2019, arXiv:1812.04948, section 2 (configuration B) and appendix C.
    """

    block = SmoothingDiscriminatorBlock

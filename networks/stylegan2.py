"""StyleGAN2: a generator steered by styles, and its residual discriminator."""

import itertools

import torch
from torch import Tensor, nn

from networks.enlargement import Enlargement
from networks.equalised import (
    GROUP_SIZE,
    EqualisedConv2d,
    EqualisedLinear,
    at_least_float32,
    by_pixel,
    minibatch_deviation,
)
from networks.growth import SMALLEST_RESOLUTION, Growth
from networks.progressive_blocks import (
    channels_of_stages,
    check_images,
)
from networks.style_generator import StyledNetwork
from networks.style_layers import (
    ResidualBlock,
    StyledConv,
    ToImage,
    activate,
    enlarge_image,
)


class StyleGAN2Generator(StyledNetwork):
    """Generator of StyleGAN2, with image outputs at every resolution that add up (skips).

    w says in every layer how channels are scaled (`ModulatedConv2d`). Latents, style mixing and
    truncation are those of `StyledNetwork`.

    Args, errors: those of `StyledNetwork`. The source's config F has width=1024, max_channels=512.

    Attributes:
        noise_size: numbers of all noise maps together; 699,024 at 512 pixels, 2.8 MB.

    Images are linear outputs, not squashed: training data in [-1, 1] keep them near that range,
    and whoever stores an image clamps it.

    Source: Karras et al. 2020, arXiv:1912.04958; 30.37 M parameters at 1024 pixels and 3 channels
    in config F, as its authors print. Deviation: the smaller image is enlarged with its border
    repeated (`enlarge_image`).
    """

    # An image is the sum of what each resolution adds to the enlarged one below.
    enlargement = Enlargement(zero=("to_images.*.conv.weight",))

    maps_of_first = 1

    def make_layers(self, channels: list[int]) -> None:
        """A styled convolution at 4 pixels, two and an image output at every resolution."""
        style_size = self.style_size
        self.constant = nn.Parameter(torch.randn(1, channels[0], *[SMALLEST_RESOLUTION] * 2))
        self.first = StyledConv(channels[0], channels[0], style_size)
        self.enlarging = nn.ModuleList(
            StyledConv(num_in, num_out, style_size, upsample=True)
            for num_in, num_out in itertools.pairwise(channels)
        )
        self.refining = nn.ModuleList(
            StyledConv(count, count, style_size) for count in channels[1:]
        )
        self.to_images = nn.ModuleList(
            ToImage(count, self.image_channels, style_size) for count in channels
        )

    def synthesis(
        self, styles: Tensor, noise: Tensor | None, growth: Growth | None = None
    ) -> Tensor:
        """Image (N, image_channels, image_size, image_size) of given styles.

        Args:
            styles: w (N, num_layers, style_size); the image of a resolution and the first layer of
                the next one share a style.
            noise: (N, noise_size); None for none.
            growth: ignored, since all resolutions are trained at once.
        """
        maps = self.noise_maps(noise)
        of_layer = styles.unbind(1)
        features = by_pixel(self.constant.expand(len(styles), -1, -1, -1))
        features = self.first(features, of_layer[0], maps[0])
        image: Tensor = self.to_images[0](features, of_layer[1])
        for block, (enlarge, refine) in enumerate(zip(self.enlarging, self.refining, strict=True)):
            layer = 2 * block + 1
            features = enlarge(features, of_layer[layer], maps[layer])
            features = refine(features, of_layer[layer + 1], maps[layer + 1])
            to_image = self.to_images[block + 1]
            image = enlarge_image(image) + to_image(features, of_layer[layer + 2])
        return image


class StyleGAN2Discriminator(nn.Module):
    """Residual discriminator of StyleGAN2.

    Minibatch deviation ties the images of a call together, in groups of 4 (see
    `minibatch_deviation`): real and generated images go in calls of their own.

    Args:
        image_size: height and width in pixels, a power of two from 8 up.
        image_channels: channels of the image.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`. 512
            with width=1024 is the source's config F.

    Raises:
        ValueError: settings out of range.

    Source: Karras et al. 2020, arXiv:1912.04958; 29.01 M parameters at 1024 pixels and 3 channels
    in config F, as its authors print.
    """

    enlargement = Enlargement(largest_first=("blocks",), of_largest=("from_image",))
    group_of_images = GROUP_SIZE
    """Images of a call that are compared; a part of a batch should have a multiple of them."""

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        width: int = 512,
        max_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            "StyleGAN2Discriminator", image_size, image_channels, width, max_channels
        )
        self.image_size = image_size
        self.image_channels = image_channels
        channels.reverse()
        last = channels[-1]
        self.from_image = EqualisedConv2d(image_channels, channels[0], 1, gain=1.0)
        self.blocks = nn.ModuleList(map(ResidualBlock, channels, channels[1:]))
        self.conv = EqualisedConv2d(last + 1, last, 3, gain=1.0)
        self.linear = EqualisedLinear(last * SMALLEST_RESOLUTION**2, last, gain=1.0)
        self.to_logit = EqualisedLinear(last, 1, gain=1.0)

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Score images.

        Args:
            images: one tensor (N, image_channels, image_size, image_size).
            growth: ignored, since all resolutions are trained at once.

        Returns:
            One tensor of logits (N, 1), float32 at least.

        Raises:
            ValueError: images of another shape.
        """
        check_images("StyleGAN2Discriminator", images, self.image_channels, [self.image_size])
        features = activate(self.from_image(by_pixel(images[0])))
        for block in self.blocks:
            features = block(features)
        features = activate(self.conv(minibatch_deviation(features)))
        features = activate(self.linear(features.flatten(1)))
        return [at_least_float32(self.to_logit(features))]

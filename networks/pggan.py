"""Progressive growing GAN: generator and discriminator that grow from 4 pixels to full size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.enlargement import Enlargement
from networks.equalised import EqualisedConv2d, at_least_float32, by_pixel
from networks.growth import Growth, growth_within
from networks.progressive_blocks import (
    DiscriminatorBlock,
    DiscriminatorHead,
    GeneratorBlock,
    GeneratorStem,
    channels_of_stages,
    check_images,
    check_latent,
    draw_latents,
)


class PGGANGenerator(nn.Module):
    """Generator of the progressive GAN, with true growth: a stage computes its own layers only.

    `forward` is told the stage (`Growth`); the network holds all stages from the start, so its
    `state_dict` and an optimiser's state do not change with growth. Parameters that a stage does
    not use get no gradient (None, not zero), so Adam leaves them alone. While a stage fades in,
    its image is mixed with the enlarged image of the stage before.

    Args:
        image_size: height and width in pixels when fully grown, a power of two from 8 up.
        image_channels: channels of the image; 1 for films.
        latent_size: length of the latent vector.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`.

    Images are linear outputs, not squashed: training data in [-1, 1] keep them near that range,
    and whoever stores an image clamps it.

    Raises:
        ValueError: settings out of range.

    Source: Karras et al. 2018, arXiv:1710.10196, table 2: 23.1 M parameters at 1024 pixels, without
    the layers that make the images of smaller stages. Deviation: the first layer has He's gain; the
    authors' is a quarter of it.
    """

    enlargement = Enlargement()

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        latent_size: int = 512,
        width: int = 512,
        max_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            "PGGANGenerator", image_size, image_channels, width, max_channels
        )
        self.image_size = image_size
        self.image_channels = image_channels
        self.latent_size = latent_size
        self.stem = GeneratorStem(latent_size, channels[0])
        self.blocks = nn.ModuleList(map(GeneratorBlock, channels, channels[1:]))
        self.to_images = nn.ModuleList(
            EqualisedConv2d(count, image_channels, 1, gain=1.0) for count in channels
        )

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latent vectors (count, latent_size); see `draw_latents`."""
        return draw_latents(count, self.latent_size, generator)

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        """Make one image per latent vector.

        Args:
            latent: (N, latent_size); only its direction matters.
            growth: stage to compute; None for fully grown.

        Returns:
            One tensor (N, image_channels, r, r) at r = growth.resolution, float32 at least.

        Raises:
            ValueError: a latent of another length, or a stage beyond the image size.
        """
        growth = growth_within(growth, self.image_size)
        check_latent(latent, self.latent_size)
        before = features = self.stem(latent)
        for block in self.blocks[: growth.stage]:
            before, features = features, block(features)
        image = at_least_float32(self.to_images[growth.stage](features))
        if growth.alpha < 1:
            smaller = at_least_float32(self.to_images[growth.stage - 1](before))
            enlarged = F.interpolate(smaller, scale_factor=2.0, mode="nearest")
            image = torch.lerp(enlarged, image, growth.alpha)
        return [image]


class PGGANDiscriminator(nn.Module):
    """Discriminator of the progressive GAN, the generator's mirror image; see there for growth.

    While a stage fades in, the features of its newest block are mixed with those that the stage
    before makes of the halved image. Minibatch deviation ties the images of a call together, in
    groups of 4 (see `minibatch_deviation`).

    Args:
        image_size: height and width in pixels when fully grown, a power of two from 8 up.
        image_channels: channels of the image.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`.

    Raises:
        ValueError: settings out of range.

    Source: Karras et al. 2018, arXiv:1710.10196, table 2: 23.1 M parameters at 1024 pixels.
    """

    enlargement = Enlargement()
    block: type[DiscriminatorBlock] = DiscriminatorBlock

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        width: int = 512,
        max_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            type(self).__name__, image_size, image_channels, width, max_channels
        )
        self.image_size = image_size
        self.image_channels = image_channels
        self.from_images = nn.ModuleList(
            EqualisedConv2d(image_channels, count, 1) for count in channels
        )
        self.blocks = nn.ModuleList(map(self.block, channels[1:], channels))
        self.head = DiscriminatorHead(channels[0])

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Score images.

        Args:
            images: one tensor (N, image_channels, r, r) at r = growth.resolution.
            growth: stage to compute; None for fully grown.

        Returns:
            One tensor of logits (N, 1), float32 at least.

        Raises:
            ValueError: images of another shape, or a stage beyond the image size.
        """
        growth = growth_within(growth, self.image_size)
        check_images(type(self).__name__, images, self.image_channels, [growth.resolution])
        image = by_pixel(images[0])
        features = F.leaky_relu(self.from_images[growth.stage](image), 0.2)
        for stage in range(growth.stage, 0, -1):
            features = self.blocks[stage - 1](features)
            if stage == growth.stage and growth.alpha < 1:
                halved = F.avg_pool2d(image, 2)
                before = F.leaky_relu(self.from_images[stage - 1](halved), 0.2)
                features = torch.lerp(before, features, growth.alpha)
        return [self.head(features)]

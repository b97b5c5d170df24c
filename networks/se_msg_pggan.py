"""Multi-scale progressive GAN with attention: every resolution makes an image that is judged."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.attention import SelfAttention, SqueezeExcitation
from networks.enlargement import Enlargement
from networks.equalised import EqualisedConv2d, at_least_float32, by_pixel
from networks.growth import Growth
from networks.progressive_blocks import (
    DiscriminatorBlock,
    DiscriminatorHead,
    GeneratorBlock,
    GeneratorStem,
    channels_of_stages,
    check_images,
    check_latent,
    draw_latents,
    resolutions_up_to,
)

AttentionName = Literal["none", "se", "self"]


class MultiScaleGenerator(nn.Module):
    """Generator of the progressive GAN that shows an image at every resolution, without growth.

    A 1x1 convolution makes an image of each block's features, from 4 pixels to full size. All of
    them go into `MultiScaleDiscriminator`, so every block gets a gradient of its own at every step,
    and nothing needs to be grown or faded in.

    Args:
        image_size: height and width in pixels of the largest image, a power of two from 8 up.
        image_channels: channels of the images; 1 for films (the paper copies grey to 3).
        latent_size: length of the latent vector.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`.
        attention: between the two layers of blocks: "se", squeeze and excitation in every block
            (paper); "self", self-attention in one block; "none".
        self_attention_resolution: pixels of the block that has the self-attention.

    Images are linear outputs, not squashed, as in PGGAN and in MSG-GAN's code: training data in
    [-1, 1] keep them near that range, and whoever stores an image clamps it.

    Raises:
        ValueError: settings out of range.

    Source: Ko et al. 2020 (`docs/papers.md`). Blocks of Karras et al. 2018, arXiv:1710.10196;
    multi-scale gradients of Karnewar and Wang 2020, arXiv:1903.06048. Ko et al. name no widths, and
    say of the attention only that it is in "the middle layer" of a resolution: here it stands
    between a block's two layers, in both networks.
    """

    enlargement = Enlargement()

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        latent_size: int = 512,
        width: int = 512,
        attention: AttentionName = "se",
        self_attention_resolution: int = 32,
        max_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            "MultiScaleGenerator", image_size, image_channels, width, max_channels
        )
        _check_attention("MultiScaleGenerator", attention, self_attention_resolution, image_size)
        self.image_size = image_size
        self.image_channels = image_channels
        self.latent_size = latent_size
        sides = resolutions_up_to(image_size)
        middles = [
            _make_attention(attention, count, side == self_attention_resolution)
            for side, count in zip(sides, channels, strict=True)
        ]
        self.stem = GeneratorStem(latent_size, channels[0], middles[0])
        self.blocks = nn.ModuleList(map(GeneratorBlock, channels, channels[1:], middles[1:]))
        self.to_images = nn.ModuleList(
            EqualisedConv2d(count, image_channels, 1, gain=1.0) for count in channels
        )

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latent vectors (count, latent_size); see `draw_latents`."""
        return draw_latents(count, self.latent_size, generator)

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        """Make one image per latent vector and resolution.

        Args:
            latent: (N, latent_size); only its direction matters.
            growth: None; here for the sake of a common signature.

        Returns:
            (N, image_channels, r, r) for r = image_size, image_size / 2, ..., 4; float32 at least.

        Raises:
            ValueError: a latent of another length, or a stage of growth.
        """
        _check_no_growth("MultiScaleGenerator", growth)
        check_latent(latent, self.latent_size)
        features = self.stem(latent)
        images = [at_least_float32(self.to_images[0](features))]
        for block, to_image in zip(self.blocks, self.to_images[1:], strict=True):
            features = block(features)
            images.append(at_least_float32(to_image(features)))
        return images[::-1]


class MultiScaleDiscriminator(nn.Module):
    """Discriminator that sees an image at every resolution and gives one logit for all of them.

    Each smaller image enters by a 1x1 convolution and is concatenated with the features that come
    down from the resolution above (MSG-GAN's "lin_cat"). Each brings half of the channels, as in
    the authors' code, so the widths stay those of the progressive GAN. Real images come as an
    `image_pyramid`. Minibatch deviation ties the images of a call together, in groups of 4 (see
    `minibatch_deviation`).

    Args:
        image_size: height and width in pixels of the largest image, a power of two from 8 up.
        image_channels: channels of the images.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`.
        attention: see `MultiScaleGenerator`; both networks have it, as in SAGAN.
        self_attention_resolution: pixels of the block that has the self-attention.

    Raises:
        ValueError: settings out of range.

    Source: see `MultiScaleGenerator`. Deviation: a leaky ReLU follows the 1x1 convolutions, as in
    the progressive GAN. Of a grey image, linear ones would all be the same picture.
    """

    enlargement = Enlargement(of_largest=("from_images",))

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        width: int = 512,
        attention: AttentionName = "se",
        self_attention_resolution: int = 32,
        max_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            "MultiScaleDiscriminator", image_size, image_channels, width, max_channels
        )
        _check_attention(
            "MultiScaleDiscriminator", attention, self_attention_resolution, image_size
        )
        self.image_size = image_size
        self.image_channels = image_channels
        sides = resolutions_up_to(image_size)
        from_above = [count // 2 for count in channels[:-1]] + [0]
        middles = [
            _make_attention(attention, count, side == self_attention_resolution)
            for side, count in zip(sides, channels, strict=True)
        ]
        self.from_images = nn.ModuleList(
            EqualisedConv2d(image_channels, count - others, 1)
            for count, others in zip(channels, from_above, strict=True)
        )
        self.blocks = nn.ModuleList(map(DiscriminatorBlock, channels[1:], from_above, middles[1:]))
        self.head = DiscriminatorHead(channels[0], middles[0])
        self._sides = sides[::-1]

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Score images that come at every resolution.

        Args:
            images: (N, image_channels, r, r) for r = image_size, image_size / 2, ..., 4.
            growth: None; here for the sake of a common signature.

        Returns:
            One tensor of logits (N, 1), float32 at least.

        Raises:
            ValueError: images of another shape or number, or a stage of growth.
        """
        _check_no_growth("MultiScaleDiscriminator", growth)
        check_images("MultiScaleDiscriminator", images, self.image_channels, self._sides)
        smallest_first = [
            F.leaky_relu(from_image(by_pixel(image)), 0.2)
            for from_image, image in zip(self.from_images, images[::-1], strict=True)
        ]
        features = smallest_first.pop()
        for block, entering in zip(
            reversed(list(self.blocks)), reversed(smallest_first), strict=True
        ):
            features = torch.cat([block(features), entering], dim=1)
        return [self.head(features)]


def _make_attention(attention: AttentionName, channels: int, here: bool) -> nn.Module | None:
    if attention == "se":
        return SqueezeExcitation(channels)
    return SelfAttention(channels) if attention == "self" and here else None


def _check_attention(network: str, attention: str, resolution: int, image_size: int) -> None:
    if attention not in ("none", "se", "self"):
        raise ValueError(f"{network}: attention is {attention!r}, expected 'none', 'se' or 'self'.")
    if attention == "self" and resolution not in resolutions_up_to(image_size):
        raise ValueError(
            f"{network}: self_attention_resolution is {resolution}, expected a resolution of the "
            f"network: one of {resolutions_up_to(image_size)}."
        )


def _check_no_growth(network: str, growth: Growth | None) -> None:
    if growth is not None:
        raise ValueError(
            f"{network} does not grow: all its resolutions learn at once. Leave growth out, or "
            "train the networks of networks.pggan."
        )

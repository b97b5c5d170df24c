"""StyleGAN2: a generator steered by styles, and its residual discriminator."""

import itertools
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.equalised import (
    GROUP_SIZE,
    EqualisedConv2d,
    EqualisedLinear,
    at_least_float32,
    minibatch_deviation,
)
from networks.growth import SMALLEST_RESOLUTION, Growth
from networks.progressive_blocks import (
    channels_of_stages,
    check_images,
    check_latent,
    draw_latents,
    resolutions_up_to,
)
from networks.style_layers import (
    MappingNetwork,
    ResidualBlock,
    StyledConv,
    ToImage,
    activate,
    enlarge_image,
)

_MIXING_PROBABILITY = 0.9
_AVERAGE_DECAY = 0.998


class LatentParts(NamedTuple):
    """What a row of the generator's latent holds, in this order."""

    z: Tensor
    """(N, style_size): the style."""
    other_z: Tensor
    """(N, style_size): the style that takes over from the crossover on."""
    crossover: Tensor
    """(N, 1): the normal number that says where, if at all; see `StyleGAN2Generator.crossover`."""
    noise: Tensor
    """(N, noise_size): the noise maps of all layers, flat."""


class StyleGAN2Generator(nn.Module):
    """Generator of StyleGAN2, with image outputs at every resolution that add up (skips).

    z goes through a mapping network to w; w says in every layer how channels are scaled
    (`ModulatedConv2d`); every layer adds noise of its own, for grain that no style needs to store.

    All randomness comes in with the latent, a row per image (see `LatentParts` and `draw_latent`):
    style, second style and crossover of style mixing, and the noise maps. The network draws
    nothing itself: the same weights and row give the same image, whatever else is in the batch.

    In training mode only, styles are mixed: with probability 0.9 the layers from a random one on
    take the second style, so that layers do not rely on each other's; and `forward` moves
    `average_style`, the running mean of w towards which `truncation` pulls. Each call counts once,
    so processes with equal shares, their buffers averaged, stay equal to one with all images.

    Args:
        image_size: height and width in pixels, a power of two from 8 up.
        image_channels: channels of the image; 1 for films.
        style_size: length of z and of w.
        width: channels at 32 pixels; every doubling beyond halves them.
        max_channels: channels that smaller resolutions double up to; None: they have `width`. 512
            with width=1024 is the source's config F.
        mapping_layers: layers of the mapping network; its learning rate is a 100th.
        mixing: mix styles in training mode.

    Attributes:
        latent_size: numbers in a row: 2 * style_size + 1 + noise_size.
        noise_size: numbers of all noise maps together; 699,024 at 512 pixels, 2.8 MB.
        num_layers: L, styles that one image takes: two per resolution.

    Images are linear outputs, not squashed: training data in [-1, 1] keep them near that range,
    and whoever stores an image clamps it.

    Raises:
        ValueError: settings out of range.

    Source: Karras et al. 2020, arXiv:1912.04958; 30.37 M parameters at 1024 pixels and 3 channels
    in config F, as its authors print. Deviation: the smaller image is enlarged with its border
    repeated (`enlarge_image`).
    """

    average_style: Tensor

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        style_size: int = 512,
        width: int = 512,
        max_channels: int | None = None,
        mapping_layers: int = 8,
        mixing: bool = True,
    ) -> None:
        super().__init__()
        channels = channels_of_stages(
            "StyleGAN2Generator", image_size, image_channels, width, max_channels
        )
        _check_positive("StyleGAN2Generator", style_size=style_size)
        self.image_size = image_size
        self.image_channels = image_channels
        self.style_size = style_size
        self.mixing = mixing
        sides = resolutions_up_to(image_size)
        self.mapping_network = MappingNetwork(style_size, mapping_layers)
        self.register_buffer("average_style", torch.zeros(style_size))
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
            ToImage(count, image_channels, style_size) for count in channels
        )
        self.num_layers = 2 * len(sides)
        self._noise_sides = [sides[0], *(side for side in sides[1:] for _ in range(2))]
        self.noise_size: int = sum(side**2 for side in self._noise_sides)
        self.latent_size: int = 2 * style_size + 1 + self.noise_size

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Rows (count, latent_size) of standard normal numbers; see `draw_latents`."""
        return draw_latents(count, self.latent_size, generator)

    def split_latent(self, latent: Tensor) -> LatentParts:
        """Name the parts of latent rows (N, latent_size)."""
        check_latent(latent, self.latent_size)
        sizes = [self.style_size, self.style_size, 1, self.noise_size]
        return LatentParts(*latent.split(sizes, dim=1))

    def noise_of(self, latent: Tensor) -> Tensor:
        """The noise maps (N, noise_size) of latent rows (N, latent_size)."""
        return self.split_latent(latent).noise

    def forward(
        self, latent: Tensor, growth: Growth | None = None, truncation: float = 1.0
    ) -> list[Tensor]:
        """Make one image per row.

        Args:
            latent: (N, latent_size) from `draw_latent`.
            growth: ignored, since all resolutions are trained at once.
            truncation: share of the way from the average style to the image's own; below 1 images
                are more usual and less varied, at 0 all have the average style.

        Returns:
            One tensor (N, image_channels, image_size, image_size), float32 at least.

        Raises:
            ValueError: a latent of another length.
        """
        styles = self.mapping(latent, truncation)
        if self.training:
            # The first layer's style is never the mixed one.
            mean = styles[:, 0].detach().mean(dim=0)
            self.average_style.lerp_(mean.to(self.average_style.dtype), 1 - _AVERAGE_DECAY)
        return [self.synthesis(styles, self.noise_of(latent))]

    def mapping(self, latent: Tensor, truncation: float = 1.0) -> Tensor:
        """Styles w (N, num_layers, style_size) of latent rows, mixed in training mode.

        `synthesis(mapping(latent), noise_of(latent))` is `forward`'s image: between the two lies
        what path length regularisation differentiates by.
        """
        parts = self.split_latent(latent)
        if self.training and self.mixing:
            both = self.mapping_network(torch.cat([parts.z, parts.other_z]))
            style, other = both.unsqueeze(1).chunk(2)
            layers = torch.arange(self.num_layers, device=latent.device)
            is_own = layers < self.crossover(parts.crossover)
            styles = torch.where(is_own.unsqueeze(2), style, other)
        else:
            styles = self.mapping_network(parts.z).unsqueeze(1).expand(-1, self.num_layers, -1)
        if truncation == 1:
            return styles
        return torch.lerp(self.average_style.to(styles.dtype), styles, truncation)

    def crossover(self, normal: Tensor) -> Tensor:
        """First layer (N, 1) with the second style; num_layers where styles are not mixed.

        Args:
            normal: (N, 1) standard normal numbers. Compared with quantiles, and not turned into
                uniform ones, so that devices agree.
        """
        choices = self.num_layers - 1
        crossover = torch.ones_like(normal, dtype=torch.long)
        for choice in range(1, choices + 1):
            quantile = NormalDist().inv_cdf(_MIXING_PROBABILITY * choice / choices)
            crossover += normal > quantile
        return crossover

    def synthesis(self, styles: Tensor, noise: Tensor | None) -> Tensor:
        """Image (N, image_channels, image_size, image_size) of given styles.

        Args:
            styles: w (N, num_layers, style_size); the image of a resolution and the first layer of
                the next one share a style.
            noise: (N, noise_size); None for none.
        """
        maps: list[Tensor | None] = [None] * len(self._noise_sides)
        if noise is not None:
            flat_maps = noise.split([side**2 for side in self._noise_sides], dim=1)
            maps = [
                flat.unflatten(1, (1, side, side))
                for flat, side in zip(flat_maps, self._noise_sides, strict=True)
            ]
        of_layer = styles.unbind(1)
        features = self.constant.expand(len(styles), -1, -1, -1)
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
        features = activate(self.from_image(images[0]))
        for block in self.blocks:
            features = block(features)
        features = activate(self.conv(minibatch_deviation(features)))
        features = activate(self.linear(features.flatten(1)))
        return [at_least_float32(self.to_logit(features))]


def _check_positive(network: str, **settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{network}: {name} is {value}, expected at least 1.")

"""What StyleGAN and StyleGAN2 share: latent rows, styles and their mixing, truncation."""

from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.growth import Growth
from networks.progressive_blocks import (
    channels_of_stages,
    check_latent,
    draw_latents,
    resolutions_up_to,
)
from networks.style_layers import MappingNetwork

_MIXING_PROBABILITY = 0.9
_AVERAGE_DECAY = 0.998


class LatentParts(NamedTuple):
    """What a row of the generator's latent holds, in this order."""

    z: Tensor
    """(N, style_size): the style."""
    other_z: Tensor
    """(N, style_size): the style that takes over from the crossover on."""
    crossover: Tensor
    """(N, 1): the normal number that says where, if at all; see `crossover`."""
    noise: Tensor
    """(N, noise_size): the noise maps of all layers, flat."""


class StyledNetwork(nn.Module):
    """A generator whose layers are steered by styles; heirs say how, in `synthesis`.

    z goes through a mapping network to the style w, which every layer is given; every layer adds
    noise of its own, for grain that no style needs to store.

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
        max_channels: channels that smaller resolutions double up to; None: they have `width`.
        mapping_layers: layers of the mapping network; its learning rate is a 100th.
        mixing: mix styles in training mode.

    Attributes:
        latent_size: numbers in a row: 2 * style_size + 1 + noise_size.
        noise_size: numbers of all noise maps together.
        num_layers: L, styles that one image takes: two per resolution.

    Images are linear outputs, not squashed: training data in [-1, 1] keep them near that range,
    and whoever stores an image clamps it.

    Raises:
        ValueError: settings out of range.

    Source: Karras et al. 2019, arXiv:1812.04948, sections 2, 3.1 and appendix B.
    """

    average_style: Tensor

    maps_of_first: int = 2
    """Noise maps at 4 pixels; every other resolution has two."""

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
        name = type(self).__name__
        channels = channels_of_stages(name, image_size, image_channels, width, max_channels)
        if style_size < 1:
            raise ValueError(f"{name}: style_size is {style_size}, expected at least 1.")
        self.image_size = image_size
        self.image_channels = image_channels
        self.style_size = style_size
        self.mixing = mixing
        self.mapping_network = MappingNetwork(style_size, mapping_layers)
        self.register_buffer("average_style", torch.zeros(style_size))
        first, *others = resolutions_up_to(image_size)
        self.num_layers = 2 * (1 + len(others))
        self._noise_sides = [first] * self.maps_of_first
        self._noise_sides += [side for side in others for _ in range(2)]
        self.noise_size: int = sum(side**2 for side in self._noise_sides)
        self.latent_size: int = 2 * style_size + 1 + self.noise_size
        self.make_layers(channels)

    def make_layers(self, channels: list[int]) -> None:
        """Make what `synthesis` needs, with so many channels at 4, 8, ..., image_size pixels."""
        raise NotImplementedError

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

    def noise_maps(self, noise: Tensor | None) -> list[Tensor | None]:
        """One map (N, 1, side, side) per noisy layer of flat noise (N, noise_size), or None."""
        if noise is None:
            return [None] * len(self._noise_sides)
        flat_maps = noise.split([side**2 for side in self._noise_sides], dim=1)
        return [
            flat.unflatten(1, (1, side, side))
            for flat, side in zip(flat_maps, self._noise_sides, strict=True)
        ]

    def forward(
        self, latent: Tensor, growth: Growth | None = None, truncation: float = 1.0
    ) -> list[Tensor]:
        """Make one image per row.

        Args:
            latent: (N, latent_size) from `draw_latent`.
            growth: where a network that grows stands; StyleGAN2 ignores it.
            truncation: share of the way from the average style to the image's own; below 1 images
                are more usual and less varied, at 0 all have the average style.

        Returns:
            One tensor (N, image_channels, r, r), float32 at least; r is growth.resolution of a
            network that grows, image_size of others.

        Raises:
            ValueError: a latent of another length, or a stage beyond the image size.
        """
        styles = self.mapping(latent, truncation, growth)
        if self.training:
            # The first layer's style is never the mixed one.
            mean = styles[:, 0].detach().mean(dim=0)
            self.average_style.lerp_(mean.to(self.average_style.dtype), 1 - _AVERAGE_DECAY)
        return [self.synthesis(styles, self.noise_of(latent), growth)]

    def mapping(
        self, latent: Tensor, truncation: float = 1.0, growth: Growth | None = None
    ) -> Tensor:
        """Styles w (N, num_layers, style_size) of latent rows, mixed in training mode.

        `synthesis(mapping(latent), noise_of(latent))` is `forward`'s image: between the two lies
        what path length regularisation differentiates by. The crossover of mixing is among the
        layers that a stage of growth has.
        """
        parts = self.split_latent(latent)
        if self.training and self.mixing:
            both = self.mapping_network(torch.cat([parts.z, parts.other_z]))
            style, other = both.unsqueeze(1).chunk(2)
            layers = torch.arange(self.num_layers, device=latent.device)
            is_own = layers < self.crossover(parts.crossover, self.layers_at(growth))
            styles = torch.where(is_own.unsqueeze(2), style, other)
        else:
            styles = self.mapping_network(parts.z).unsqueeze(1).expand(-1, self.num_layers, -1)
        if truncation == 1:
            return styles
        return torch.lerp(self.average_style.to(styles.dtype), styles, truncation)

    def layers_at(self, growth: Growth | None) -> int:
        """Layers that a stage has; all of them in a network that does not grow."""
        return self.num_layers

    def crossover(self, normal: Tensor, num_layers: int | None = None) -> Tensor:
        """First layer (N, 1) with the second style; num_layers where styles are not mixed.

        Args:
            normal: (N, 1) standard normal numbers. Compared with quantiles, and not turned into
                uniform ones, so that devices agree.
            num_layers: of the layers among which it lies; None for all.
        """
        choices = (num_layers or self.num_layers) - 1
        crossover = torch.ones_like(normal, dtype=torch.long)
        for choice in range(1, choices + 1):
            quantile = NormalDist().inv_cdf(_MIXING_PROBABILITY * choice / choices)
            crossover += normal > quantile
        return crossover

    def synthesis(
        self, styles: Tensor, noise: Tensor | None, growth: Growth | None = None
    ) -> Tensor:
        """Images (N, image_channels, r, r) of styles (N, num_layers, style_size) and noise."""
        raise NotImplementedError

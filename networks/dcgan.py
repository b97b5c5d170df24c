"""DCGAN: the plain convolutional GAN, as a baseline."""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from networks.equalised import at_least_float32, by_pixel
from networks.growth import SMALLEST_RESOLUTION, Growth
from networks.initialisation import initialise_gan
from networks.progressive_blocks import check_images, check_latent, draw_latents

NormalizationName = Literal["batch", "group"]

_NUM_GROUPS = 8


class DCGANGenerator(nn.Module):
    """Generator of DCGAN: transposed convolutions from 4 pixels up, each doubling the size.

    Args:
        image_size: height and width in pixels, a power of two from 32 up (64 in the paper).
        image_channels: channels of the image; 1 for films.
        latent_size: length of the latent vector.
        width: channels before the image, at half its size; every halving doubles them, up to
            8 * width. 128 gives the paper's 1024 at 4 pixels for an image of 64.
        normalization: "batch" is the paper's: in training mode an image depends on the batch it is
            made in, and so on micro-batches and on the number of processes. "group" (8 groups)
            does not.

    Raises:
        ValueError: settings out of range.

    Source: Radford et al. 2016, arXiv:1511.06434; initial weights N(0, 0.02). Deviations: kernels
    of 4x4 and not 5x5, as in the authors' Torch code, since a stride of 2 then treats all pixels
    alike; a normal latent in place of a uniform one; sizes beyond 64. 3.58 M parameters at 64
    pixels, 3 channels and width 64.
    """

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        latent_size: int = 100,
        width: int = 64,
        normalization: NormalizationName = "batch",
    ) -> None:
        super().__init__()
        _check_settings("DCGANGenerator", image_size, width, normalization)
        self.image_size = image_size
        self.image_channels = image_channels
        self.latent_size = latent_size
        channels = _channels(image_size, width)[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_size, channels[0], SMALLEST_RESOLUTION, bias=False)
        ]
        # No bias before a normalisation, which takes the mean away and brings a shift of its own.
        for num_in, num_out in zip(channels, [*channels[1:], image_channels], strict=True):
            layers += [
                _norm(normalization, num_in),
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(num_in, num_out, 4, stride=2, padding=1, bias=False),
            ]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise_gan)

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Latent vectors (count, latent_size); see `draw_latents`."""
        return draw_latents(count, self.latent_size, generator)

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        """Make one image per latent vector.

        Args:
            latent: (N, latent_size), standard normal.
            growth: ignored, since the network has one size.

        Returns:
            One tensor (N, image_channels, image_size, image_size) in [-1, 1], float32 at least.

        Raises:
            ValueError: a latent of another length.
        """
        check_latent(latent, self.latent_size)
        first, *others = self.layers
        features = first(latent[:, :, None, None])
        if not torch.is_grad_enabled():  # the gradients of the weights would be slower so
            features = by_pixel(features)
        for layer in others:
            features = layer(features)
        return [torch.tanh(at_least_float32(features))]


class DCGANDiscriminator(nn.Module):
    """Discriminator of DCGAN: strided convolutions down to 4 pixels, then one to a logit.

    With batch normalisation, real and generated images go in calls of their own: in a mixed batch
    the statistics alone would give them away.

    Args:
        image_size: height and width in pixels, a power of two from 32 up.
        image_channels: channels of the image.
        width: channels after the first layer; every halving doubles them, up to 8 * width.
        normalization: "batch" or "group", of all layers but the first; see `DCGANGenerator`.

    Raises:
        ValueError: settings out of range.

    Source: Radford et al. 2016, arXiv:1511.06434. 2.77 M parameters at 64 pixels, 3 channels and
    width 64.
    """

    def __init__(
        self,
        image_size: int,
        image_channels: int,
        width: int = 64,
        normalization: NormalizationName = "batch",
    ) -> None:
        super().__init__()
        _check_settings("DCGANDiscriminator", image_size, width, normalization)
        self.image_size = image_size
        self.image_channels = image_channels
        channels = _channels(image_size, width)
        layers: list[nn.Module] = [
            nn.Conv2d(image_channels, channels[0], 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for num_in, num_out in itertools.pairwise(channels):
            layers += [
                nn.Conv2d(num_in, num_out, 4, stride=2, padding=1, bias=False),
                _norm(normalization, num_out),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(channels[-1], 1, SMALLEST_RESOLUTION, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise_gan)

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        """Score images.

        Args:
            images: one tensor (N, image_channels, image_size, image_size).
            growth: ignored, since the network has one size.

        Returns:
            One tensor of logits (N, 1), float32 at least.

        Raises:
            ValueError: images of another shape.
        """
        check_images("DCGANDiscriminator", images, self.image_channels, [self.image_size])
        return [at_least_float32(self.layers(images[0]).flatten(1))]


def _channels(image_size: int, width: int) -> list[int]:
    """Channels at half the image's size, a quarter, ..., 4 pixels."""
    num_levels = (image_size // SMALLEST_RESOLUTION).bit_length() - 1
    return [width * min(2**level, 8) for level in range(num_levels)]


def _norm(name: NormalizationName, num_features: int) -> nn.Module:
    if name == "group":
        return nn.GroupNorm(math.gcd(_NUM_GROUPS, num_features), num_features)
    return nn.BatchNorm2d(num_features)


def _check_settings(
    network: str, image_size: int, width: int, normalization: NormalizationName
) -> None:
    if image_size < 32 or image_size & (image_size - 1):
        raise ValueError(
            f"{network}: image_size is {image_size}, expected a power of two from 32 up: the "
            "network doubles 4 pixels up to it. Prepare the data with --image-size 64, 128, 256 "
            "or 512."
        )
    if width < 1:
        raise ValueError(f"{network}: width is {width}, expected at least 1.")
    if normalization not in ("batch", "group"):
        raise ValueError(
            f"{network}: normalization is {normalization!r}, expected 'batch' or 'group'."
        )

"""What the growing and the multi-scale progressive GAN share: blocks, widths, latents, checks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.equalised import (
    GROUP_SIZE,
    EqualisedConv2d,
    EqualisedLinear,
    at_least_float32,
    by_pixel,
    minibatch_deviation,
    pixel_norm,
)
from networks.growth import SMALLEST_RESOLUTION


def resolutions_up_to(image_size: int) -> list[int]:
    """4, 8, ..., image_size."""
    return [2**power for power in range(2, image_size.bit_length())]


def channels_at(resolution: int, width: int, max_channels: int | None) -> int:
    """Channels at a resolution; see `channels_of_stages`."""
    return min(width * 32 // resolution, max_channels or width)


class GeneratorStem(nn.Module):
    """Latent vector to the first features: a fully connected layer, then a convolution."""

    def __init__(self, latent_size: int, channels: int, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first = EqualisedLinear(latent_size, channels * SMALLEST_RESOLUTION**2)
        self.middle = middle or nn.Identity()
        self.second = EqualisedConv2d(channels, channels, 3)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent_size) to (N, channels, 4, 4)."""
        side = SMALLEST_RESOLUTION
        features = by_pixel(self.first(pixel_norm(latent)).unflatten(1, (-1, side, side)))
        features = self.middle(pixel_norm(F.leaky_relu(features, 0.2)))
        return pixel_norm(F.leaky_relu(self.second(features), 0.2))


class GeneratorBlock(nn.Module):
    """Doubles the resolution by nearest neighbours, then two convolutions with pixel norm."""

    def __init__(self, num_in: int, num_out: int, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first = EqualisedConv2d(num_in, num_out, 3)
        self.middle = middle or nn.Identity()
        self.second = EqualisedConv2d(num_out, num_out, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_in, H, W) to (N, num_out, 2 H, 2 W)."""
        features = F.interpolate(features, scale_factor=2.0, mode="nearest")
        features = self.middle(pixel_norm(F.leaky_relu(self.first(features), 0.2)))
        return pixel_norm(F.leaky_relu(self.second(features), 0.2))


class DiscriminatorBlock(nn.Module):
    """Two convolutions, then half the resolution by averaging."""

    def __init__(self, num_in: int, num_out: int, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first = EqualisedConv2d(num_in, num_in, 3)
        self.middle = middle or nn.Identity()
        self.second = EqualisedConv2d(num_in, num_out, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(N, num_in, H, W) to (N, num_out, H / 2, W / 2)."""
        features = self.middle(F.leaky_relu(self.first(features), 0.2))
        return F.avg_pool2d(F.leaky_relu(self.second(features), 0.2), 2)


class DiscriminatorHead(nn.Module):
    """Last features to a logit, with the minibatch deviation as one channel more."""

    group_of_images = GROUP_SIZE
    """Images of a call that are compared; a part of a batch should have a multiple of them."""

    def __init__(self, channels: int, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first = EqualisedConv2d(channels + 1, channels, 3)
        self.middle = middle or nn.Identity()
        self.second = EqualisedLinear(channels * SMALLEST_RESOLUTION**2, channels)
        self.to_logit = EqualisedLinear(channels, 1, gain=1.0)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, 4, 4) to (N, 1), float32 at least."""
        features = self.middle(F.leaky_relu(self.first(minibatch_deviation(features)), 0.2))
        features = F.leaky_relu(self.second(features.flatten(1)), 0.2)
        return at_least_float32(self.to_logit(features))


def draw_latents(count: int, latent_size: int, generator: torch.Generator | None) -> Tensor:
    """Draw (count, latent_size) standard normal numbers, float32, on the CPU.

    Row i does not depend on `count`: with a fresh generator, the first rows of a longer draw equal
    a shorter one.

    Args:
        count: rows to draw.
        latent_size: numbers per row.
        generator: CPU source of randomness; None for torch's own.
    """
    rows = [torch.randn(latent_size, generator=generator) for _ in range(count)]
    return torch.stack(rows) if rows else torch.empty(0, latent_size)


def channels_of_stages(
    network: str, image_size: int, image_channels: int, width: int, max_channels: int | None
) -> list[int]:
    """Channels at 4, 8, ..., image_size pixels, once the settings are known to make a network.

    `width` at 32 pixels, half as many at each doubling beyond. Below 32 pixels they double towards
    the small side up to `max_channels`, where there is one; None keeps `width`, which is the
    papers' 512. Channels at small resolutions hold most of the weights and cost little time, so a
    narrow network should not be narrow there.

    Raises:
        ValueError: says which setting, and what was expected.
    """
    if image_size < 8 or image_size & (image_size - 1):
        raise ValueError(
            f"{network}: image_size is {image_size}, expected a power of two from 8 up: the "
            "network doubles 4 pixels up to it. Prepare the data with --image-size 64, 128, 256 "
            "or 512."
        )
    if image_channels < 1:
        raise ValueError(f"{network}: image_channels is {image_channels}, expected at least 1.")
    if channels_at(image_size, width, None) < 2:
        least = max(2, image_size // 16)
        raise ValueError(
            f"{network}: width is {width}, expected at least {least} at {image_size} pixels: "
            "channels halve with every doubling beyond 32 pixels, and 2 must be left."
        )
    if max_channels is not None and max_channels < 2:
        raise ValueError(
            f"{network}: max_channels is {max_channels}, expected 2 or more, or none for width."
        )
    return [channels_at(side, width, max_channels) for side in resolutions_up_to(image_size)]


def check_latent(latent: Tensor, latent_size: int) -> None:
    """Refuse latent vectors of another length.

    Raises:
        ValueError: says the shape, and what was expected.
    """
    if latent.dim() != 2 or latent.shape[1] != latent_size:
        raise ValueError(
            f"The latent is {tuple(latent.shape)}, expected (N, {latent_size}). Draw it with "
            "draw_latent of this generator."
        )


def check_images(network: str, images: list[Tensor], channels: int, sides: list[int]) -> None:
    """Refuse a list of images of other sizes than `sides`, in that order.

    Raises:
        ValueError: says the shapes, and what was expected.
    """
    shapes = [tuple(image.shape[1:]) for image in images]
    expected = [(channels, side, side) for side in sides]
    if shapes != expected:
        raise ValueError(
            f"{network}: images (channels, height, width) are {shapes}, expected {expected}: one "
            "tensor per resolution, largest first. Check image_size, image_channels and the stage "
            "of growth against the data."
        )

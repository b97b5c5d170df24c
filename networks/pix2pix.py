"""Pix2Pix generator: a label map in, a CT slice out."""

import math
from statistics import NormalDist
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.decoder_block import (
    DecoderBlock,
    NormalizationName,
    UpsamplingName,
    make_norm,
    make_upsampling,
)
from networks.initialisation import initialise_gan
from networks.spade import SpatiallyAdaptiveNorm

_NUM_DROPOUT_BLOCKS = 3


class Pix2PixGenerator(nn.Module):
    """U-Net generator of Pix2Pix, as deep as the image size asks: down to one pixel and back.

    A label map of kidney and tumour says nothing of body outline, spine or bowel: all that must be
    invented, so one label map has many right answers. The paper's only noise is the dropout of
    three decoder blocks; `noise_channels` (what body is it) and `pixel_noise` (what grain does the
    image have) give the network more to invent from.

    All randomness comes in as the tensor `noise` (see `draw_noise`), the dropout masks too. The
    network draws nothing itself, in training mode or not: the same weights, labels and noise give
    the same image, also when the batch is split over micro-batches or processes. Only
    normalization="batch" ties the images of a batch to each other; "instance" does not.

    Args:
        label_channels: channels of the one-hot label map, background included.
        image_channels: channels of the image; 1 for CT.
        image_size: height and width in pixels, a power of two from 32 up (256: the paper's net).
        width: channels of the first level; level i has width * min(2**i, 8).
        normalization: "instance" is what the paper's "batch" becomes at its batch size of 1.
        dropout: probability of the first three decoder blocks; 0 leaves dropout out. As in the
            paper it is active in generation too; `forward(..., dropout=False)` turns it off.
        noise_channels: length of the latent vector that joins the 1x1 bottleneck; 0 for none.
        pixel_noise: adds one Gaussian map per decoder level, weighted by a learned strength per
            channel (StyleGAN, arXiv:1812.04948). Strengths start at 0.1 and not at StyleGAN's 0:
            noise of either sign is equally likely, so 0 is a saddle point.
        conditioning: "concat" gives the label map to the encoder only, as the paper does; "spade"
            also modulates every decoder normalisation by it (`networks.spade`).
        upsampling: "transposed" convolutions (paper), or "resize": nearest neighbour, then a 3x3
            convolution, which leaves no checkerboard (Odena 2016, doi:10.23915/distill.00003).

    With `pixel_noise` or "spade" the last block makes features at full resolution, and a 3x3
    convolution that sees the label map again makes the image of them; without, the last transposed
    convolution makes the image, as in the paper, and texture is tied to half resolution.

    The bottleneck has no normalisation: the instance norm of a single pixel is always zero.

    Attributes:
        noise_size: numbers of noise that one image takes; 0 when the network is deterministic.

    Raises:
        ValueError: an image size that is no power of two, or settings out of range.

    Source: Isola et al. 2017, arXiv:1611.07004. At 256 and 3 channels with batch norm:
    54.41 M parameters, as in the authors' PyTorch code.
    """

    def __init__(
        self,
        label_channels: int,
        image_channels: int,
        image_size: int,
        width: int = 64,
        normalization: NormalizationName = "instance",
        dropout: float = 0.5,
        noise_channels: int = 0,
        pixel_noise: bool = False,
        conditioning: Literal["concat", "spade"] = "concat",
        upsampling: UpsamplingName = "transposed",
    ) -> None:
        super().__init__()
        _check_settings(image_size, width, dropout, noise_channels, normalization)
        if conditioning not in ("concat", "spade"):
            raise ValueError(f"conditioning is {conditioning!r}, expected 'concat' or 'spade'.")
        if upsampling not in ("transposed", "resize"):
            raise ValueError(f"upsampling is {upsampling!r}, expected 'transposed' or 'resize'.")
        self.label_channels = label_channels
        self.image_channels = image_channels
        self.image_size = image_size
        self.noise_channels = noise_channels
        self.dropout = dropout
        num_levels = int(math.log2(image_size))
        channels = [width * min(2**level, 8) for level in range(num_levels)]

        self.encoder = nn.ModuleList()
        for level, num_out in enumerate(channels):
            num_in = label_channels if level == 0 else channels[level - 1]
            has_norm = 0 < level < num_levels - 1
            conv = nn.Conv2d(num_in, num_out, 4, stride=2, padding=1, bias=not has_norm)
            self.encoder.append(
                nn.Sequential(conv, make_norm(normalization, num_out)) if has_norm else conv
            )

        spade_channels = label_channels if conditioning == "spade" else 0
        has_head = pixel_noise or conditioning == "spade"
        self.decoder = nn.ModuleList()
        for block in range(num_levels - 1 + has_head):
            level = num_levels - 1 - block
            # After the bottleneck, every block reads the block below and the encoder's skip.
            num_in = channels[-1] + noise_channels if block == 0 else 2 * channels[level]
            num_out = channels[level - 1] if level > 0 else max(width // 2, 8)
            norm = make_norm(normalization, num_out, affine=not spade_channels)
            if spade_channels:
                norm = SpatiallyAdaptiveNorm(num_out, spade_channels, norm)
            up = make_upsampling(upsampling, num_in, num_out, bias=False)
            self.decoder.append(DecoderBlock(up, norm, num_out, pixel_noise))
        if has_head:
            self.to_image: nn.Module = nn.Conv2d(
                max(width // 2, 8) + label_channels, image_channels, 3, padding=1
            )
        else:
            self.to_image = make_upsampling(upsampling, 2 * channels[0], image_channels, bias=True)
        self._has_head = has_head

        self._latent_shape = (noise_channels,)
        self._dropout_shapes: list[tuple[int, int, int]] = []
        if dropout > 0:
            for block in range(min(_NUM_DROPOUT_BLOCKS, num_levels - 1)):
                side = 2 ** (block + 1)
                self._dropout_shapes.append((channels[num_levels - 2 - block], side, side))
        self._map_shapes = (
            [(1, 2 ** (block + 1), 2 ** (block + 1)) for block in range(len(self.decoder))]
            if pixel_noise
            else []
        )
        shapes = [self._latent_shape, *self._dropout_shapes, *self._map_shapes]
        self.noise_size: int = sum(math.prod(shape) for shape in shapes)
        self.apply(initialise_gan)

    def draw_noise(self, num_images: int, generator: torch.Generator) -> Tensor:
        """Draw the noise of a batch: (num_images, noise_size) standard normal numbers, float32.

        A plain tensor, so `.to(device)`, `noise[start:stop]` for the rows of one process or
        micro-batch, and `torch.cat` of images seeded one by one all work. Row i does not depend on
        `num_images`: with a fresh generator, the first rows of a longer draw equal a shorter one.

        Args:
            num_images: N, rows to draw; a global batch, or 1 for an image with its own seed.
            generator: source of randomness; the numbers lie on its device. Seeds reproduce across
                machines for a CPU generator.
        """
        rows = [
            torch.randn(self.noise_size, generator=generator, device=generator.device)
            for _ in range(num_images)
        ]
        return torch.stack(rows) if rows else torch.empty(0, self.noise_size)

    def forward(self, labels: Tensor, noise: Tensor | None = None, dropout: bool = True) -> Tensor:
        """Make one image per label map.

        Args:
            labels: (N, label_channels, image_size, image_size) one-hot, floating point.
            noise: (N, noise_size) from `draw_noise`. None, in evaluation mode only: the image
                without noise: latent and maps zero, no dropout.
            dropout: False ignores the dropout masks in `noise`.

        Returns:
            (N, image_channels, image_size, image_size) in [-1, 1]; float32 at least, so that
            grey levels are not rounded by autocast.

        Raises:
            ValueError: labels or noise of another shape, or no noise in training mode.
        """
        self._check_inputs(labels, noise)
        latent, dropout_values, noise_maps = self._split_noise(noise, labels.shape[0])
        features, skips = labels, []
        for level, down in enumerate(self.encoder):
            features = down(features if level == 0 else F.leaky_relu(features, 0.2))
            skips.append(features)
        skips.pop()

        features = F.relu(features)
        if self.noise_channels:
            if latent is None:
                latent = features.new_zeros(labels.shape[0], self.noise_channels)
            features = torch.cat([features, latent.to(features.dtype)[:, :, None, None]], dim=1)
        for block, decode in enumerate(self.decoder):
            features = decode(features, labels, noise_maps[block] if noise_maps else None)
            if dropout and block < len(dropout_values):
                features = self._drop(features, dropout_values[block])
            if skips:
                features = torch.cat([features, skips.pop()], dim=1)
            features = F.relu(features)
        if self._has_head:
            features = torch.cat([features, labels.to(features.dtype)], dim=1)
        image = self.to_image(features)
        return torch.tanh(
            image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
        )

    def _drop(self, features: Tensor, normal_values: Tensor) -> Tensor:
        # A normal number is below the normal quantile of p with probability p.
        keep = normal_values > NormalDist().inv_cdf(self.dropout)
        return features * (keep.to(features.dtype) / (1 - self.dropout))

    def _split_noise(
        self, noise: Tensor | None, num_images: int
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        if noise is None:
            return None, [], []
        shapes = [self._latent_shape, *self._dropout_shapes, *self._map_shapes]
        parts = noise.split([math.prod(shape) for shape in shapes], dim=1)
        latent, *rest = (
            part.reshape(num_images, *shape) for part, shape in zip(parts, shapes, strict=True)
        )
        num_dropout = len(self._dropout_shapes)
        return latent, rest[:num_dropout], rest[num_dropout:]

    def _check_inputs(self, labels: Tensor, noise: Tensor | None) -> None:
        expected = (self.label_channels, self.image_size, self.image_size)
        if labels.dim() != 4 or labels.shape[1:] != expected:
            raise ValueError(
                f"Pix2PixGenerator: labels are {tuple(labels.shape)}, expected (N, {expected[0]}, "
                f"{expected[1]}, {expected[2]}) one-hot. The network is built for one image size: "
                "prepare the labels at that size, or train a generator at theirs."
            )
        if noise is None:
            if self.training and self.noise_size:
                raise ValueError(
                    "Pix2PixGenerator: no noise in training mode, so dropout and noise inputs "
                    "would stay off unseen. Pass noise=network.draw_noise(len(labels), generator)."
                )
        elif tuple(noise.shape) != (labels.shape[0], self.noise_size):
            raise ValueError(
                f"Pix2PixGenerator: noise is {tuple(noise.shape)}, expected "
                f"({len(labels)}, {self.noise_size}). Draw it with draw_noise of this generator."
            )


def _check_settings(
    image_size: int, width: int, dropout: float, noise_channels: int, normalization: str
) -> None:
    if image_size < 32 or image_size & (image_size - 1):
        raise ValueError(
            f"Pix2PixGenerator: image_size is {image_size}, expected a power of two from 32 up: "
            "the network halves the image down to one pixel. Prepare the data with --image-size "
            "64, 128, 256 or 512."
        )
    if normalization not in ("instance", "batch"):
        raise ValueError(f"normalization is {normalization!r}, expected 'instance' or 'batch'.")
    if not 0 <= dropout < 1:
        raise ValueError(
            f"Pix2PixGenerator: dropout is {dropout}, expected a probability in [0, 1)."
        )
    if width < 1 or noise_channels < 0:
        raise ValueError(
            f"Pix2PixGenerator: width is {width} and noise_channels {noise_channels}, expected at "
            "least 1 and 0."
        )

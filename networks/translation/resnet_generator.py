"""ResNet generator: an image becomes an image of the same place in another style."""

import torch
from torch import Tensor, nn

from networks.initialisation import initialise_gan

_LARGEST_OF_SIX_BLOCKS = 128  # pixels; the source's rule


class ResNetGenerator(nn.Module):
    """Down to a quarter of the side, residual blocks there, and up again.

    It draws nothing at random: an image has one translation. Every layer is normalised by image, so
    a translation does not depend on the other images of its batch.

    Args:
        in_channels: channels of the image, and of the condition beside it if there is one.
        out_channels: channels of the image that is made.
        image_size: height and width in pixels, a multiple of 4.
        width: channels of the first layer; the blocks have four times as many.
        num_blocks: residual blocks; None: 6 up to 128 px, 9 above, as in the source.

    Raises:
        ValueError: a size that does not come out of the strides again, or less than one block.

    Source: Zhu et al. 2017, arXiv:1703.10593, after Johnson et al. 2016; 11.4 M parameters with 3
    channels and 9 blocks. Deviation: no bias before a normalisation, which takes it away again.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: int,
        width: int = 64,
        num_blocks: int | None = None,
    ) -> None:
        super().__init__()
        blocks = num_blocks
        if blocks is None:
            blocks = 6 if image_size <= _LARGEST_OF_SIX_BLOCKS else 9
        if image_size % 4 or image_size < 16:
            raise ValueError(
                f"ResNetGenerator: image_size is {image_size}, expected a multiple of 4 from 16 "
                "up, since the network halves the image twice and doubles it twice."
            )
        if blocks < 1 or width < 1:
            raise ValueError(
                f"ResNetGenerator: num_blocks is {blocks} and width {width}, expected 1 or more."
            )
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=False),
            nn.InstanceNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False),
                nn.InstanceNorm2d(2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [_ResidualBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                nn.ConvTranspose2d(
                    channels, channels // 2, 3, stride=2, padding=1, output_padding=1, bias=False
                ),
                nn.InstanceNorm2d(channels // 2),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.to_image = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7))
        self.apply(initialise_gan)

    def forward(self, image: Tensor) -> Tensor:
        """Translate images.

        Args:
            image: (N, in_channels, H, W) in [-1, 1].

        Returns:
            (N, out_channels, H, W) in [-1, 1]; float32 at least, so that grey levels are not
            rounded by autocast.
        """
        made = self.to_image(self.layers(image))
        return torch.tanh(made.float() if made.dtype in (torch.float16, torch.bfloat16) else made)


class _ResidualBlock(nn.Module):
    """x + two convolutions of x, with mirrored edges."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)

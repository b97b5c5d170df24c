"""U-Net: segmentation with skip connections."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

NormalizationName = Literal["group", "instance", "batch"]
_DEEPEST = 16  # halvings that leave a pixel of an image of 65,536


class UNet(nn.Module):
    """U-Net whose output has the size of its input.

    | name in Choe et al. 2022 | width | parameters (1 channel in, 3 classes, depth 4) |
    |---|---|---|
    | U-Net1, light | 16 | 1.94 M |
    | U-Net2, heavy | 64 | 31.04 M |

    Group normalisation is the default: its result does not depend on the other images of the
    batch, so small batches, micro-batches and several processes all give what one big batch gives.

    Args:
        in_channels: image channels; 1 for CT.
        num_classes: classes, background included.
        width: channels of the first level; each level below doubles them.
        depth: halvings of the image, 1 to 16; its sides must be divisible by 2**depth.
        normalization: "group" (8 groups), "instance" or "batch".
        dropout: probability of dropping whole channels at the bottleneck, in training mode only.
            Its masks come from the global random state, so with dropout > 0 several processes no
            longer equal one.
        upsampling: "transposed" 2x2 convolutions (paper), or "bilinear" and a 1x1 convolution.

    Source: Ronneberger et al. 2015, arXiv:1505.04597. Deviations: 3x3 convolutions are padded, so
    nothing is cropped; normalisation after each of them; no elastic weighting of borders.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 16,
        depth: int = 4,
        normalization: NormalizationName = "group",
        dropout: float = 0.0,
        upsampling: Literal["transposed", "bilinear"] = "transposed",
    ) -> None:
        super().__init__()
        if normalization not in ("group", "instance", "batch"):
            raise ValueError(
                f"UNet: normalization is {normalization!r}, expected 'group', 'instance' or "
                "'batch'."
            )
        if upsampling not in ("transposed", "bilinear"):
            raise ValueError(
                f"UNet: upsampling is {upsampling!r}, expected 'transposed' or 'bilinear'."
            )
        if width < 1 or depth < 1:
            raise ValueError(f"UNet: width is {width} and depth {depth}, expected at least 1.")
        if depth > _DEEPEST:
            raise ValueError(f"UNet: depth is {depth}, expected at most {_DEEPEST}.")
        self.in_channels = in_channels
        self.depth = depth
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _double_conv(in_channels if level == 0 else channels[level - 1], num_out, normalization)
            for level, num_out in enumerate(channels)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottleneck_dropout = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(
            _upsample(upsampling, channels[level + 1], channels[level])
            for level in reversed(range(depth))
        )
        self.decoder = nn.ModuleList(
            _double_conv(2 * channels[level], channels[level], normalization)
            for level in reversed(range(depth))
        )
        self.to_logits = nn.Conv2d(width, num_classes, 1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Score every pixel.

        Args:
            image: (N, in_channels, H, W) in [-1, 1]; H and W divisible by 2**depth.

        Returns:
            Logits (N, num_classes, H, W), unbounded.

        Raises:
            ValueError: another number of channels, or a side that is not divisible.
        """
        if image.dim() != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"UNet: image is {tuple(image.shape)}, expected (N, {self.in_channels}, H, W)."
            )
        self.check_size((image.shape[-2], image.shape[-1]), self.depth)
        skips: list[Tensor] = []
        features = image
        for level, block in enumerate(self.encoder):
            features = block(features)
            if level < self.depth:
                skips.append(features)
                features = self.pool(features)
        features = self.bottleneck_dropout(features)
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([skips.pop(), up(features)], dim=1))
        logits: Tensor = self.to_logits(features)
        return logits

    @staticmethod
    def check_size(sides: tuple[int, int], depth: int) -> None:
        """Refuse images that cannot be halved so often, also before a network is built for them.

        Raises:
            ValueError: a side that is not divisible by 2**depth.
        """
        if not 0 <= depth <= _DEEPEST:
            return  # which the constructor refuses
        multiple = 2**depth
        height, width = sides
        if height % multiple or width % multiple:
            raise ValueError(
                f"UNet: image of {height}x{width} pixels cannot be halved {depth} times. "
                f"Prepare the data at a multiple of {multiple}, or set a smaller depth."
            )


def _double_conv(num_in: int, num_out: int, normalization: NormalizationName) -> nn.Sequential:
    # No bias: the normalisation takes the mean away and brings a shift of its own.
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False),
        _norm(normalization, num_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
        _norm(normalization, num_out),
        nn.ReLU(inplace=True),
    )


def _norm(name: NormalizationName, num_features: int) -> nn.Module:
    if name == "group":
        return nn.GroupNorm(math.gcd(8, num_features), num_features)
    if name == "instance":
        return nn.InstanceNorm2d(num_features, affine=True)
    return nn.BatchNorm2d(num_features)


def _upsample(name: str, num_in: int, num_out: int) -> nn.Module:
    if name == "transposed":
        return nn.ConvTranspose2d(num_in, num_out, 2, stride=2)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(num_in, num_out, 1),
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)

"""PatchGAN: is each patch of the image real, given the label map?"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as with_spectral_norm

from networks.initialisation import initialise_gan

PatchScores = tuple[Tensor, list[Tensor]]
"""Logits (N, 1, h, w) of one scale, and its feature maps from shallow to deep."""


class PatchDiscriminator(nn.Module):
    """Scores every patch of an image by convolutions alone.

    With 3 layers each logit sees 70 x 70 pixels, the paper's best; 1, 2 and 4 layers see 16, 34
    and 142. Each layer but the first is followed by a normalisation.

    Args:
        in_channels: channels of the label map and the image together, concatenated by the caller.
        width: channels of the first layer; layer i has width * min(2**i, 8).
        num_layers: convolutions of stride 2, at least 1.
        normalization: "instance" is what the paper's "batch" becomes at its batch size of 1;
            "batch" ties the images of a batch together; "none" goes well with spectral norm.
        spectral_norm: bound every layer's gain (arXiv:1802.05957). Its power iteration moves one
            step per call in training mode, so results then depend on the number of calls.

    Source: Isola et al. 2017, arXiv:1611.07004; 2.77 M parameters at 6 input channels.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        num_layers: int = 3,
        normalization: Literal["instance", "batch", "none"] = "instance",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(
                f"PatchDiscriminator: num_layers is {num_layers}, expected at least 1."
            )
        if normalization not in ("instance", "batch", "none"):
            raise ValueError(
                f"PatchDiscriminator: normalization is {normalization!r}, expected 'instance', "
                "'batch' or 'none'."
            )
        self.num_layers = num_layers
        self.layers = nn.ModuleList()
        num_in = in_channels
        for layer in range(num_layers + 1):
            num_out = width * min(2**layer, 8)
            has_norm = layer > 0 and normalization != "none"
            # A normalisation takes the mean away again, so a bias before it would be idle.
            conv = nn.Conv2d(
                num_in,
                num_out,
                4,
                stride=2 if layer < num_layers else 1,
                padding=1,
                bias=not has_norm,
            )
            norm: nn.Module = nn.Identity()
            if has_norm:
                norm = (
                    nn.InstanceNorm2d(num_out, affine=True)
                    if normalization == "instance"
                    else nn.BatchNorm2d(num_out)
                )
            self.layers.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
            num_in = num_out
        self.to_logits = nn.Conv2d(num_in, 1, 4, stride=1, padding=1)
        self.apply(initialise_gan)
        if spectral_norm:
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d):
                    with_spectral_norm(module)

    @property
    def smallest_image_size(self) -> int:
        """Smallest height and width in pixels that leave at least one logit."""
        # The two last convolutions take one row each; the strides halve, rounding down.
        return 3 * 2**self.num_layers

    def forward(self, pair: Tensor) -> PatchScores:
        """Score label map and image together.

        Args:
            pair: (N, in_channels, H, W).

        Returns:
            Logits (N, 1, h, w), unbounded, and the num_layers + 1 feature maps before them.

        Raises:
            ValueError: an image too small for `num_layers`.
        """
        if min(pair.shape[-2:]) < self.smallest_image_size:
            height, width = pair.shape[-2:]
            raise ValueError(
                f"PatchDiscriminator: input of {height}x{width} pixels leaves no patch to score: "
                f"num_layers={self.num_layers} takes at least {self.smallest_image_size} pixels at "
                "every scale. Set a smaller num_layers or num_scales."
            )
        features: list[Tensor] = []
        hidden = pair
        for layer in self.layers:
            hidden = layer(hidden)
            features.append(hidden)
        return self.to_logits(hidden), features


class MultiScalePatchDiscriminator(nn.Module):
    """One patch discriminator per scale, each with weights of its own.

    The second one sees the image at half the size, so that its patches cover twice the anatomy;
    the first keeps the fine texture honest. `num_scales=1` is the plain PatchGAN in a list, so
    losses always take a list.

    Args:
        in_channels: channels of the label map and the image together.
        width: see `PatchDiscriminator`, as are num_layers, normalization and spectral_norm.
        num_layers: convolutions of stride 2 per scale.
        normalization: "instance", "batch" or "none".
        spectral_norm: bound every layer's gain.
        num_scales: 1 for the paper's discriminator, 2 or 3 for pix2pixHD's.

    Source: Wang et al. 2018 (pix2pixHD), arXiv:1711.11585.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        num_layers: int = 3,
        normalization: Literal["instance", "batch", "none"] = "instance",
        spectral_norm: bool = False,
        num_scales: int = 1,
    ) -> None:
        super().__init__()
        if num_scales < 1:
            raise ValueError(
                f"MultiScalePatchDiscriminator: num_scales is {num_scales}, expected at least 1."
            )
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, width, num_layers, normalization, spectral_norm)
            for _ in range(num_scales)
        )

    def forward(self, pair: Tensor) -> list[PatchScores]:
        """Score label map and image (N, in_channels, H, W) at every scale, full size first.

        Returns:
            Per scale: logits (N, 1, h, w) and feature maps.
        """
        scores: list[PatchScores] = []
        for index, discriminator in enumerate(self.scales):
            if index > 0:
                pair = F.avg_pool2d(pair, 3, stride=2, padding=1, count_include_pad=False)
            scores.append(discriminator(pair))
        return scores

"""Feature pyramid network with a pretrained encoder, from segmentation-models-pytorch."""

import re
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from networks.encoder_weights import encoder_normalisation, load_encoder_weights, read_weights

_STRIDE = 32
_NAME = re.compile(r"[\w.-]+", re.ASCII)


class FeaturePyramid(nn.Module):
    """FPN around any encoder of segmentation-models-pytorch or timm.

    A pretrained encoder gets the input it was trained on: images come in as [-1, 1], are brought to
    the encoder's mean and standard deviation here, and a grey image stands for equal red, green and
    blue. Where mean and deviation are the same in the three colours, the first convolution's
    weights are summed over the colours, which gives the same numbers at a third of the work;
    elsewhere the grey image is repeated, since a shift per colour cannot be folded in exactly at
    the zero-padded border. Without pretrained weights nothing is rescaled.

    Encoders hold batch normalisation as a rule: in training mode, results depend on the batch.

    Args:
        in_channels: image channels; 1 or 3 with pretrained weights.
        num_classes: classes, background included.
        encoder_name: "resnet34" or another encoder of segmentation-models-pytorch, or "tu-" and the
            name of a timm model: "tu-tf_efficientnet_lite0".
        encoder_weights: "imagenet" downloads weights; None starts from random ones; "restored"
            builds the network of pretrained weights without them, for a checkpoint to fill.
        encoder_weights_path: file with weights in the encoder's own naming (.pth, .pt or
            .safetensors); nothing is downloaded. Every tensor of the encoder must be in it;
            only a classification head may be left over.
        encoder_mean: mean that the encoder's training subtracted, on images in [0, 1], one number
            per colour. None: as the encoder's own record says; ImageNet's for an
            encoder without "tu-" whose weights come from a file.
        encoder_std: standard deviation that it divided by; as above.
        dropout: probability of dropping a pyramid channel before the last layer.

    Raises:
        ValueError: an unknown encoder, weights that cannot be had, read or fitted.

    Source: Lin 2017, arXiv:1612.03144, in the form of Kirillov 2019, arXiv:1901.02446.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        encoder_name: str = "resnet34",
        encoder_weights: Literal["imagenet", "restored"] | None = None,
        encoder_weights_path: str | None = None,
        encoder_mean: list[float] | None = None,
        encoder_std: list[float] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        pretrained = encoder_weights is not None or encoder_weights_path is not None
        _check_settings(in_channels, encoder_name, encoder_weights, encoder_weights_path)
        state = None if encoder_weights_path is None else read_weights(Path(encoder_weights_path))
        mean, std = [0.5], [0.5]
        if pretrained:
            mean, std = encoder_normalisation(encoder_name, download=encoder_weights == "imagenet")
            mean, std = encoder_mean or mean, encoder_std or std
        self.in_channels = in_channels
        self.repeats_grey = in_channels == 1 and (len(set(mean)) > 1 or len(set(std)) > 1)
        if in_channels == 1 and not self.repeats_grey:
            mean, std = mean[:1], std[:1]
        network_channels = 3 if self.repeats_grey else in_channels
        self.network = _build(
            network_channels, num_classes, encoder_name, encoder_weights == "imagenet", dropout
        )
        if state is not None:
            load_encoder_weights(
                self.network.get_submodule("encoder"), state, str(encoder_weights_path)
            )
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """Score every pixel.

        Args:
            image: (N, in_channels, H, W) in [-1, 1]; H and W divisible by 32.

        Returns:
            Logits (N, num_classes, H, W), unbounded.

        Raises:
            ValueError: another number of channels, or a side that is not divisible.
        """
        if image.dim() != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"FeaturePyramid: image is {tuple(image.shape)}, expected "
                f"(N, {self.in_channels}, H, W)."
            )
        self.check_size((image.shape[-2], image.shape[-1]))
        logits: Tensor = self.network(self.normalise(image))
        return logits

    @staticmethod
    def check_size(sides: tuple[int, int]) -> None:
        """Refuse images that do not fit the encoder, also before a network is built for them.

        Raises:
            ValueError: a side that is not divisible by 32.
        """
        height, width = sides
        if height % _STRIDE or width % _STRIDE:
            raise ValueError(
                f"FeaturePyramid: image of {height}x{width} pixels, expected multiples of "
                f"{_STRIDE}. Prepare the data at such a size."
            )

    def normalise(self, image: Tensor) -> Tensor:
        """Bring (N, in_channels, H, W) in [-1, 1] to what the encoder was trained on."""
        if self.repeats_grey:
            image = image.expand(-1, 3, -1, -1)
        return ((image + 1) / 2 - self.mean) / self.std


def _build(
    in_channels: int, num_classes: int, encoder_name: str, download: bool, dropout: float
) -> nn.Module:
    from segmentation_models_pytorch import FPN

    # timm encoders want True, the others the name of the weights.
    weights: str | bool | None = None
    if download:
        weights = True if encoder_name.startswith("tu-") else "imagenet"
    try:
        network: nn.Module = FPN(
            encoder_name=encoder_name,
            encoder_weights=weights,
            in_channels=in_channels,
            classes=num_classes,
            decoder_dropout=dropout,
        )
    # Hub, network and timm raise kinds of errors with no common base.
    except Exception as error:
        if download:
            raise ValueError(
                f"FeaturePyramid: encoder {encoder_name} with ImageNet weights could not be had "
                f"({type(error).__name__}: {error}). Check its name and the network, or set "
                "encoder_weights to null and encoder_weights_path to a file."
            ) from error
        raise ValueError(
            f"FeaturePyramid: encoder {encoder_name!r} could not be built ({error}). Expected an "
            "encoder of segmentation-models-pytorch such as resnet34, or 'tu-' and a timm model "
            "with features at strides 4 to 32."
        ) from error
    return network


def _check_settings(
    in_channels: int, encoder_name: str, weights: str | None, path: str | None
) -> None:
    if not _NAME.fullmatch(encoder_name):
        raise ValueError(
            f"FeaturePyramid: encoder_name is {encoder_name!r}, expected the name of an encoder. "
            "Names of a hub or a folder (hf-hub:..., local-dir:...) are refused: what stands there "
            "is fetched, and may be anything. Give its weights with encoder_weights_path."
        )
    if weights is not None and path is not None:
        raise ValueError(
            "FeaturePyramid: both encoder_weights and encoder_weights_path are given, expected "
            "one. Set encoder_weights: null to use the file."
        )
    if weights not in (None, "imagenet", "restored"):
        raise ValueError(
            f"FeaturePyramid: encoder_weights is {weights!r}, expected 'imagenet', 'restored' or "
            "null."
        )
    if (weights or path) and in_channels not in (1, 3):
        raise ValueError(
            f"FeaturePyramid: pretrained weights with {in_channels} image channels, expected 1 "
            "(grey) or 3 (colour)."
        )

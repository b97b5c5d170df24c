"""ResNet and AlexNet from torchvision, for images of any size and number of channels."""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from networks.staged_classifier import StagedClassifier

_ALEXNET_SMALLEST_SIDE = 63  # pixels; below, its last pooling has nothing left to pool


class ResNet(StagedClassifier):
    """Residual network of torchvision; its batch normalisation makes results depend on the batch.

    Args:
        image_channels: 1 for films.
        num_classes: 2 for normal and abnormal.
        depth: 18, 34, 50, 101 or 152 layers.
        weights: See `StagedClassifier`; "imagenet" takes torchvision's newest of this depth.
        freeze: Stages from the input that are not trained, of 6: the first convolution, 4 groups of
            blocks, the head. Their batch statistics stay as they are, too.

    Raises:
        ValueError: Another depth, or weights that cannot be had, read or fitted.

    Source: He et al. 2015, arXiv:1512.03385, as in torchvision (stride in the 3x3 convolution).
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        depth: Literal[18, 34, 50, 101, 152] = 18,
        weights: str | None = None,
        freeze: int = 0,
    ) -> None:
        super().__init__(image_channels, weights)
        _check_classes(self.title, num_classes)
        if depth not in (18, 34, 50, 101, 152):
            raise ValueError(f"ResNet: depth is {depth!r}, expected 18, 34, 50, 101 or 152.")
        from torchvision import models

        self.network: Any = models.get_model(f"resnet{depth}", num_classes=num_classes)
        if image_channels != 3:
            self.network.conv1 = _like(self.network.conv1, image_channels)
            nn.init.kaiming_normal_(
                self.network.conv1.weight, mode="fan_out", nonlinearity="relu"
            )  # as torchvision does
        body = {name: part for name, part in self.network.named_children() if name != "fc"}
        self.prepare(freeze, body, "conv1.weight", lambda: _download(f"resnet{depth}"))

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, image_channels, H, W) in [-1, 1], sides >= 32, to logits (N, num_classes)."""
        logits: Tensor = self.network(self.checked(image))
        return logits

    def stages(self) -> list[nn.Module]:
        """First convolution, 4 groups of residual blocks, head."""
        net = self.network
        stem = nn.Sequential(net.conv1, net.bn1)
        return [stem, net.layer1, net.layer2, net.layer3, net.layer4, net.fc]

    @property
    def last_convolution(self) -> nn.Module:
        """The last residual block."""
        block: nn.Module = self.network.layer4[-1]
        return block


class AlexNet(StagedClassifier):
    """AlexNet of torchvision: 5 convolutions and 3 fully connected layers.

    Images with a side below 63 pixels are enlarged until it has 63 (bilinear): the filters of 11 x
    11 pixels at stride 4 and three poolings leave nothing of smaller ones.

    Args:
        image_channels: 1 for films.
        num_classes: 2 for normal and abnormal.
        dropout: Before the first two fully connected layers, in training mode only; see `VGG16`.
        weights: See `StagedClassifier`.
        freeze: Stages from the input that are not trained, of 7: the convolutions, the hidden
            layers, the head.

    Raises:
        ValueError: Weights that cannot be had, read or fitted.

    Source: Krizhevsky 2014, arXiv:1404.5997, as in torchvision: one tower, no local response
    normalisation.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        dropout: float = 0.5,
        weights: str | None = None,
        freeze: int = 0,
    ) -> None:
        super().__init__(image_channels, weights)
        _check_classes(self.title, num_classes)
        if not 0 <= dropout < 1:
            raise ValueError(f"AlexNet: dropout is {dropout}, expected 0 to below 1.")
        from torchvision import models

        self.network: Any = models.alexnet(num_classes=num_classes, dropout=dropout)
        if image_channels != 3:
            self.network.features[0] = _like(self.network.features[0], image_channels)
        body = {"features": self.network.features, "classifier": self.network.classifier[:-1]}
        self.prepare(freeze, body, "features.0.weight", lambda: _download("alexnet"))

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, image_channels, H, W) in [-1, 1], sides >= 32, to logits (N, num_classes)."""
        image = self.checked(image)
        shorter = min(image.shape[-2:])
        if shorter < _ALEXNET_SMALLEST_SIDE:
            size = [-(-side * _ALEXNET_SMALLEST_SIDE // shorter) for side in image.shape[-2:]]
            image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        logits: Tensor = self.network(image)
        return logits

    def stages(self) -> list[nn.Module]:
        """The 5 convolutions, each with what follows it, then the hidden layers and the head."""
        layers = self.network.features
        starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        ends = [*starts[1:], len(layers)]
        convolutions = [layers[start:end] for start, end in zip(starts, ends, strict=True)]
        return [*convolutions, self.network.classifier[:-1], self.network.classifier[-1]]

    @property
    def last_convolution(self) -> nn.Module:
        """The last activation before the last pooling."""
        layer: nn.Module = self.network.features[-2]
        return layer


def _like(convolution: nn.Conv2d, image_channels: int) -> nn.Conv2d:
    """The same convolution with fresh weights for another number of input channels."""
    return nn.Conv2d(
        image_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )


def _check_classes(title: str, num_classes: int) -> None:
    if num_classes < 1:
        raise ValueError(f"{title}: num_classes is {num_classes}, expected 1 or more.")


def _download(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(name)
    return dict(weights.DEFAULT.get_state_dict(progress=False, check_hash=True, weights_only=True))

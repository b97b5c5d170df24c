"""VGG-16, with the settings that Lee et al.'s students vary."""

import math
from typing import Literal

from torch import Tensor, nn

from networks.staged_classifier import StagedClassifier

ActivationName = Literal["relu", "sigmoid", "tanh", "elu"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block
_WIDTHS = (1, 2, 4, 8, 8)  # channels of each block, in multiples of the first's

# Weights N(0, gain^2 / fan in). ReLU and ELU: a normal input of variance 1 keeps its second moment.
# tanh: torch's own. Sigmoid: see `VGG16`.
_GAINS = {"relu": math.sqrt(2.0), "elu": 1.278, "tanh": 5 / 3, "sigmoid": 4 * 5 / 3}


class VGG16(StagedClassifier):
    """13 convolutions in 5 blocks, each ended by 2x2 max pooling, and 3 fully connected layers.

    Configuration D of Simonyan & Zisserman, in torchvision's layout and naming, so that its weights
    fit. At the defaults, with 3 channels and 1000 classes, 138,357,544 parameters. For films of 64
    pixels on a CPU: width 8 to 16, hidden 64 to 256, pooled_size 1 or 2.

    Initial weights: Lee et al. state none; N(0, gain^2 / fan in) keeps the size of the signal
    through 15 layers. A sigmoid is half of 1 + tanh(x / 2): with four times the weights, and biases
    that cancel the mean input of 1/2, the network starts like the one with tanh (except for the
    zeros at the border). `initialization: glorot` is Keras's default: uniform with variance
    2 / (fan in + fan out) and no biases. With it a sigmoid's gradient shrinks about sixfold at each
    layer towards the input, and nothing is learnt.

    Args:
        image_channels: 1 for films.
        num_classes: 2 for normal and abnormal.
        width: Channels of the first block; the others have 2, 4, 8 and 8 times as many.
        kernel_size: Side of all convolutions' filters, padded to keep the size: 3, 5 or 7.
        activation: After every layer but the last.
        normalization: "batch" normalises between convolution and activation.
        dropout: Of the fully connected layers' outputs, in training mode only. Its masks come from
            the global random state, so with dropout > 0 several processes or micro-batches no
            longer equal one.
        hidden: Units of the first two fully connected layers.
        pooled_size: Side to which the last maps are averaged (or repeated, where they are smaller)
            before the fully connected layers; nothing happens to images of 32 times as many pixels.
        initialization: "scaled" to the activation, or "glorot".
        weights: See `StagedClassifier`; they fit the paper's settings only.
        freeze: Stages from the input that are not trained, of 7: blocks, hidden layers, head.

    Raises:
        ValueError: Settings outside these ranges, or weights for other ones.

    Source: Simonyan & Zisserman 2014, arXiv:1409.1556; Lee et al. 2021 for films.
    """

    def __init__(
        self,
        image_channels: int,
        num_classes: int,
        width: int = 64,
        kernel_size: Literal[3, 5, 7] = 3,
        activation: ActivationName = "relu",
        normalization: Literal["none", "batch"] = "none",
        dropout: float = 0.5,
        hidden: int = 4096,
        pooled_size: int = 7,
        initialization: Literal["scaled", "glorot"] = "scaled",
        weights: str | None = None,
        freeze: int = 0,
    ) -> None:
        super().__init__(image_channels, weights)
        for name, value, allowed in (
            ("kernel_size", kernel_size, (3, 5, 7)),
            ("activation", activation, tuple(_ACTIVATIONS)),
            ("normalization", normalization, ("none", "batch")),
            ("initialization", initialization, ("scaled", "glorot")),
        ):
            if value not in allowed:
                expected = ", ".join(map(str, allowed))
                raise ValueError(f"VGG16: {name} is {value!r}, expected one of {expected}.")
        for name, number in (
            ("num_classes", num_classes), ("width", width), ("hidden", hidden),
            ("pooled_size", pooled_size),
        ):  # fmt: skip
            if number < 1:
                raise ValueError(f"VGG16: {name} is {number}, expected 1 or more.")
        if not 0 <= dropout < 1:
            raise ValueError(f"VGG16: dropout is {dropout}, expected 0 to below 1.")
        of_the_paper = (width, kernel_size, activation, hidden, pooled_size) == (
            64, 3, "relu", 4096, 7,
        )  # fmt: skip
        if self.initial_weights is not None and not of_the_paper:
            raise ValueError(
                "VGG16: pretrained weights fit width 64, kernel_size 3, activation relu, hidden "
                "4096 and pooled_size 7. Leave these at their defaults, or weights out."
            )
        act = _ACTIVATIONS[activation]
        layers: list[nn.Module] = []
        self._block_ends: list[int] = []
        channels = image_channels
        for convolutions, multiple in zip(_CONVOLUTIONS, _WIDTHS, strict=True):
            for _ in range(convolutions):
                layers.append(
                    nn.Conv2d(channels, width * multiple, kernel_size, padding=kernel_size // 2)
                )
                channels = width * multiple
                if normalization == "batch":
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(act())
            layers.append(nn.MaxPool2d(2))
            self._block_ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled_size**2, hidden),
            act(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            act(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        self._initialise(activation, initialization)
        self.prepare(
            freeze,
            {"features": self.features, "classifier": self.classifier[:-1]},
            "features.0.weight",
            lambda: _download(normalization),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, image_channels, H, W) in [-1, 1], sides >= 32, to logits (N, num_classes)."""
        maps = self.avgpool(self.features(self.checked(image)))
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits

    def stages(self) -> list[nn.Module]:
        """The 5 blocks, the hidden layers, the head."""
        starts = [0, *self._block_ends[:-1]]
        blocks = [
            self.features[start:end] for start, end in zip(starts, self._block_ends, strict=True)
        ]
        return [*blocks, self.classifier[:-1], self.classifier[-1]]

    @property
    def last_convolution(self) -> nn.Module:
        """The last activation before the last pooling: at 64 pixels a map of 4x4, not 2x2."""
        return self.features[-2]

    def _initialise(self, activation: ActivationName, initialization: str) -> None:
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for index, layer in enumerate(layers):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            if initialization == "glorot":
                nn.init.xavier_uniform_(layer.weight)
                continue
            fan_in = layer.weight[0].numel()
            gain = _GAINS[activation]
            if index == 0 and activation == "sigmoid":
                gain /= 2  # its input is an image, as tanh's is; tanh(x / 2) wants twice tanh's
            if index == len(layers) - 1:
                gain = 1.0
            nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
            if activation == "sigmoid" and index > 0:
                layer.bias.data = -0.5 * layer.weight.detach().flatten(1).sum(dim=1)


def _download(normalization: str) -> dict[str, Tensor]:
    from torchvision.models import VGG16_BN_Weights, VGG16_Weights

    chosen = VGG16_Weights if normalization == "none" else VGG16_BN_Weights
    return dict(
        chosen.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    )

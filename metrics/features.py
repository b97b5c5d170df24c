"""Feature extractors by name, for distances between sets of images and between paired images.

A distance between feature distributions means nothing without its extractor, so a number is named
after it ("frechet_random_vgg") and never "FID": that name belongs to one set of Inception weights.
"""

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.extractor import FeatureExtractor, check_images, read_state_dict
from metrics.inception import InceptionExtractor, inception_weights
from provenance import UserError, sha256_of
from spelling import meant

_KNOWN = '"random_vgg" (no download), or with a weights file "inception" and "timm:<name>"'


class RandomVGG(FeatureExtractor):
    """VGG-16 layout with random weights: 13 convolutions in five stages, 64 features.

    Weights are drawn from a generator of their own, so neither a download nor the global seed
    matters. Works at any size of at least 16 without resizing, so fine texture is seen.

    Source: Naeem 2020, arXiv:2002.09797 ("R64": random VGG-16, 64 features). Deviations: a quarter
    of the channels, so that 512 x 512 takes a fraction of a second on a CPU; the means of all
    stages (not the last alone) go through the random 64-d projection, so that texture counts.
    """

    _stages = ((16, 16), (32, 32), (64, 64, 64), (128, 128, 128), (128, 128, 128))
    _seed = 64

    def __init__(self) -> None:
        super().__init__()
        # Modules fill themselves from the global generator before we do; it is put back.
        with torch.random.fork_rng(devices=[]):
            self._build(torch.Generator().manual_seed(self._seed))
        self.name = "random_vgg"
        self.description = (
            "random_vgg: VGG-16 layout at a quarter width, random weights of seed "
            f"{self._seed}, 64 features, no resizing, sha256 {_parameter_hash(self)[:12]}"
        )
        self.requires_grad_(False)
        self.eval()

    def _build(self, generator: torch.Generator) -> None:
        self.stages = nn.ModuleList()
        channels = 1
        for widths in self._stages:
            layers: list[nn.Module] = []
            for width in widths:
                layer = nn.Conv2d(channels, width, 3, padding=1, padding_mode="replicate")
                # He's scale keeps the activations' size through the depth.
                _draw(layer.weight, math.sqrt(2 / (9 * channels)), generator)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
                layers += [layer, nn.ReLU()]
                channels = width
            self.stages.append(nn.Sequential(*layers))
        total = sum(widths[-1] for widths in self._stages)
        self.projection = nn.Linear(total, 64, bias=False)
        _draw(self.projection.weight, math.sqrt(1 / total), generator)

    def forward(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor.forward`; colour is averaged to grey. D = 64."""
        pooled = [stage.mean(dim=(2, 3)) for stage in self.maps(images)]
        return self.projection(torch.cat(pooled, dim=1))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Last activations of the five stages, at 1, 1/2, ... 1/16 of the image's size."""
        check_images(images)
        if min(images.shape[2:]) < 16:
            raise ValueError(f"images are {tuple(images.shape[2:])}, expected at least 16 x 16.")
        found = []
        flow = images.float().mean(dim=1, keepdim=True)
        if flow.device.type == "cpu":  # convolutions of few channels are faster by pixel there
            flow = flow.clone(memory_format=torch.channels_last)
        for index, stage in enumerate(self.stages):
            flow = stage(F.max_pool2d(flow, 2) if index else flow)
            found.append(flow)
        return found


class TimmExtractor(FeatureExtractor):
    """Pretrained timm network up to its global pooling.

    Images are resized (bilinear, antialiased) to the size that the network was trained at, grey is
    repeated to 3 channels, and both are normalised as its timm configuration says.

    Args:
        model_name: name of a timm model, e.g. "tf_efficientnet_lite0".
        weights_path: state dict in timm's naming, `.safetensors` or `.pth`; the classifier in it is
            not used.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model_name: str, weights_path: Path | str) -> None:
        super().__init__()
        import timm  # a second to import

        path = Path(weights_path)
        if not re.fullmatch(r"[\w.-]+", model_name, re.ASCII):
            raise UserError(
                f"timm:{model_name}: expected the name of a model of timm. Names of a hub or a "
                "folder (hf-hub:..., local-dir:...) are refused: nothing is fetched. Give the "
                "model's name here and its weights with --weights."
            )
        try:
            network: Any = timm.create_model(model_name, pretrained=False, num_classes=0)
        except RuntimeError as error:
            raise UserError(f"timm:{model_name}: timm knows no such model ({error}).") from error
        state = read_state_dict(path)
        named = network.pretrained_cfg["classifier"]
        heads = [named] if isinstance(named, str) else named
        body = {key: value for key, value in state.items() if key.rsplit(".", 1)[0] not in heads}
        _check_fit(path, model_name, body, network.state_dict())
        network.load_state_dict(body)
        # Half the time on a CPU: its convolutions are narrow ones, channel by channel.
        self.network = network.to(memory_format=torch.channels_last)
        config = timm.data.resolve_model_data_config(network)
        self.size = tuple(config["input_size"][1:])
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1))
        self.name = model_name
        self.description = (
            f"timm:{model_name}, pooled features, resized to {self.size[0]}x{self.size[1]}, "
            f"weights {path.name} sha256 {sha256_of(path)[:12]}"
        )
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor.forward`."""
        return self.network(self._prepared(images))

    def maps(self, images: Tensor) -> list[Tensor]:
        """The network's feature maps, one per reduction of size."""
        return self.network.forward_intermediates(self._prepared(images), intermediates_only=True)

    def _prepared(self, images: Tensor) -> Tensor:
        check_images(images)
        unit = (images.float() + 1) / 2
        if tuple(unit.shape[2:]) != self.size:
            unit = F.interpolate(
                unit, size=self.size, mode="bilinear", antialias=True, align_corners=False
            )
        scaled: Tensor = (unit.expand(-1, 3, -1, -1) - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)


def build_extractor(
    name: str, weights_path: Path | str | None = None, download: bool = False
) -> FeatureExtractor:
    """Feature extractor by name.

    Args:
        name: "random_vgg"; "inception", the one of FID; or "timm:<model>" as in
            "timm:tf_efficientnet_lite0".
        weights_path: state dict of a timm model or of the Inception; not used by "random_vgg".
        download: fetch the Inception's weights where no path is given. Nothing is fetched without.

    Raises:
        UserError: the name is unknown, or the weights are missing or do not fit.
    """
    if name == "random_vgg":
        return RandomVGG()
    if name == "inception":
        return InceptionExtractor(inception_weights(weights_path, download))
    if name.startswith("timm:"):
        if weights_path is None:
            raise UserError(
                f"{name}: needs its weights as a file; nothing is downloaded. Pass --weights PATH."
            )
        return TimmExtractor(name.removeprefix("timm:"), weights_path)
    near = meant(name, ("random_vgg", "inception"))
    raise UserError(f"{name!r}: no such feature extractor.{near} Known are {_KNOWN}.")


def _draw(parameter: Tensor, scale: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def _parameter_hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for parameter in module.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def _check_fit(
    path: Path, model_name: str, given: dict[str, Any], expected: dict[str, Tensor]
) -> None:
    wrong = sorted(
        key
        for key in given.keys() | expected.keys()
        if key not in given
        or key not in expected
        or getattr(given[key], "shape", None) != expected[key].shape
    )
    if wrong:
        raise UserError(
            f"{path}: does not fit timm:{model_name}: {len(wrong)} parameters are missing, unknown "
            f"or of another shape, first {wrong[0]}. Give the weights of that model."
        )

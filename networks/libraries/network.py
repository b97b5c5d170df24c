"""Networks of segmentation-models-pytorch, MONAI and torchvision, as they are.

Only these three packages, by a fixed list, and plain settings: a checkpoint may name such a network
too, and whoever wrote it chooses neither what is imported nor what is called.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from networks.encoder_weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_encoder_weights,
    read_weights,
)
from networks.libraries.lookup import MONAI, PAGE, SMP, TORCHVISION, found_network
from spelling import meant

_CHANNELS = ("in_channels", "n_input_channels")
_CLASSES = ("classes", "out_channels", "num_classes")
_PLAIN = (bool, int, float, str, type(None))
_NAMES_OF_FILES = "/\\:"  # in a text: a path or a URL
_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

PlainSettings = dict[str, bool | int | float | str | list | dict | None]


class LibraryNetwork(nn.Module):
    """A network of segmentation-models-pytorch, MONAI or torchvision for our images and classes.

    `--model.network segmentation_models_pytorch.Unet --model.network.encoder_name resnet18` makes
    one: the path becomes `name`, what else is said `settings`. Channels and classes are handed to
    the arguments that the package has for them (in_channels; classes, out_channels or num_classes),
    and MONAI is told that images have two dimensions. torchvision's networks take three channels;
    a grey image stands for equal red, green and blue.

    Nothing is downloaded unless `weights` says so, whatever the package's own defaults are. With
    pretrained weights images in [-1, 1] are brought to ImageNet's mean and deviation (of a network
    with one channel: the mean of those of the colours); without, they are taken as they are.

    Args:
        in_channels: Image channels.
        num_classes: Classes, with background where there is one.
        name: Path of a class, such as `monai.networks.nets.SegResNet`, or of a builder of
            torchvision's, such as `torchvision.models.densenet121`.
        settings: Further arguments of it: text, numbers, true, false, null, lists and tables of
            such. No paths.
        weights: File (.pth, .safetensors) of pretrained weights, of the encoder for a network of
            segmentation-models-pytorch, else of the whole network, whose last layer is left at
            random where it has other classes; "imagenet" downloads them; "restored" builds a
            network of pretrained weights without them, for a checkpoint to fill in.

    Raises:
        ValueError: A name outside of the packages, settings that it does not have, no argument for
            channels or classes, or weights that cannot be had, read or fitted.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        name: str,
        settings: PlainSettings | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.in_channels = in_channels
        self.num_classes = num_classes
        make, known = found_network(name)
        given = dict(settings or {})
        given = {key: value for key, value in given.items() if not _says_no_weights(key, value)}
        _check_settings(name, given, known)
        self.repeats_grey = name.startswith(TORCHVISION) and not set(_CHANNELS) & set(known)
        if self.repeats_grey and in_channels not in (1, 3):
            raise ValueError(
                f"{name}: takes images of 3 channels, and these have {in_channels}. Grey ones "
                f"stand for three equal colours; for other numbers write a wrapper, as {PAGE} does."
            )
        weights = None if weights is None or weights.lower() == "none" else weights
        by_package = weights == "imagenet" and name.startswith(SMP)
        _refuse_other_downloads(name, weights)
        arguments = {**given, **_without_weights(known, by_package, given)}
        arguments |= _channels_and_classes(name, known, given, in_channels, num_classes)
        missing = [
            one.name
            for one in known.values()
            if one.default is one.empty and one.name not in arguments
        ]
        if missing:
            raise ValueError(
                f"{name}: needs {', '.join(missing)}. Give --model.network.{missing[0]} and the "
                f"like; what is no plain value cannot be given, and takes a wrapper ({PAGE})."
            )
        self.network = _made(name, make, arguments)
        if weights not in (None, "restored") and not by_package:
            self._load(str(weights))
        # In the checkpoint, so that weights are never parted from the normalisation they need.
        scale, shift = torch.ones(1), torch.zeros(1)
        if weights is not None:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            if in_channels != 3 and not self.repeats_grey:
                mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
            scale, shift = 0.5 / std, (0.5 - mean) / std
        self.register_buffer("scale", scale.reshape(1, -1, 1, 1))
        self.register_buffer("shift", shift.reshape(1, -1, 1, 1))
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, in_channels, H, W) in [-1, 1] to logits (N, num_classes[, H, W]).

        Raises:
            ValueError: Another number of channels; a network that gives something else.
        """
        if image.dim() != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"{self.name}: image is {tuple(image.shape)}, expected (N, {self.in_channels}, H, "
                "W)."
            )
        if self.repeats_grey:
            image = image.expand(-1, 3, -1, -1)
        return self._logits(self.network(image * self.scale + self.shift), image)

    def _logits(self, given: Any, image: Tensor) -> Tensor:
        if isinstance(given, dict) and list(given) == ["out"]:  # torchvision's segmentation
            given = given["out"]
        if isinstance(given, list | tuple) and len(given) == 1:
            given = given[0]
        if not isinstance(given, Tensor):
            what = (
                f"{len(given)} outputs" if isinstance(given, list | tuple | dict) else "no tensor"
            )
            raise ValueError(
                f"{self.name}: gives {what}, expected one tensor of logits. Switch the others off "
                "in its settings (aux_params, aux_loss, aux_logits, deep_supervision), or write a "
                f"wrapper that picks one ({PAGE})."
            )
        shapes = [(self.num_classes,), (self.num_classes, *image.shape[2:])]
        if tuple(given.shape[1:]) not in shapes:
            raise ValueError(
                f"{self.name}: gives {tuple(given.shape)} of images {tuple(image.shape)}, expected "
                f"logits of {self.num_classes} classes for an image or for each of its pixels. "
                f"Write a wrapper that makes them so ({PAGE})."
            )
        return given

    def _load(self, weights: str) -> None:
        origin = f"{self.name}: {weights}"
        if weights == "imagenet":
            state = _downloaded(self.name)
        else:
            state = read_weights(Path(weights), origin, setting="--model.network.weights")
        target: Any = self.network
        part = "network"
        if self.name.startswith(SMP):
            target, part = self.network.get_submodule("encoder"), "encoder"
        else:
            # The last layer keeps its random start where it tells other classes apart.
            own = self.network.state_dict()
            kept = {
                name: own[name]
                for name in _last_layer(self.network)
                if name not in state or state[name].shape != own[name].shape
            }
            state = {**state, **kept}
        settings = "the network's settings or --model.network.weights"
        load_encoder_weights(target, state, origin, part=part, settings=settings)


def _is_of_weights(setting: str) -> bool:
    """Whether a setting says from where to fetch weights."""
    return setting != "init_weights" and ("weights" in setting or "pretrained" in setting)


def _says_no_weights(setting: str, value: object) -> bool:
    return _is_of_weights(setting) and value in (None, False)


def _check_settings(name: str, given: dict[str, Any], known: dict[str, Any]) -> None:
    for setting, value in given.items():
        if _is_of_weights(setting):
            raise ValueError(
                f"{name}: {setting} would fetch weights. Give --model.network.weights FILE, or "
                "imagenet to download them."
            )
        if setting in (*_CHANNELS, *_CLASSES) and setting in known:
            raise ValueError(f"{name}: {setting} is taken from the data. Leave it out.")
        if setting not in known:
            raise ValueError(
                f"{name}: has no setting {setting[:100]}.{meant(setting, list(known))}"
            )
        _check_plain(name, setting, value)


def _check_plain(name: str, setting: str, value: object) -> None:
    if isinstance(value, list | tuple):
        for one in value:
            _check_plain(name, setting, one)
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_plain(name, setting, key)
            _check_plain(name, setting, one)
    elif not isinstance(value, _PLAIN):
        raise ValueError(f"{name}: {setting} is a {type(value).__name__}, expected plain values.")
    elif isinstance(value, str) and any(mark in value for mark in _NAMES_OF_FILES):
        raise ValueError(
            f"{name}: {setting} is {value[:100]!r}. Names of files and of a hub (hf-hub:..., "
            "local-dir:...) are refused: what stands there is fetched, and may be anything. Give "
            "weights with --model.network.weights."
        )


def _without_weights(known: dict[str, Any], by_package: bool, given: dict[str, Any]) -> Any:
    """Arguments with which a package downloads nothing; with `by_package` the encoder's weights."""
    off: dict[str, Any] = {
        key: False if isinstance(one.default, bool) else None
        for key, one in known.items()
        if _is_of_weights(key) and one.default not in (None, False)
    }
    if by_package:
        # timm's encoders want True, the others the name of the weights.
        timm = str(given.get("encoder_name", "")).startswith("tu-")
        off["encoder_weights"] = True if timm else "imagenet"
    return off


def _channels_and_classes(
    name: str, known: dict[str, Any], given: dict[str, Any], in_channels: int, num_classes: int
) -> dict[str, int]:
    classes = next((key for key in _CLASSES if key in known), None)
    channels = next((key for key in _CHANNELS if key in known), None)
    if classes is None or (channels is None and not name.startswith(TORCHVISION)):
        lacking = (
            f"classes ({', '.join(_CLASSES)})" if classes is None else "channels (in_channels)"
        )
        raise ValueError(
            f"{name}: has no argument for the number of {lacking}; it takes "
            f"{', '.join(known) or 'none'}. Write a wrapper that hands them over, as {PAGE} does."
        )
    told = {classes: num_classes}
    if channels is not None:
        told[channels] = in_channels
    if "spatial_dims" in known:
        if given.get("spatial_dims", 2) != 2:
            raise ValueError(
                f"{name}: spatial_dims is {given['spatial_dims']}, and images here are slices and "
                "films, of two dimensions. Leave it out."
            )
        told["spatial_dims"] = 2
    return told


def _refuse_other_downloads(name: str, weights: str | None) -> None:
    if weights == "imagenet" and name.startswith(MONAI):
        raise ValueError(
            f"{name}: --model.network.weights imagenet is for networks of "
            "segmentation-models-pytorch and torchvision. Give a file with weights of this network."
        )


def _made(name: str, make: Callable[..., nn.Module], arguments: dict[str, Any]) -> nn.Module:
    try:
        return make(**arguments)
    except NotImplementedError:  # of a network that cannot be made as shapes alone
        raise
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        raise ValueError(
            f"{name}: cannot be made with these settings ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]})."
        ) from None


def _downloaded(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    try:
        weights: Any = get_model_weights(name.rpartition(".")[2])
        state = weights.DEFAULT.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return dict(state)
    # Hub and network raise kinds of errors with no common base.
    except Exception as error:
        raise ValueError(
            f"{name}: ImageNet weights could not be downloaded ({type(error).__name__}: {error}). "
            "Check the network, or set weights to the path of a state-dict file."
        ) from None


def _last_layer(network: nn.Module) -> list[str]:
    """Names of the tensors of the layer that comes last: the one that tells classes apart."""
    layers = [one for one in network.named_modules() if isinstance(one[1], _LAYERS)]
    return [f"{name}.{part}" for name, layer in layers[-1:] for part in layer.state_dict()]

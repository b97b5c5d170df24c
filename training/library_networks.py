"""`--model.network` with a class of another package: segmentation_models_pytorch.Unet and the like.

A user names the class and its settings as that package has them. jsonargparse would hand it our
number of channels and classes as its first two arguments, whatever these are, and cannot build
torchvision's builders, which are functions. So what is given becomes a `networks.LibraryNetwork`,
with the path as its `name`; config.yaml and checkpoints hold that one.
"""

import importlib
import json
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from lightning_modules import Segmenter
from lightning_modules.module_size import shapes_alone
from networks.libraries.lookup import is_library_path
from networks.libraries.network import LibraryNetwork
from provenance import UserError

_SETTING = "network"
_PATH = f"{LibraryNetwork.__module__}.{LibraryNetwork.__name__}"
_SHORT = "networks.LibraryNetwork"
_OWN = ("name", "settings", "weights")
_ENCODER_WEIGHTS = "encoder_weights"  # segmentation-models-pytorch's name of `weights`


class NetworkParser(LightningArgumentParser):
    """Lightning's parser, for which `network` may be a class of another package.

    The settings of a module are parsed by a parser of the same class: a table of them by
    `parse_object`, a word such as --network.width=8 by `parse_args`.
    """

    def parse_object(self, cfg_obj: Any, *args: Any, **settings: Any) -> Any:
        """Of a module's settings, `network` may name another package's class."""
        if isinstance(cfg_obj, dict | Namespace) and _SETTING in cfg_obj:
            network = plain(cfg_obj[_SETTING])
            path = network.get("class_path") if isinstance(network, dict) else network
            if is_library_path(path):
                cfg_obj = cfg_obj.clone() if isinstance(cfg_obj, Namespace) else dict(cfg_obj)
                inside = network.get("init_args") if isinstance(network, dict) else None
                cfg_obj[_SETTING] = _as_ours(str(path), inside or {})
        return super().parse_object(cfg_obj, *args, **settings)

    def parse_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None, **settings: Any
    ) -> Any:
        """The same of words."""
        if args is not None:
            args = [_word_as_ours(word, namespace) for word in args]
        return super().parse_args(args, namespace, **settings)


def plain(node: Any) -> Any:
    """Namespaces as dicts."""
    return node.as_dict() if isinstance(node, Namespace) else node


def _as_ours(path: str, settings: dict[str, Any]) -> dict[str, Any]:
    given = dict(settings)
    weights = given.pop("weights", None) or given.pop(_ENCODER_WEIGHTS, None)
    return {
        "class_path": _SHORT,
        "init_args": {"name": path, "settings": given, "weights": weights},
    }


def _word_as_ours(word: str, namespace: Any) -> str:
    flag, equals, value = word.partition("=")
    if flag in (f"--{_SETTING}", f"--{_SETTING}.class_path") and is_library_path(value):
        return f"--{_SETTING}={json.dumps(_as_ours(value, {}))}"
    before = namespace.get(_SETTING) if isinstance(namespace, Namespace) else None
    if not isinstance(before, Namespace) or before.get("class_path") not in (_PATH, _SHORT):
        return word
    if not equals or not flag.startswith(f"--{_SETTING}."):
        return word
    name = flag.removeprefix(f"--{_SETTING}.").removeprefix("init_args.")
    if name == _ENCODER_WEIGHTS:
        name = "weights"
    if name.split(".")[0] in _OWN or name == "class_path":
        return f"--{_SETTING}.{name}={value}"
    return f"--{_SETTING}.settings.{name}={value}"


def refuse_unfit_network(model: Any, datamodule: Any) -> None:
    """Refuse a network of another package that does not fit the images, before it is built.

    Its shapes alone are computed, which takes neither memory nor time; so it is loaded from a
    checkpoint too, and one that cannot be is refused here and not after the training.

    Args:
        model: The module's class and arguments, with those from the data; a segmenter wants logits
            for every pixel.
        datamodule: It has `image_size` and its `cache`.

    Raises:
        UserError: It cannot be made with its settings, or does not take such images.
    """
    network = model.init_args.get(_SETTING)
    if not isinstance(network, Namespace) or network.get("class_path") not in (_PATH, _SHORT):
        return
    settings = plain(network.get("init_args"))
    if settings.get("weights") is not None:
        settings = {**settings, "weights": "restored"}
    channels, findings = (
        model.init_args["image_channels"] or 1,
        model.init_args.get("finding_names"),
    )
    classes = len(findings) if findings else model.init_args["num_classes"]
    size = datamodule.image_size
    name = settings["name"]
    with shapes_alone():
        try:
            built = LibraryNetwork(channels, classes, **settings)
        except NotImplementedError as error:
            raise UserError(
                f"--model.network {name}: computes with values while it is made ({error}). A "
                "checkpoint of it could not be loaded safely, so it is not trained. Write a class "
                "of your own (docs/networks.md)."
            ) from error
        except ValueError as error:
            raise UserError(f"--model.network {error}") from error
        for training in (False, True):
            try:
                logits = built.train(training)(torch.empty(2, channels, size, size))
            except ValueError as error:
                if str(error).startswith(f"{name}:"):
                    raise UserError(f"--model.network {error}") from error
                raise _unfit(name, datamodule, error) from error
            except ImportError as error:
                missing = " ".join(str(error).split()).partition(". ")[0][:300]
                raise UserError(
                    f"--model.network {name}: needs what is not there: {missing}. Install it, or "
                    "use another network."
                ) from error
            except (NotImplementedError, RuntimeError, AssertionError, TypeError) as error:
                if "meta" in str(error):  # it reads values, which shapes do not have
                    return
                raise _unfit(name, datamodule, error) from error
    module, _, kind = model.class_path.rpartition(".")
    per_pixel = issubclass(getattr(importlib.import_module(module), kind), Segmenter)
    if (logits.dim() == 4) != per_pixel:
        wanted, makes = ("every pixel", "the image") if per_pixel else ("the image", "every pixel")
        raise UserError(
            f"--model.network {name}: tells the class of {makes}, and this model needs that of "
            f"{wanted}. Use a network for {'segmentation' if per_pixel else 'classification'}."
        )


def _unfit(name: str, datamodule: Any, error: Exception) -> UserError:
    size = datamodule.image_size
    return UserError(
        f"--model.network {name}: does not take the images of {datamodule.cache.root}, of {size} x "
        f"{size} px ({' '.join(str(error).split())[:300]}). Prepare them at another size "
        "(--image-size), or change its settings."
    )

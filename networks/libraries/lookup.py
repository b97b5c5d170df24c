"""What makes a network of another package, looked up by name: its class or builder, and arguments.

A fixed list of modules; a name from a stranger's checkpoint leads nowhere else.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from torch import nn

from spelling import meant

SMP, MONAI = "segmentation_models_pytorch", "monai.networks.nets"
TORCHVISION = "torchvision.models"
PACKAGES = (SMP, MONAI, TORCHVISION)
"""What a network's name begins with."""

PAGE = "docs/networks.md"


def is_library_path(path: object) -> bool:
    """Whether a class path leads into one of the three packages."""
    return isinstance(path, str) and path.startswith(tuple(f"{name}." for name in PACKAGES))


def found_network(name: str) -> tuple[Callable[..., nn.Module], dict[str, inspect.Parameter]]:
    """What makes a network, and what it can be told by name; nothing else can be named.

    Args:
        name: Such as `monai.networks.nets.SegResNet` or `torchvision.models.densenet121`.

    Raises:
        ValueError: No network of the three packages.
    """
    package = next((one for one in PACKAGES if name.startswith(f"{one}.")), None)
    last = name.rpartition(".")[2]
    if package is None:
        raise ValueError(
            f"{name[:200]}: is no network of {', '.join(PACKAGES)}. Others are used through a "
            f"class of your own in networks/ ({PAGE})."
        )
    module = importlib.import_module(package)
    if package == TORCHVISION:
        builders = _builders()
        if name in builders:
            return _with_arguments(*builders[name])
    found: Any = getattr(module, last, None)
    kind = _class_made_by(found, package)
    if kind is not None and name in (f"{package}.{last}", f"{found.__module__}.{last}"):
        return _with_arguments(found, kind)
    names = [key for key, value in vars(module).items() if _class_made_by(value, package)]
    near = meant(last, [key for key in names if key != last])
    raise ValueError(f"{name[:200]}: {package} has no such network.{near}")


def _class_made_by(found: Any, package: str) -> type | None:
    """The class itself, or the one that a builder of the package says it makes."""
    if not getattr(found, "__module__", "").startswith(f"{package}."):
        return None
    if inspect.isfunction(found) and package != TORCHVISION:  # whose builders are registered
        try:
            kind = get_type_hints(found).get("return")
        except NameError:
            return None
    else:
        kind = found
    is_one = inspect.isclass(kind) and issubclass(kind, nn.Module) and kind is not nn.Module
    return kind if is_one else None


def _with_arguments(
    make: Callable[..., nn.Module], kind: type
) -> tuple[Callable[..., nn.Module], dict[str, inspect.Parameter]]:
    """What makes a network and its arguments; those that a builder hands on may be left out."""
    if make is kind:
        return make, _parameters(kind)
    return make, {**_optional(_parameters(kind)), **_named(make)}


def _optional(known: dict[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """The same arguments, none of which is needed."""
    return {
        key: one.replace(default=None) if one.default is one.empty else one
        for key, one in known.items()
    }


def _builders() -> dict[str, tuple[Callable[..., nn.Module], type]]:
    """The builders that torchvision registers: by path, with the class that each makes."""
    from torchvision import models

    found = {}
    for module in (models, models.segmentation):
        for name in models.list_models(module=module):
            make = models.get_model_builder(name)
            found[f"{module.__name__}.{name}"] = (make, get_type_hints(make)["return"])
    return found


def _named(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(make).parameters
    return {key: one for key, one in parameters.items() if one.kind not in several}


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Named arguments of a class, with those that it hands on to its base as **kwargs.

    Of the latter none is needed: the class may give it itself.
    """
    known: dict[str, inspect.Parameter] = {}
    for owner in kind.__mro__:
        if "__init__" not in vars(owner) or owner is nn.Module:
            continue
        constructor: Any = vars(owner)["__init__"]
        own = {key: one for key, one in _named(constructor).items() if key != "self"}
        known = {**(_optional(own) if known else own), **known}
        kinds = [one.kind for one in inspect.signature(constructor).parameters.values()]
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return known

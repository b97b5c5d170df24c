"""Classes that a file names, found without importing anything but this software.

A configuration is code: whoever writes one chooses what is imported. A checkpoint is not, but it
names the classes that made it, and jsonargparse would import whatever stands where a class may
stand, and call it. So before that, every value of a record is compared with the type that its
setting has: where a class may stand, it must be one of ours, and elsewhere only plain values stand.
"""

import importlib
import inspect
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

from provenance import UserError

_SCALARS = (bool, int, float, str, type(None))


def own_class(path: Any, base: type, rooms: tuple[str, ...], place: str, source: Path) -> type:
    """Import a class of this software.

    Args:
        path: As the file names it, such as `networks.UNet`.
        base: What it must be a subclass of.
        rooms: Top folders of this software that it may lie in.
        place: Where the path stands in the file, for the sentence.
        source: The file, for the sentence.

    Raises:
        UserError: Anything else. Nothing outside the rooms is imported then.
    """
    refused = UserError(
        f"{source}: {place[:200]} names the class {str(path)[:200]}, which is not part of this "
        "software. It is not loaded."
    )
    if not isinstance(path, str):
        raise refused
    *module, name = path.split(".")
    if (
        not module
        or module[0] not in rooms
        or not all(part.isidentifier() for part in (*module, name))
        or not _has_file(module)
    ):
        raise refused
    found: Any = getattr(importlib.import_module(".".join(module)), name, None)
    # A class that our file defines, not one that it imports, nor a function.
    if not inspect.isclass(found) or found.__module__.split(".")[0] not in rooms:
        raise refused
    if not issubclass(found, base):
        raise refused
    return found


def _has_file(module: list[str]) -> bool:
    """Whether the room holds the module: looked for as a file, since importing would run it."""
    files = [Path(root, *module[1:]) for root in importlib.import_module(module[0]).__path__]
    return any(x.with_suffix(".py").is_file() or (x / "__init__.py").is_file() for x in files)


def checked_class(
    given: Any, base: type, rooms: tuple[str, ...], place: str, source: Path
) -> dict[str, Any]:
    """A class with its settings, all of which were looked at: {"class_path", "init_args"}.

    Args:
        given: Such a dictionary, or the path alone.
        base: See `own_class`, as the others are; networks inside it may lie in `networks` only.
        rooms: See there.
        place: See there.
        source: See there.

    Raises:
        UserError: A class that is not ours, a setting that it does not have, or a value from which
            jsonargparse could make an object; names the place.
    """
    if isinstance(given, str):
        given = {"class_path": given}
    if not isinstance(given, dict) or not {"class_path"} <= set(given) <= {
        "class_path",
        "init_args",
    }:
        raise UserError(
            f"{source}: {place} is {_shown(given)}, expected class_path and init_args of a class "
            "of this software. It is not loaded."
        )
    kind = own_class(given["class_path"], base, rooms, place, source)
    settings = given.get("init_args")
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise UserError(
            f"{source}: {place}.init_args is {_shown(settings)}, expected settings. It is not "
            "loaded."
        )
    known = settings_of(kind)
    checked = {}
    for name, value in settings.items():
        at = f"{place}.init_args.{name}"
        if name not in known:
            raise UserError(
                f"{source}: {at[:200]}: {given['class_path']} has no such setting. It is not "
                "loaded; another version may have written it."
            )
        checked[name] = _checked_value(known[name], value, at, source)
    return {"class_path": given["class_path"], "init_args": checked}


def settings_of(kind: type) -> dict[str, Any]:
    """Name and type of what a class's constructor takes, with what it hands on to its base."""
    known: dict[str, Any] = {}
    for owner in kind.__mro__:
        if "__init__" not in vars(owner):
            continue
        constructor: Any = vars(owner)["__init__"]
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        types_of = get_type_hints(constructor)
        several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        named = [one.name for one in parameters if one.kind not in several]
        known = {**{name: types_of.get(name, Any) for name in named}, **known}
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
    return known


def _checked_value(kind: Any, value: Any, place: str, source: Path) -> Any:
    if value is None and type(None) in get_args(kind):
        return None
    if get_origin(kind) in (Union, types.UnionType) and not is_plain(kind):
        others = [part for part in get_args(kind) if part is not type(None)]
        kind = others[0] if len(others) == 1 else kind
    if get_origin(kind) is Callable:
        return checked_class(value, nn.Module, ("networks",), place, source)
    if is_dataclass(kind):
        known = {field.name for field in fields(kind)}
        if not isinstance(value, dict) or not known >= set(value):
            raise _no_plain_value(source, place, f"settings of a {getattr(kind, '__name__', '')}")
        return {
            name: _checked_value(get_type_hints(kind)[name], one, f"{place}.{name}", source)
            for name, one in value.items()
        }
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise _no_plain_value(source, place, "a table of plain values")
        _check_table(value, place, source)
        return value
    if not is_plain(kind):
        raise UserError(
            f"{source}: {place}: cannot be checked, since its type {kind} may stand for any class. "
            "It is not loaded."
        )
    parts = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(part, _SCALARS) for part in parts):
        raise _no_plain_value(source, place, "text, a number, or a list of such")
    return value


def _check_table(value: Any, place: str, source: Path) -> None:
    """Refuse (UserError) a table, or a list inside of one, that holds what could be made a class.

    Its texts stay texts for the class that takes it, which looks at them itself.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value) or "class_path" in value:
            raise _no_plain_value(source, place, "a table of plain values")
        for key, one in value.items():
            _check_table(one, f"{place}.{key}", source)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            _check_table(one, f"{place}[{index}]", source)
    elif not isinstance(value, _SCALARS):
        raise _no_plain_value(source, place, "text, a number, or a list or table of such")


def is_plain(kind: Any) -> bool:
    """Whether only texts, numbers, bools and None, alone or in lists, are of a type."""
    if kind in _SCALARS or kind is None or kind is Ellipsis:
        return True
    origin = get_origin(kind)
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType, list, tuple):
        return all(is_plain(part) for part in get_args(kind))
    return False


def _no_plain_value(source: Path, place: str, expected: str) -> UserError:
    return UserError(f"{source}: {place}: expected {expected}. It is not loaded.")


def _shown(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, _SCALARS) else f"a {type(value).__name__}"

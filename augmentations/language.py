"""A policy as it is written down: a preset's name, a list of operations, or a file with one.

    - rotation: {max_degrees: 10, probability: 0.5}
    - gamma: {strength: 0.5}
    - horizontal_flip
    - nnunet              # a preset among them stands for its operations

Each entry is the name of an operation, alone or with its settings. See docs/augmentations.md.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from augmentations.catalogue import BATCH_OPERATIONS, OPERATIONS, name_of
from augmentations.operation import BatchOperation, Images, Operation
from augmentations.policy import Policy
from augmentations.presets import PRESETS
from foreign_text import configuration_of
from provenance import UserError
from spelling import meant, meant_path

Written = list[Any] | str
"""A list of entries, the name of a preset, or the path of a YAML file with a list."""

_WHERE = "docs/augmentations.md describes them"


def written_list(written: Written, flag: str = "--data.augmentation") -> Written:
    """The list in the file that is named; what names no file is given back.

    Raises:
        UserError: There is neither such a preset nor such a file, or it holds no list.
    """
    if not isinstance(written, str) or written in PRESETS:
        return written
    path = Path(written)
    if not path.is_file():
        looks_like_a_path = path.suffix in (".yaml", ".yml") or len(path.parts) > 1
        if looks_like_a_path:
            lacks = "is no file" if path.exists() else "there is no such file"
            raise UserError(
                f"{flag} {written}: {lacks}.{meant_path(path)} Expected a YAML file with a list "
                f"of operations, or one of the presets {', '.join(PRESETS)}."
            )
        near = meant(written, list(PRESETS))
        if written in OPERATIONS or written in BATCH_OPERATIONS:
            near = f" The operation of that name alone is {flag} '[{written}]'."
        raise UserError(
            f"{flag} {written}: expected {', '.join(PRESETS)}, a list of operations, or a YAML "
            f"file with such a list, and this is none of them.{near}"
        )
    content = configuration_of(path)
    if not isinstance(content, list):
        raise UserError(
            f"{flag} {written}: holds {_kind(content)}, expected a list of operations, such as "
            f"'- rotation: {{max_degrees: 10}}'; {_WHERE}."
        )
    return content


def read_policy(written: Written, images: Images, flag: str = "--data.augmentation") -> Policy:
    """Make the policy that is written down.

    Args:
        written: See `Written`.
        images: What it is for.
        flag: Where it was given, for sentences.

    Raises:
        UserError: Something in it is unknown, out of range, or not defined for these images.
    """
    if not isinstance(written, str) and not _is_list(written):
        raise UserError(
            f"{flag}: is {_kind(written)}, expected the name of a preset, a list of operations, "
            "such as [{rotation: {max_degrees: 10}}], or a YAML file with one."
        )
    named = f"{flag} {written}" if isinstance(written, str) else flag
    content = written_list(written, flag)
    entries = PRESETS[content] if isinstance(content, str) else content
    operations = [_operation(entry, named) for entry in _spread(entries)]
    policy = Policy(
        tuple(one for one in operations if isinstance(one, Operation)),
        tuple(one for one in operations if isinstance(one, BatchOperation)),
    )
    first = next((k for k, one in enumerate(operations) if isinstance(one, BatchOperation)), None)
    if first is not None and any(isinstance(one, Operation) for one in operations[first:]):
        raise UserError(
            f"{named}: {_name(entries, first)} works on a batch of images that are finished, and "
            "operations on single images come after it. Put it last."
        )
    for before, after in itertools.pairwise(policy.on_batches):
        if before.makes_views:
            raise UserError(
                f"{named}: {name_of(after)} comes after {name_of(before)}, whose views are of the "
                f"image as it was before. Put {name_of(before)} last."
            )
    for one in operations:
        refuse_undefined(one, images, named)
    return policy


def refuse_undefined(
    operation: Operation | BatchOperation, images: Images, flag: str = "--data.augmentation"
) -> None:
    """Refuse (UserError) an operation that is not defined for such images; says why."""
    for inner in getattr(operation, "operations", ()):
        refuse_undefined(inner, images, flag)
    reason = operation.undefined_for(images)
    if reason is not None:
        raise UserError(f"{flag}: {name_of(operation)}: {reason}. Leave it out.")


def _spread(entries: Sequence[Any]) -> list[Any]:
    """Entries with each preset's name replaced by its operations."""
    found: list[Any] = []
    for entry in entries:
        is_preset = isinstance(entry, str) and entry in PRESETS and entry not in OPERATIONS
        found += PRESETS[entry] if is_preset else [entry]
    return found


def _name(entries: Sequence[Any], place: int) -> str:
    entry = _spread(entries)[place]
    return entry if isinstance(entry, str) else str(next(iter(entry)))


def _operation(entry: Any, flag: str) -> Operation | BatchOperation:
    """Make one operation of an entry."""
    name, settings = entry, dict[Any, Any]()
    if isinstance(entry, Mapping) and len(entry) == 1:
        name, settings = next(iter(entry.items()))
        settings = {} if settings is None else settings
    known: dict[str, Any] = OPERATIONS | BATCH_OPERATIONS
    if not isinstance(name, str) or not isinstance(settings, Mapping):
        raise UserError(
            f"{flag}: {entry!r} is no operation. Expected its name, or its name with settings, "
            "such as {rotation: {max_degrees: 10}}; " + _WHERE + "."
        )
    if name in PRESETS and name not in known:
        raise UserError(f"{flag}: {_as_preset(name, entry)}")
    if name not in known:
        raise UserError(
            f"{flag}: there is no operation {name}.{meant(name, [*known, *PRESETS])} There are "
            f"{', '.join(known)}; {_WHERE}."
        )
    return _made(known[name], name, settings, flag)


def _as_preset(name: str, entry: Any) -> str:
    """Why a preset cannot stand where it stands: the list itself takes its name alone."""
    if isinstance(entry, Mapping):
        return (
            f"{name} is a preset and takes no settings. Write its name alone, or copy its "
            f"operations and change them; {_WHERE}."
        )
    return (
        f"{name} is a preset, a list of operations, and one_of and one_at_a_level choose one "
        f"operation. Write those of {name} that are to be chosen among; {_WHERE}."
    )


def _made(kind: Any, name: str, settings: Mapping[Any, Any], flag: str) -> Any:
    """An operation with these settings, each checked."""
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise UserError(
                f"{flag}: {name} has no setting {key}.{meant(str(key), list(known))} It has "
                f"{', '.join(known)}."
            )
        if known[key].name == "operations":
            values[key] = _inner(value, name, flag)
        else:
            values[key] = _checked(value, known[key], name, flag)
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{flag}: {name}: {error}. Correct it.") from error


def _inner(value: Any, name: str, flag: str) -> tuple[Operation, ...]:
    """Operations within an operation."""
    if not isinstance(value, list | tuple) or not value:
        raise UserError(
            f"{flag}: {name}: operations is {value!r}, expected a list of one or more operations."
        )
    inner = tuple(_operation(entry, flag) for entry in value)
    if not all(isinstance(one, Operation) for one in inner):
        raise UserError(
            f"{flag}: {name}: holds operations on single images alone, none of a batch."
        )
    return inner  # type: ignore[return-value]


def _checked(value: Any, field: Field[Any], name: str, flag: str) -> Any:
    """A plain value of the kind and in the range of a setting."""
    default = field.default
    least, most = field.metadata.get("least"), field.metadata.get("most")
    where = f"{flag}: {name}: {field.name}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        fits, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        fits, expected = isinstance(value, str), "a word"
    else:
        whole = isinstance(default, int)
        fits = is_number and math.isfinite(value) and (not whole or isinstance(value, int))
        fits = fits and (least is None or value >= least) and (most is None or value <= most)
        expected = "a whole number" if whole else "a number"
        expected += f" from {least:g}" if least is not None else ""
        expected += f" to {most:g}" if most is not None else ""
    if not fits:
        raise UserError(f"{where} is {value!r}, expected {expected}.")
    return float(value) if isinstance(default, float) else value


def _is_list(written: Any) -> bool:
    return isinstance(written, Sequence) and not isinstance(written, bytes)


def _kind(content: Any) -> str:
    return "a mapping" if isinstance(content, Mapping) else f"{type(content).__name__}"

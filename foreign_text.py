"""Text that others wrote: read in bounded room and time, and shown as no more than text.

A YAML of some hundred bytes can stand for gigabytes, a name may be a link to a device that never
ends, and a name in a record may hold what moves a terminal's cursor. Every room may import it.
"""

import os
import stat
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from provenance import UserError

MOST_BYTES = 10_000_000  # of a file that is read whole, far more than any YAML of a training
_MOST_VALUES = 1_000_000
_DEEPEST = 100
_MOST_CHARACTERS = 4000  # of a sentence
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is quicker


class _Loader(_LOADER):
    """Takes a date for text, as the parser of the command line does; there is none such as 31.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != "tag:yaml.org,2002:timestamp"]
    for first, forms in _LOADER.yaml_implicit_resolvers.items()
}


def read_small_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Bytes of a file: of a regular one, which neither waits for a writer nor never ends.

    Args:
        path: Of the file; a link to a regular file is one.
        most: Bytes that it may have.

    Raises:
        ValueError: It is a pipe, a device or a folder, or larger.
        OSError: It cannot be opened.
    """
    with open(path, "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("it is no regular file")
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def parse_yaml(text: str) -> Any:
    """The plain values of a YAML, if they take no more room than a file without references.

    Raises:
        ValueError: It has references to itself, or stands for more than a million values, or is
            nested deeper than a hundred levels, or holds a value that there cannot be.
        yaml.YAMLError: It is no YAML, or has other than plain values.
    """
    open_, total = [0], 0  # values in each collection that is open, and in all
    names: list[str | None] = [None]
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, _Loader):
        size = 0
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 0)
            if event.anchor in names:
                raise ValueError(f"*{event.anchor} stands inside of itself")
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            total += 1
            open_.append(1)
            names.append(event.anchor)
            if len(open_) > _DEEPEST:
                raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            size, name = open_.pop(), names.pop()
            if name is not None:
                sizes[name] = size
        open_[-1] += size
        total += 0 if isinstance(event, yaml.CollectionEndEvent) else size
        if total > _MOST_VALUES:
            raise ValueError(f"it stands for more than {_MOST_VALUES:,} values")
    return yaml.load(text, _Loader)


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file, bounded as `parse_yaml` bounds them.

    Raises:
        ValueError: As `parse_yaml`; it is no UTF-8, or no regular file.
        yaml.YAMLError: It is no YAML.
        OSError: It cannot be opened.
    """
    try:
        text = read_small_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason}, byte {error.start})") from error
    return parse_yaml(text)


def configuration_of(path: Path) -> Any:
    """The plain values of a YAML file that a command needs.

    Raises:
        UserError: What `read_yaml` raises, in a sentence that names the file.
    """
    try:
        return read_yaml(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}. Correct the file.") from error


def printable(text: str) -> str:
    r"""The text with each control character as an escape such as \x1b, and no line breaks.

    Format characters too, by which text may run from right to left over what stands beside it.
    """
    return "".join(_escaped(one) for one in text)


def printable_sentence(text: str) -> str:
    """A sentence as `printable`, but for its line breaks: what follows one is set in.

    So no name inside of it forges a line of its own. A very long one is cut short.
    """
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]} ... ({len(text) - _MOST_CHARACTERS:,} more characters)"
    first, *rest = [printable(line) for line in text.split("\n")]
    return "\n".join([first, *(line if line.startswith(" ") else f"  {line}" for line in rest)])


def _escaped(one: str) -> str:
    shown = one == " " or unicodedata.category(one) not in ("Cc", "Cf", "Zl", "Zp")
    return one if shown else one.encode("unicode_escape").decode("ascii")

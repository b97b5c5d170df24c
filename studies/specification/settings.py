"""A setting of a training as its configurations and flags say it, without loading any class."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from foreign_text import configuration_of
from studies.specification.specification import find_path, words_of


def setting_in(
    config: str, arguments: Sequence[str], part: Literal["data", "trainer"], name: str
) -> Any:
    """A setting of a training; None where nothing says it.

    Read from the YAMLs and flags in the order in which they are given.

    Args:
        config: Its configuration.
        arguments: Its flags, with those that name further configurations.
        part: Of the configuration.
        name: Of the setting.
    """
    given = list(pairwise(words_of(arguments)))
    files = [config, *(value for flag, value in given if flag == "--config")]
    keys = ("data", "init_args", name) if part == "data" else (part, name)
    values = [in_file(file, keys) for file in files]
    values += [value for flag, value in given if flag == f"--{part}.{name}"]
    said = [value for value in values if value is not None]
    return None if not said or said[-1] in ("null", "None") else said[-1]


def in_file(config: str, keys: Sequence[str]) -> Any:
    """A setting of a configuration, by its keys from the outermost in; None if it is not there."""
    path = find_path(config)
    content = configuration_of(path) if path.is_file() else None
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content

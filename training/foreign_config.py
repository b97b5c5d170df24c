"""Whether showing a configuration imports anything but this software and its libraries.

A configuration is code: it chooses what is imported and called, and a training does that. But
`--print_config`, or help beside it, is how one looks at a file, and jsonargparse imports whatever
stands where a class may stand while it reads it. So here every text that it could import is looked
at before: in lists and sections, in text that is YAML itself, and in other files that stand in the
place of a section.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from foreign_text import parse_yaml, read_small_file
from lightning_modules.recorded_class import is_plain, own_class, settings_of
from provenance import UserError

_ROOMS = ("lightning_modules", "networks", "datamodules", "callbacks")
_LIBRARIES = ("lightning", "torch", "torchvision", "monai", "segmentation_models_pytorch")
_SECTIONS = ("model", "data", "trainer")  # all other flags take plain values
_PLAIN_OF_TRAINER = ("default_root_dir",)
_DEEPEST = 30


def showing_flag(words: Sequence[str]) -> str | None:
    """The flag of a command that shows instead of training: --print_config, or help."""
    for word in words:
        flag = word.partition("=")[0]
        if flag in ("-h", "--help", "--print_config") or flag.endswith(".help"):
            return flag
    return None


def refuse_to_show_foreign_classes(words: Sequence[str], shown_by: str) -> None:
    """Refuse to show a configuration that names other classes than ours and our libraries'.

    Args:
        words: Of the whole command; only files that they name are looked at, since a class that is
            typed is known to who types it.
        shown_by: The flag that shows, for the sentence.

    Raises:
        UserError: Names the file, the place in it, and what would be imported; or a file that
            cannot be looked at before it is read: a pipe, or what is no YAML.
    """
    for flag, given in _files(words):
        path = Path(given).expanduser()
        if given == "-" or not path.is_file():
            raise UserError(
                f"{shown_by}: {given}: is no file, and what comes through a pipe is read once, so "
                "that it cannot be looked at before. Save it as a file and give that."
            )
        _Look(path, shown_by).at_file(path, flag)


def _files(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags that were given a file, each with the section that the file is: "" for --config."""
    following = [*words[1:], ""]
    for word, after in zip(words, following, strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("-c") and not name.startswith("--"):  # -cFILE
            name, value = "--config", name[2:] or (value if equals else after)
        elif not equals:
            value = after
        section = name.removeprefix("--").removesuffix("+")
        if not name.startswith("--") or section.split(".")[0] not in ("config", *_SECTIONS):
            continue
        if (section == "config" and value == "-") or _is_to_read(Path(value)):
            yield "" if section == "config" else section, value


class _Look:
    """One reading of a file and of those that it names."""

    def __init__(self, file: Path, shown_by: str) -> None:
        self.file = file
        self.shown_by = shown_by
        self.folders = [Path()]  # where the name of another file may lead from
        self.seen = 0

    def at_file(self, file: Path, section: str, depth: int = 0) -> None:
        try:
            if section and _is_binary(file):
                return  # weights or a cache, which the parser cannot read either
            text = read_small_file(file)
            # The parser takes another encoding where the system does; what imports is ASCII.
            content = parse_yaml(text.decode("utf-8", errors="replace" if section else "strict"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            if section and isinstance(error, yaml.YAMLError):
                return  # which the parser cannot read either
            raise UserError(
                f"{self.shown_by}: {file}: cannot be looked at before it is shown ({error}). Read "
                "it in an editor, and correct it."
            ) from error
        self.folders.append(file.absolute().parent)
        if section:
            self.at_value(section, content, depth + 1)
        else:
            self.at_settings(content, depth)
        self.folders.pop()

    def at_settings(self, content: Any, depth: int) -> None:
        """All settings of a training, as they stand in a file or below its key `fit`."""
        for key, value in content.items() if isinstance(content, dict) else ():
            name = str(key).removeprefix("fit.")
            first = name.split(".")[0].removesuffix("+")
            if name == "fit" and isinstance(value, dict) and depth < _DEEPEST:
                self.at_settings(value, depth + 1)
            elif first in _SECTIONS:
                self.at_value(name, value, depth + 1)
            elif first in ("config", "fit") and value is not None:
                raise UserError(
                    f"{self.shown_by}: {self.file}: {str(key)[:100]} stands for another "
                    "configuration, which is not looked at. Give that one with a --config of its "
                    "own."
                )

    def at_value(self, place: str, value: Any, depth: int) -> None:
        self.seen += 1
        if depth > _DEEPEST or self.seen > 1_000_000:
            raise UserError(
                f"{self.shown_by}: {self.file}: {place[:100]} is nested deeper than any "
                "configuration. It is not read."
            )
        if isinstance(value, dict):
            plain = self._plain_settings(value.get("class_path"))
            for key, one in value.items():
                at = f"{place}.{key}"
                if key == "init_args" and isinstance(one, dict):
                    for name, setting in one.items():
                        if name not in plain:
                            self.at_value(f"{at}.{name}", setting, depth + 1)
                elif place != "trainer" or key not in _PLAIN_OF_TRAINER:
                    self.at_value(at, one, depth + 1)
        elif isinstance(value, list):
            for index, one in enumerate(value):
                self.at_value(f"{place}[{index}]", one, depth + 1)
        elif isinstance(value, str):
            self.at_text(place, value, depth)

    def at_text(self, place: str, text: str, depth: int) -> None:
        for folder in dict.fromkeys(self.folders):
            file = folder / Path(text).expanduser()
            if _is_to_read(file):
                self.at_file(file, place, depth + 1)
        package, *rest = text.split(".")
        if rest and all(part.isidentifier() for part in (package, *rest)):
            if package not in (*_ROOMS, *_LIBRARIES):
                raise UserError(
                    f"{self.shown_by}: {self.file}: {place[:100]} names {text[:200]}, and to show "
                    "it would import that. A configuration is code: read the file in an editor, "
                    "and train with it only if you trust whoever wrote it."
                )
            return
        try:
            inside = parse_yaml(text)
        except yaml.YAMLError:
            return  # which the parser takes for text
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{self.shown_by}: {self.file}: {place[:100]} cannot be looked at ({error})."
            ) from error
        if inside != text and isinstance(inside, dict | list | str):
            self.at_value(place, inside, depth + 1)

    def _plain_settings(self, path: Any) -> set[str]:
        """Settings of a class of ours whose text stays text."""
        try:
            kind = own_class(path, object, _ROOMS, "", self.file)
        except UserError:
            return set()
        return {name for name, of in settings_of(kind).items() if is_plain(of)}


def _is_binary(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return b"\0" in stream.read(1 << 16)


def _is_to_read(path: Path) -> bool:
    """Whether a name leads to something that can be read, such as a file or a pipe."""
    try:
        path = path.expanduser()
        return path.exists() and not path.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long for a name, or no name, or no home
        return False

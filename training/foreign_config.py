"""Whether showing a configuration imports anything but this software and its libraries.

A configuration is code: it chooses what is imported and called, and a training does that. But
`--print_config` is how one looks at a file, and jsonargparse imports whatever stands where a class
may stand while it reads it. So here every text that it could import is looked at before: in lists
and sections, in text that is YAML itself, and in other files that stand in the place of a section.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.recorded_class import is_plain, own_class, settings_of
from provenance import UserError

_ROOMS = ("lightning_modules", "networks", "datamodules", "callbacks")
_LIBRARIES = ("lightning", "torch", "torchvision", "monai", "segmentation_models_pytorch")
_SECTIONS = ("model", "data", "trainer")  # all other flags take plain values
_PLAIN_OF_TRAINER = ("default_root_dir",)
_DEEPEST = 30


def refuse_to_show_foreign_classes(words: Sequence[str]) -> None:
    """Refuse to show a configuration that names other classes than ours and our libraries'.

    Args:
        words: Of the command, after `fit`; only files that they name are looked at, since a class
            that is typed is known to who types it.

    Raises:
        UserError: Names the file, the place in it, and what would be imported.
    """
    for flag, given in _files(words):
        _Look(Path(given)).at_file(Path(given), flag)


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
        if name.startswith("--") and _is_file(Path(value)):
            yield "" if section == "config" else section, value


class _Look:
    """One reading of a file and of those that it names."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen = 0

    def at_file(self, file: Path, section: str, depth: int = 0) -> None:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            return  # which the parser cannot read either, and says so
        if section:
            self.at_value(section, content, depth + 1)
            return
        for key, value in content.items() if isinstance(content, dict) else ():
            if str(key).split(".")[0].removesuffix("+") in _SECTIONS:
                self.at_value(str(key), value, depth + 1)

    def at_value(self, place: str, value: Any, depth: int) -> None:
        self.seen += 1
        if depth > _DEEPEST or self.seen > 1_000_000:
            raise UserError(
                f"--print_config: {self.file}: {place[:100]} is nested deeper than any "
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
        for file in (Path(text), self.file.parent / text):
            if _is_file(file):
                self.at_file(file, place, depth + 1)
        package, *rest = text.split(".")
        if rest and all(part.isidentifier() for part in (package, *rest)):
            if package not in (*_ROOMS, *_LIBRARIES):
                raise UserError(
                    f"--print_config: {self.file}: {place[:100]} names {text[:200]}, and to show "
                    "it would import that. A configuration is code: read the file in an editor, "
                    "and train with it only if you trust whoever wrote it."
                )
            return
        try:
            inside = yaml.safe_load(text)
        except (ValueError, yaml.YAMLError, RecursionError):
            return
        if inside != text and isinstance(inside, dict | list | str):
            self.at_value(place, inside, depth + 1)

    def _plain_settings(self, path: Any) -> set[str]:
        """Settings of a class of ours whose text stays text."""
        try:
            kind = own_class(path, object, _ROOMS, "", self.file)
        except UserError:
            return set()
        return {name for name, of in settings_of(kind).items() if is_plain(of)}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or no name
        return False

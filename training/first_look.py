"""What is wrong with a training's command, and its help, told before Lightning is loaded.

Loading Lightning takes seconds, and its parser refuses a misspelt word only then. flags.json holds
what that parser knows of flags (`make flags` writes it, a test compares), and the source shows the
settings of classes. What is not certain from these is left to the parser: only what it would refuse
is refused here, in the same words.
"""

import importlib.metadata
import itertools
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from command_line.sentences import (
    config_files,
    no_class,
    no_file,
    no_settings,
    no_such_flag,
    no_such_key,
    no_such_setting,
    no_yaml,
)
from foreign_text import read_yaml
from provenance import UserError, sha256_of
from training.class_source import NotThereError, SourceClass, class_in_source
from training.configurations import nothing_to_train

RECORD = Path(__file__).with_name("flags.json")
PROJECT = RECORD.parents[1]
# Where flags are made.
SOURCES = ("training/cli.py", "training/run_flags.py", "callbacks/distance_per_epoch.py")
COLUMNS = 80  # of the help in flags.json

_NO_TRAINING = ("--help", "-h", "--print_config", "--model.help", "--data.help")
_LEFT_TO_THE_PARSER = ("--help", "-h", "--", "--print_config")


def python_version() -> str:
    """Major and minor: another argparse lays its help out otherwise."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def is_up_to_date(record: dict[str, Any]) -> bool:
    """Whether flags.json was made with the libraries and the sources of flags that are here."""
    versions, sources = record["versions"], record["sources"]
    return all(importlib.metadata.version(name) == at for name, at in versions.items()) and all(
        sha256_of(PROJECT / file) == digest for file, digest in sources.items()
    )


def first_look(words: Sequence[str]) -> bool:
    """Print the help if that was asked for, and refuse what is certainly wrong.

    Args:
        words: Of the command, with flags spelt as Python names.

    Returns:
        Whether all is done: the help was printed.

    Raises:
        UserError: What is wrong, as `command_line.parsed` says it.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if not is_up_to_date(record):
        _refuse_nothing_to_train(words)
        return False
    command, *rest = words or [""]
    if words and words[-1] in ("--help", "-h") and words[:-1] in ([], ["fit"]):
        wide = shutil.get_terminal_size().columns >= COLUMNS
        if wide and record["python"] == python_version():
            print("\n".join(record["help"]["fit" if rest else ""]))
            return True
        return False
    left = any(word.split("=")[0] in _LEFT_TO_THE_PARSER or ".help" in word for word in words)
    if command == "fit" and not left:
        _Look(record, rest).at_words()
        _refuse_nothing_to_train(words)
    return False


def _refuse_nothing_to_train(words: Sequence[str]) -> None:
    """Refuse a training of nothing: without a configuration, a model and data."""
    names = {word.partition("=")[0] for word in words}
    if words[:1] == ["fit"] and not names & {"--config", "-c", "--model", "--data", *_NO_TRAINING}:
        raise UserError(nothing_to_train())


class _Look:
    """One reading of the words after `fit`, in their order, as the parser reads them."""

    def __init__(self, record: dict[str, Any], words: Sequence[str]) -> None:
        self.words = words
        self.flags = record["flags"]["fit"]
        self.all_flags = sorted({*record["flags"][""], *self.flags})
        # A group has flags below it; below another flag are settings of the value that it takes.
        whole = [flag for flag in self.flags if not flag.endswith(".help")]
        self.groups = {f for f in whole if any(other.startswith(f"{f}.") for other in whole)}
        self.classes: dict[str, str | None] = {}  # class path of --model, --model.network, ...

    def at_words(self) -> None:
        """Refuse the first word that is certainly wrong."""
        unknown_flag = unknown_key = None
        for word, after in itertools.zip_longest(self.words, self.words[1:], fillvalue="-"):
            name, equals, value = word.partition("=")
            if not name.startswith("-") or " " in name:
                continue
            given = value if equals else None if after.startswith("-") else after
            if name in ("--config", "-c"):
                if given is not None:
                    unknown_key = self.at_config(given) or unknown_key
            elif not name.startswith("--"):  # such as -cFILE
                self.classes = {}
            elif name in self.flags:
                if name in ("--model", "--data"):
                    self.at_class(name, given)
            elif name.startswith(("--model.", "--data.")):
                flag, _, key = name.partition(".")
                self.at_setting(flag, key, given)
            elif any(name.startswith(f"{flag}.") for flag in self.flags if flag not in self.groups):
                continue
            elif unknown_flag is None:
                unknown_flag = name
        if unknown_flag is not None:  # the parser tells it when all words are read
            raise UserError(no_such_flag(unknown_flag, self.all_flags))
        if unknown_key is not None:
            raise UserError(no_such_key(config_files(self.words), unknown_key, self.all_flags))

    def at_config(self, given: str) -> str | None:
        """Refuse a file that is none; returns a key in it that no flag has."""
        content = self.read(given)
        if content is None:
            self.classes = {}
            return None
        unknown = None
        for key, value in content.items():
            flag = f"--{key}"
            if not isinstance(key, str):
                continue
            if flag in ("--model", "--data"):
                self.at_value(flag, value)
            elif flag.startswith(("--model.", "--data.")):
                self.classes = {}
            elif not any(f"{known}.".startswith(f"{flag.split('.')[0]}.") for known in self.flags):
                unknown = unknown or key
            elif flag in self.groups and isinstance(value, dict) and "class_path" not in value:
                wrong = [f"{key}.{k}" for k in value if f"{flag}.{k}" not in self.flags]
                unknown = unknown or next(iter(wrong), None)
        return unknown

    def read(self, given: str) -> dict[Any, Any] | None:
        """The content of a configuration; None where it is left to the parser."""
        if given in ("", "-") or "~" in given or ":" in given or "{" in given:
            return None  # standard input, a home, a URL, the content itself
        if not os.path.lexists(given):
            raise UserError(no_file(given, training=True))
        if not os.path.isfile(given):
            return None  # a pipe can be read once
        try:
            content = read_yaml(Path(given))
        except (yaml.scanner.ScannerError, yaml.parser.ParserError) as error:
            raise UserError(no_yaml(config_files(self.words), str(error))) from None
        except ValueError as error:
            raise UserError(f"--config {given}: is not read: {error}. Correct the file.") from error
        except (OSError, yaml.YAMLError):
            return None
        if content is None or isinstance(content, str | list):
            raise UserError(no_settings(config_files(self.words)))
        mapping = isinstance(content, dict) and any(v is not None for v in content.values())
        return content if mapping else None

    def at_value(self, flag: str, value: Any) -> None:
        """What a configuration gives for a flag that takes a class."""
        if isinstance(value, str):
            return self.at_class(flag, value)
        if not isinstance(value, dict) or not {"class_path", "init_args"} >= set(value):
            self.classes[flag] = None
            return None
        if "class_path" in value:
            self.at_class(flag, value["class_path"])
        settings = value.get("init_args")
        for key, setting in settings.items() if isinstance(settings, dict) else ():
            if isinstance(key, str):
                self.at_setting(flag, key, setting)
        return None

    def at_class(self, flag: str, path: Any) -> None:
        """Refuse a class path of ours that leads nowhere."""
        self.classes = {f: p for f, p in self.classes.items() if not f"{f}.".startswith(f"{flag}.")}
        self.classes[flag] = None
        if isinstance(path, str) and not os.path.lexists(path):
            try:
                if class_in_source(path) is not None:
                    self.classes[flag] = path
            except NotThereError:
                raise UserError(no_class(flag, path)) from None

    def at_setting(self, flag: str, key: str, value: Any) -> None:
        """Refuse a setting that the class of a flag does not have."""
        path = self.classes.get(flag)
        owner: SourceClass | None = class_in_source(path) if path else None
        settings = owner.settings() if owner else None
        name, *deeper = [part for part in key.split(".") if part != "init_args"] or [""]
        if path is None or settings is None or {"class_path", "dict_kwargs"} & {name, *deeper}:
            self.classes[flag] = None  # no longer certain
        elif name not in settings:
            raise UserError(no_such_setting(flag, ".".join([name, *deeper]), path, list(settings)))
        elif settings[name].startswith("Callable["):
            if deeper:
                self.at_setting(f"{flag}.{name}", ".".join(deeper), value)
            else:
                self.at_value(f"{flag}.{name}", value)

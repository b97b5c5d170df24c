"""What is wrong with a command, as a sentence that begins with the flag.

jsonargparse says it over a page. What it raised tells the kind where it can: YAML's own error, that
of an import, argparse's with the name of the flag. The rest stands in its English alone, which the
expressions below expect of version 4.53. `tests/test_command_line.py` makes it say each of them:
where a newer version words one differently, that test fails, and the expression is to be mended.
"""

import argparse
import importlib
import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from spelling import from_here, meant, meant_path

HELP = "Add --help to the command for all flags."
LISTED = "`python train.py list` names the configurations that there are."
CONFIGS = Path(__file__).parents[1] / "configs"

KEY = re.compile(r'Parser key "([^"]+)"')
UNKNOWN_FLAG = re.compile(r"unrecognized arguments: ([^=\s]+)", re.IGNORECASE)
UNKNOWN_SETTING = re.compile(r"Option '([^']+)' is not accepted|accept option '([^']+)'")
GROUP = re.compile(r"Group '([^']+)' does not accept")
OWNER = re.compile(r"class_path[ =]'([\w.]+)'")
UNKNOWN_SUBCOMMAND = re.compile(r"invalid choice: '([^']+)'")
NO_SUBCOMMAND = re.compile(r'expected "\w+" to be one of {.+}, but it was not provided')
MISSING = re.compile(r"arguments are required: (.+)")
NO_SETTINGS = re.compile(r"^Unexpected config:")
NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
EXPECTED = re.compile(r"Expected an? (.+?)(?:\. Got value: (.*))?$", re.MULTILINE)
GIVEN = re.compile(r"Given value: (.*)")
NO_FILE = re.compile(r"File does not exist: ")
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def sentence_of(
    error: ArgumentError,
    words: Sequence[str],
    parsers: Sequence[ArgumentParser],
    aliases: Iterable[str] = (),
) -> str:
    """The sentence for an error of the parser.

    Args:
        error: What jsonargparse raised.
        words: What was given.
        parsers: The verb's and its subcommands', whose flags are proposed where one was misspelt.
        aliases: Flags that the verb itself turns into those of the parser; proposed too.
    """
    message = error.message or str(error)
    causes = list(_causes(error))
    keys = KEY.findall(message)
    flag, owners = "--" + ".".join(keys), OWNER.findall(message)
    flags = sorted({*aliases, *(text for parser in parsers for text in flags_of(parser))})
    for cause in causes:
        if isinstance(cause, yaml.YAMLError):
            return no_yaml(config_files(words), str(cause))
    if keys == ["config"] and NO_FILE.search(message):
        files = config_files(words)
        lacking = next((file for file in files if not Path(file).exists()), " ".join(files))
        return no_file(lacking, training="--trainer.max_epochs" in flags)
    if NO_SETTINGS.search(message):
        return no_settings(config_files(words))
    unknown_setting, unknown_flag = UNKNOWN_SETTING.search(message), UNKNOWN_FLAG.search(message)
    key = "".join(unknown_setting.groups("")) if unknown_setting else ""
    if keys and owners and (unknown_setting or unknown_flag):
        key = key or (unknown_flag[1].lstrip("-") if unknown_flag else "")
        group = "".join(GROUP.findall(message)[-1:])
        known = settings_of(owners[-1], group)
        return no_such_setting(f"{flag}.{group}".rstrip("."), key, owners[-1], known)
    if unknown_setting:
        key = ".".join([*GROUP.findall(message)[-1:], key])
        return no_such_key(config_files(words), key, flags)
    if unknown_flag:
        return _no_such_flag_of(unknown_flag[1], words, parsers[0], flags, aliases)
    if found := UNKNOWN_SUBCOMMAND.search(message):
        return no_such_subcommand(found[1], _subcommands_of(parsers[0]))
    if NO_SUBCOMMAND.search(message):
        return no_subcommand(_subcommands_of(parsers[0]))
    if found := MISSING.search(message):
        missing = [_as_typed(name, parsers) for name in found[1].split(", ")]
        return f"missing: {', '.join(missing)}. {HELP}"
    if path := _class_not_found(message, causes):
        return no_class(flag, path)
    if expected := EXPECTED.findall(message):
        kinds = [_kind(kind) for kind, _ in expected if "NoneType" not in kind]
        kinds = kinds or ["class_path and init_args of a class"]
        # Of a choice between types, jsonargparse names the value once, at the end.
        given = expected[0][1] or "".join(GIVEN.findall(message)[-1:])
        return f"{flag}: expected {' or '.join(kinds)}, found {given!r}. {HELP}"
    for cause in causes:
        if isinstance(cause, argparse.ArgumentError) and cause.argument_name:
            told = cause.message.replace("argument", "value")
            return f"{cause.argument_name.rpartition('/')[2]}: {told}. {HELP}"
    plain = " ".join(KEY.sub(r"--\1", message).split())
    return f"{plain.rstrip('.')}. {HELP}"


def no_such_flag(given: str, flags: Sequence[str]) -> str:
    """A flag, or a word where a flag should be, that the verb does not have."""
    if not given.startswith("-"):
        return f"{given}: unexpected word; flags begin with --. {HELP}"
    return f"{given}: no such flag.{meant(given, flags)} {HELP}"


def _no_such_flag_of(
    given: str,
    words: Sequence[str],
    parser: ArgumentParser,
    flags: Sequence[str],
    aliases: Iterable[str],
) -> str:
    """As `no_such_flag`; of a verb with subcommands, only flags of the one that was given count."""
    subparsers = _subparsers_of(parser)
    chosen = next((word for word in words if word in subparsers), None)
    if chosen is None:
        return no_such_flag(given, flags)
    own = {*aliases, *flags_of(parser), *flags_of(subparsers[chosen])}
    owners = [
        f"{parser.prog} {name}" for name, other in subparsers.items() if given in flags_of(other)
    ]
    if given.startswith("--") and owners:
        listed = ", ".join(owners)
        return f"{given}: is no flag of {parser.prog} {chosen}, but of {listed}. {HELP}"
    return no_such_flag(given, sorted(own))


def no_subcommand(subcommands: Sequence[str]) -> str:
    """A verb without the subcommand that it needs."""
    return f"missing: a subcommand, one of {', '.join(subcommands)}. {HELP}"


def no_such_subcommand(given: str, subcommands: Sequence[str]) -> str:
    """A first word that is none of a verb's subcommands."""
    listed = ", ".join(subcommands)
    return f"{given}: no such subcommand.{meant(given, subcommands)} There is: {listed}. {HELP}"


def no_such_setting(flag: str, key: str, owner: str, settings: Sequence[str]) -> str:
    """A setting, given by flag or file, that the class does not have.

    Args:
        flag: That takes the class, such as --model.network.
        key: The setting, and what was to be set within it.
        owner: The class path.
        settings: Those that the class has.
    """
    first = key.partition(".")[0]
    if key in settings:  # and yet refused: what is made with the class gives it
        return f"{flag}.{key}: what uses {owner} gives it, from the data. Leave it out."
    name = key if first in settings else first
    listed = f" Settings: {', '.join(settings)}." if settings else ""
    return f"{flag}.{name}: {owner} has no such setting.{meant(name, settings)}{listed}"


def no_such_key(files: Sequence[str], key: str, flags: Sequence[str]) -> str:
    """A key of a configuration that no flag has; the part of it that is wrong is named."""
    known = [flag.removeprefix("--").split(".") for flag in flags]
    parts = key.split(".")
    name, near = key, []
    for length in range(1, len(parts) + 1):
        siblings = {
            ".".join(flag[:length]) for flag in known if flag[: length - 1] == parts[: length - 1]
        }
        if ".".join(parts[:length]) not in siblings:
            name, near = ".".join(parts[:length]), sorted(siblings)
            break
    return f"--config {' '.join(files)}: {name}: no such setting.{meant(name, near)} {HELP}"


def no_class(flag: str, path: str) -> str:
    """A class path that leads nowhere."""
    return f"{flag}: {path} is no class that can be imported, such as networks.UNet."


def no_yaml(files: Sequence[str], reason: str) -> str:
    """A configuration that cannot be read."""
    return f"--config {' '.join(files)}: cannot be read as YAML ({' '.join(reason.split())})."


def no_file(given: str, training: bool) -> str:
    """A configuration that is not there; of a training one that comes with the project is meant."""
    ours = [from_here(path) for path in sorted(CONFIGS.rglob("*.yaml"))] if training else []
    more = LISTED if training else HELP
    return f"--config {given}: there is no such file.{meant_path(Path(given), ours)} {more}"


def no_settings(files: Sequence[str]) -> str:
    """A configuration that is YAML, but no mapping."""
    return f"--config {' '.join(files)}: holds no settings; expected lines such as seed: 0."


def settings_of(class_path: str, group: str = "") -> list[str]:
    """Settings of a class or function as jsonargparse finds them; none if it is not there.

    Args:
        class_path: Where it is.
        group: A setting that is a dataclass, for the settings in it.
    """
    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser(exit_on_error=False)
    try:
        owner = getattr(importlib.import_module(module), name)
        if inspect.isclass(owner):
            parser.add_class_arguments(owner, "of")
        else:
            parser.add_function_arguments(owner, "of")
    except (ImportError, AttributeError, ValueError, TypeError):
        return []
    start = f"of.{group}.".replace("..", ".")
    dests = [action.dest for action in parser._actions if action.dest.startswith(start)]
    return list(dict.fromkeys(dest.removeprefix(start).partition(".")[0] for dest in dests))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause, ..."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _class_not_found(message: str, causes: Iterable[BaseException]) -> str | None:
    """The class path in a message, if an import of it failed."""
    if found := NO_CLASS.search(message):
        return found[1]
    for cause in causes:
        if isinstance(cause, ImportError):
            start = cause.name or ""
        elif isinstance(cause, AttributeError):
            start = f"{getattr(cause.obj, '__name__', '')}.{cause.name}"
        else:
            continue
        # The first part that is not there; the message has the whole path.
        paths = re.findall(r"[\w.]+", message)
        if path := next((path for path in paths if f"{path}.".startswith(f"{start}.")), None):
            return path
    return None


def flags_of(parser: ArgumentParser) -> list[str]:
    """All --flags of a parser."""
    texts = [text for action in parser._actions for text in action.option_strings]
    return [text for text in texts if text.startswith("--")]


def _as_typed(name: str, parsers: Sequence[ArgumentParser]) -> str:
    """A required argument as it is given: by its flag, or by its position."""
    subcommand, _, within = name.partition(".")
    own = [parser for parser in parsers if parser.prog.split()[-1] == subcommand]
    for wanted, among in ((within, own), (name, parsers)):
        for action in (action for parser in among for action in parser._actions):
            if action.dest == wanted:
                return next(iter(action.option_strings), wanted.upper())
    return name


def _subcommands_of(parser: ArgumentParser) -> list[str]:
    return list(_subparsers_of(parser))


def _subparsers_of(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    kinds = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return {str(name): of for action in kinds for name, of in (action.choices or {}).items()}


def config_files(words: Sequence[str]) -> list[str]:
    """What stands behind every --config."""
    files = [after for word, after in itertools.pairwise(words) if word in ("--config", "-c")]
    return files + [word.partition("=")[2] for word in words if word.startswith("--config=")]


def _kind(written: str) -> str:
    """`<class 'int'>` as `a whole number`, `typing.Literal['a', 'b']` as `one of 'a', 'b'`."""
    written = re.sub(r"<class '([\w.]+)'>", r"\1", written)
    written = KINDS.get(written, written)
    return re.sub(r"(?:typing\.)?Literal\[(.*)\]", r"one of \1", written)

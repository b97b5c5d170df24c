"""What the five verbs share at the prompt: flags in either spelling, failures as sentences."""

import difflib
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from provenance import UserError

# Abbreviated flags are refused: one that is unique today may mean another flag tomorrow. Errors
# are raised, and `parsed` words them; jsonargparse would print a page of usage before each.
PARSER_SETTINGS: dict[str, Any] = {"allow_abbrev": False, "exit_on_error": False}
R = TypeVar("R")


class Stopped(KeyboardInterrupt):
    """Work that was told to stop; the message says how to go on.

    Attributes:
        status: Exit status, 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status


def verb_parser(prog: str, description: str | None) -> ArgumentParser:
    """A verb's parser, or a subcommand's: with --config, and for `parsed`."""
    parser = ArgumentParser(
        prog=prog,
        description=f"{(description or '').rstrip()} In flags, - and _ mean the same.",
        **PARSER_SETTINGS,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings.")
    return parser


def function_parser(prog: str, function: Callable[..., Any]) -> ArgumentParser:
    """A verb's parser, or a subcommand's, whose flags are the parameters of a function.

    Its docstring is the help. As jsonargparse's own `add_function_arguments`, but for what people
    type: a tuple takes as many words as it holds, a bool may stand alone, a frozen dataclass
    gives a flag for each of its fields under the field's own name, and a parameter that is not
    keyword-only is given by its position.

    Args:
        prog: What was typed to get there.
        function: Typed; its docstring has an entry for every parameter. `call` calls it.
    """
    parser = verb_parser(prog, docstring_parser.parse(function.__doc__ or "").description)
    _add_flags(parser, function, None)
    return parser


def _add_flags(parser: ArgumentParser, function: Callable[..., Any], default: Any) -> None:
    """The flags of a function, or of a dataclass whose `default` instance holds their defaults."""
    parameters = docstring_parser.parse(function.__doc__ or "").params
    described = {entry.arg_name: entry.description for entry in parameters}
    kinds = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, value = kinds[name], getattr(default, name, parameter.default)
        if isinstance(kind, type) and is_dataclass(kind):
            _add_flags(parser, kind, value)
            continue
        settings: dict[str, Any] = {"type": kind, "help": described[name]}
        if get_origin(kind) is tuple:
            parts = get_args(kind)
            several = "*" if value == () else "+"
            settings.update(type=parts[0], nargs=several if ... in parts else len(parts))
        elif kind is bool:
            settings.update(nargs="?", const=True)
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        if value is not parameter.empty:
            settings["default"] = list(value) if isinstance(value, tuple) else value
        elif by_name:
            settings["required"] = True
        parser.add_argument(f"--{name}" if by_name else name, **settings)


def call(function: Callable[..., R], flags: Namespace) -> R:
    """Call a function with the flags that its `function_parser` parsed."""
    values: dict[str, Any] = {}
    kinds = get_type_hints(function)
    for name in inspect.signature(function).parameters:
        kind = kinds[name]
        if isinstance(kind, type) and is_dataclass(kind):
            values[name] = call(kind, flags)
        else:
            values[name] = tuple(flags[name]) if get_origin(kind) is tuple else flags[name]
    return function(**values)


def with_underscores(words: Sequence[str]) -> list[str]:
    """Spell flags as Python names: --num-images 5 and --num_images 5 mean the same."""
    spelled = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = f"--{name.replace('-', '_')}{equals}{value}"
        spelled.append(word)
    return spelled


def parsed(
    parser: ArgumentParser, words: Sequence[str], subparsers: Sequence[ArgumentParser] = ()
) -> Namespace:
    """Parse a command line with a parser made with `PARSER_SETTINGS`.

    Args:
        parser: The verb's.
        words: What was given.
        subparsers: Of its subcommands; their flags too are proposed where one was misspelt.

    Raises:
        UserError: What is wrong, in one sentence, and which flag to mend.
    """
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        helps = "".join(one.format_help() for one in (parser, *subparsers))
        flags = sorted(set(re.findall(r"--[\w.]+", helps)))
        raise UserError(_in_words(error.message or str(error), words, flags)) from None


def run_verb(name: str, work: Callable[[], int | None]) -> int:
    """Run a verb's work. Exit status: its own, or 2 for a UserError, 130 for Ctrl-C."""
    try:
        return work() or 0
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"{name}: {place}{error.strerror or error}. Files being written were left out, "
            "not cut short; put it right and give the same command again.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as stop:
        told = str(stop) or "stopped. The same command goes on where it stopped."
        print(f"\n{name}: {told}", file=sys.stderr)
        return stop.status if isinstance(stop, Stopped) else 130


def _in_words(message: str, words: Sequence[str], flags: Sequence[str]) -> str:
    """What jsonargparse says over a page, as a sentence that begins with the flag."""
    help_line = "Add --help to the command for all flags."
    flag = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
    if found := re.search(r"unrecognized arguments: (.+)", message, re.IGNORECASE):
        unknown = re.split("[= ]", found[1])[0]
        if not unknown.startswith("-"):
            return f"{unknown}: unexpected word; flags begin with --. {help_line}"
        return f"{unknown}: no such flag.{_meant(unknown, flags)} {help_line}"
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        owner = re.findall(r"class_path[ =]'([\w.]+)'", message)[-1]
        settings = _settings_of(owner)
        listed = f" Settings: {', '.join(settings)}." if settings else ""
        meant = _meant(found[1], settings)
        return f"{flag}.{found[1]}: {owner} has no such setting.{meant}{listed}"
    if found := re.search(r"arguments are required: (.+)", message):
        return f"missing: {found[1]}. {help_line}"
    if "Problems parsing config" in message:
        files = [b for a, b in itertools.pairwise(words) if a in ("--config", "-c")]
        files += [word.partition("=")[2] for word in words if word.startswith("--config=")]
        reason = " ".join(message.partition("config:")[2].split())
        return f"--config {' '.join(files)}: cannot be read as YAML ({reason})."
    if found := re.search(r"path string: (\S+)|Got value: (\S+)$", message, re.MULTILINE):
        named = found[1] or found[2]
        if found[1] or "has no attribute" in message:
            return f"{flag}: {named} is no class that can be imported, such as networks.UNet."
    if expected := re.findall(r"Expected an? (.+?)(?:\. Got value: (.*))?$", message, re.MULTILINE):
        kinds = [_kind(kind) for kind, _ in expected if "NoneType" not in kind]
        # Of a choice between types, jsonargparse names the value once, at the end.
        given = expected[0][1] or "".join(re.findall(r"Given value: (.*)", message)[-1:])
        return f"{flag}: expected {' or '.join(kinds)}, found {given!r}. {help_line}"
    plain = " ".join(re.sub(r'Parser key "([^"]+)":', r"--\1:", message).split())
    return f"{plain.rstrip('.')}. {help_line}"


def _kind(written: str) -> str:
    """`<class 'int'>` as `int`, `typing.Literal['a', 'b']` as `one of 'a', 'b'`."""
    written = re.sub(r"<class '([\w.]+)'>", r"\1", written)
    return re.sub(r"(?:typing\.)?Literal\[(.*)\]", r"one of \1", written)


def _meant(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _settings_of(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    try:
        owner = getattr(importlib.import_module(module), name)
        return [key for key in inspect.signature(owner).parameters if key != "self"]
    except (ImportError, AttributeError, ValueError, TypeError):
        return []

"""What the five verbs share at the prompt: flags in either spelling, failures as sentences."""

import difflib
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from provenance import UserError

# Abbreviated flags are refused: one that is unique today may mean another flag tomorrow. Errors
# are raised, and `parsed` words them; jsonargparse would print a page of usage before each.
PARSER_SETTINGS: dict[str, Any] = {"allow_abbrev": False, "exit_on_error": False}


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

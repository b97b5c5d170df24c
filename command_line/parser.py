"""The parsers of the verbs: flags in either spelling, from the signatures of functions."""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from command_line.sentences import sentence_of
from provenance import UserError


class HelpFormatter(DefaultHelpFormatter):
    """Fills the paragraphs of a description, and keeps indented ones, which are commands."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = []
        for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
            if paragraph.startswith(" "):
                paragraphs.append(textwrap.indent(paragraph, indent))
            else:
                paragraphs.append(super()._fill_text(paragraph, width, indent))
        return "\n\n".join(paragraphs)


# Abbreviated flags are refused: one that is unique today may mean another flag tomorrow. Errors
# are raised, and `parsed` words them; jsonargparse would print a page of usage before each.
PARSER_SETTINGS: dict[str, Any] = {
    "allow_abbrev": False,
    "exit_on_error": False,
    "formatter_class": HelpFormatter,
}
R = TypeVar("R")


def verb_parser(prog: str, description: str | None) -> ArgumentParser:
    """A parser of a verb or a subcommand, with --config; `parsed` words its errors."""
    parser = ArgumentParser(
        prog=prog,
        description=f"{inspect.cleandoc(description or '')}\n\nIn flags, - and _ mean the same.",
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
    parser = verb_parser(prog, description_of(function))
    _add_flags(parser, function, None)
    return parser


@cache
def _documentation_of(function: Callable[..., Any]) -> docstring_parser.Docstring:
    return docstring_parser.parse(function.__doc__ or "")


def summary_of(function: Callable[..., Any]) -> str:
    """The first sentence of a docstring."""
    return _documentation_of(function).short_description or ""


def description_of(function: Callable[..., Any]) -> str:
    """What a docstring says before its sections (Args, Returns, Raises)."""
    return _documentation_of(function).description or ""


def parameters_of(function: Callable[..., Any]) -> dict[str, str | None]:
    """What a docstring says of each parameter, by its name."""
    return {entry.arg_name: entry.description for entry in _documentation_of(function).params}


def _add_flags(parser: ArgumentParser, function: Callable[..., Any], default: Any) -> None:
    """The flags of a function, or of a dataclass whose `default` instance holds their defaults."""
    described = parameters_of(function)
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
            if not by_name and "nargs" not in settings:
                settings["nargs"] = "?"
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


def chosen_command(
    prog: str,
    description: str | None,
    commands: Mapping[str, Callable[..., Any]],
    words: Sequence[str] | None,
) -> tuple[str, Namespace]:
    """The subcommand that was given to a verb, and its flags for `call`.

    Args:
        prog: The verb, such as "prepare.py".
        description: Of the verb.
        commands: Function of each subcommand; the first sentence of its docstring is the help.
        words: What was typed; None: at the prompt.
    """
    parser = verb_parser(prog, description)
    subcommands = parser.add_subcommands(required=True)
    subparsers = []
    for name, function in commands.items():
        subparsers.append(function_parser(f"{prog} {name}", function))
        subcommands.add_subcommand(name, subparsers[-1], help=summary_of(function))
    given = parsed(parser, with_underscores(sys.argv[1:] if words is None else words), subparsers)
    return given.subcommand, given[given.subcommand]


class _Flag(str):
    """A flag in Python's spelling, with its name as it was typed, for sentences about it."""

    typed: str


def with_underscores(words: Sequence[str]) -> list[str]:
    """Spell flags as Python names: --num-images 5 and --num_images 5 mean the same."""
    spelled = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = _Flag(f"--{name.replace('-', '_')}{equals}{value}")
            word.typed = f"--{name}"
        spelled.append(word)
    return spelled


def parsed(
    parser: ArgumentParser,
    words: Sequence[str],
    subparsers: Sequence[ArgumentParser] = (),
    aliases: Iterable[str] = (),
) -> Namespace:
    """Parse a command line with a parser made with `PARSER_SETTINGS`.

    Args:
        parser: The verb's.
        words: What was given.
        subparsers: Of its subcommands; their flags too are proposed where one was misspelt.
        aliases: Flags that were turned into the parser's before; proposed too.

    Raises:
        UserError: What is wrong, in one sentence, and which flag to mend.
    """
    for word in words:
        if any("\udc80" <= character <= "\udcff" for character in word):
            raise UserError(
                f"{word.encode(errors='surrogateescape')!r}: holds bytes that are no UTF-8, so it "
                "could not be written down anywhere. Rename the file or folder, or give a link to "
                "it: ln -s."
            )
    try:
        return parser.parse_args(list(words))
    except ArgumentError as error:
        flag, *rest = sentence_of(error, words, (parser, *subparsers), aliases).partition(": ")
        typed = {word.partition("=")[0]: word.typed for word in words if isinstance(word, _Flag)}
        raise UserError("".join([typed.get(flag, flag), *rest])) from None

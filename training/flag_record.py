"""Write flags.json, what train.py knows of its flags before Lightning is loaded: `make flags`."""

import importlib.metadata
import json
import os
import sys
from typing import Any

from command_line.sentences import flags_of
from provenance import sha256_of, write_text_atomic
from training.cli import TrainCLI
from training.first_look import COLUMNS, PROJECT, RECORD, SOURCES, python_version


class _ParserMade(Exception):  # noqa: N818 - no error: it ends the making of a TrainCLI
    pass


class _ParserOnly(TrainCLI):
    def parse_arguments(self, parser: Any, args: Any) -> None:
        raise _ParserMade(parser, self._subcommand_parsers)


def parsers_of_training() -> tuple[Any, dict[str, Any]]:
    """The parser of train.py and those of its subcommands, without a training."""
    try:
        _ParserOnly.with_our_settings([])
    except _ParserMade as made:
        parser, subparsers = made.args
    return parser, subparsers


def flag_record() -> dict[str, Any]:
    """Versions and sources that it holds for, help texts, and flags."""
    os.environ["COLUMNS"] = str(COLUMNS)
    sys.argv[0] = "train.py"  # argparse's name of the program
    parser, subparsers = parsers_of_training()
    parsers = {"": parser, **subparsers}
    libraries = ("jsonargparse", "lightning")
    return {
        "versions": {name: importlib.metadata.version(name) for name in libraries},
        "sources": {file: sha256_of(PROJECT / file) for file in SOURCES},
        "python": python_version(),
        "flags": {name: sorted(flags_of(one)) for name, one in parsers.items()},
        "help": {name: one.format_help().splitlines() for name, one in parsers.items()},
    }


def text_of(record: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(record, indent=1) + "\n"


if __name__ == "__main__":
    write_text_atomic(RECORD, text_of(flag_record()))

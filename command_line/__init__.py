"""What the seven commands share at the prompt."""

import sys
from importlib.util import find_spec

if find_spec("jsonargparse") is None:  # before anything is imported that needs the packages
    sys.exit(
        f"{sys.argv[0]}: the Python that runs it ({sys.executable}) lacks the packages of this "
        "software. In the project's folder run `source .venv/bin/activate`, and give the command "
        "again. If there is no .venv, `make install` makes it."
    )

from command_line.exit_status import Stopped, run_verb, stopped_by_sigterm
from command_line.parser import (
    PARSER_SETTINGS,
    call,
    chosen_command,
    description_of,
    function_parser,
    parameters_of,
    parsed,
    summary_of,
    verb_parser,
    with_underscores,
)

__all__ = [
    "PARSER_SETTINGS",
    "Stopped",
    "call",
    "chosen_command",
    "description_of",
    "function_parser",
    "parameters_of",
    "parsed",
    "run_verb",
    "stopped_by_sigterm",
    "summary_of",
    "verb_parser",
    "with_underscores",
]

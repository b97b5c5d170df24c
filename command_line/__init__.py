"""What the six verbs share at the prompt."""

from command_line.exit_status import Stopped, run_verb, stopped_by_sigterm
from command_line.parser import (
    PARSER_SETTINGS,
    call,
    chosen_command,
    function_parser,
    parsed,
    verb_parser,
    with_underscores,
)

__all__ = [
    "PARSER_SETTINGS",
    "Stopped",
    "call",
    "chosen_command",
    "function_parser",
    "parsed",
    "run_verb",
    "stopped_by_sigterm",
    "verb_parser",
    "with_underscores",
]

"""What a library raised, as words that may be kept: its type and its sentence, without names."""

import re
from pathlib import Path

_QUOTED = re.compile(r"b?'[^']*'|b?\"[^\"]*\"")
_PATH = re.compile(r"(?<!\S)(?:[A-Za-z]:)?[/\\]\S+|\S+[/\\]\S+[/\\]\S*")
_LONGEST = 160


def raised(error: BaseException, *files: Path) -> str:
    """Return the type of an exception and its sentence, such as `ValueError: no such mode`.

    Messages quote values of headers and names of files, which may identify somebody: what stands in
    quotes, every path, and the names of the given files are left out.

    Args:
        error: As it was caught.
        files: Those that were read.
    """
    line = next(iter(str(error).strip().splitlines()), "")
    for part in sorted({part for file in files for part in file.parts}, key=len, reverse=True):
        if len(part) > 2:
            line = line.replace(part, "...")
    line = _PATH.sub("...", _QUOTED.sub("...", line)).strip().rstrip(" .:")
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST].rstrip()}..."
    return f"{type(error).__name__}: {line}" if line else type(error).__name__

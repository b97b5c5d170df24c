"""Settings and commands as they may be handed on: names of files and folders may name patients.

Every room may import it; it imports none.
"""

import shlex
from pathlib import Path
from typing import Any


def without_paths(node: Any) -> Any:
    """Replace absolute paths in plain values by their last part: the rest may name a person.

    Paths below the working folder, such as `data/kits19`, stay as they are.
    """
    if isinstance(node, dict):
        return {key: without_paths(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_paths(value) for value in node]
    if isinstance(node, str) and node.startswith(("/", "~", "..")):
        return Path(node).name
    return node


# What stands in a command for the files and folders of a flag.
_STANDS_FOR = {
    "--source": "SOURCE",
    "--masks": "MASKS",
    "--trained-on": "CACHE",
    "--like": "CACHE",
    "--balance": "CACHE",
    "--data.root": "CACHE",
    "--real": "CACHE",
    "--labels": "LABELS",
    "--checkpoint": "CHECKPOINT",
    "--synthetic": "SET",
    "--control-set": "SET",
    "--weights": "WEIGHTS",
}

_NO_PATHS = {("--trained-on", "unknown"), ("--labels", "none")}


def command_for_others(command: str) -> str:
    """A command as it may be handed on: names of files and folders may be those of patients.

    Args:
        command: Of prepare.py synthetic, generate.py, or evaluate.py images or audit, as it was
            given to a shell.

    Returns:
        The same with a word in capitals for each file and folder, such as `--source SOURCE`; a
        second one of a kind gets a number. What is no such command comes back as it is.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if words[:1] != ["python"]:
        return command
    result = "FOLDER" if "evaluate.py" in words[:2] else "SET"
    flag, found = "", dict[str, list[str]]()
    for index, word in enumerate(words):
        if word.startswith("--"):
            flag = word
            continue
        kind = result if flag == "--out" else _STANDS_FOR.get(flag)
        if kind is None or (flag, word) in _NO_PATHS:
            continue
        known = found.setdefault(kind, [])
        known += [] if word in known else [word]
        number = known.index(word) + 1
        words[index] = kind if number == 1 else f"{kind}_{number}"
    return shlex.join(words)

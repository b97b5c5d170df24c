"""What the five verbs share at the prompt: flags in either spelling, failures as sentences."""

import sys
from collections.abc import Callable, Sequence

from provenance import UserError


def with_underscores(words: Sequence[str]) -> list[str]:
    """Spell flags as Python names: --num-images 5 and --num_images 5 mean the same."""
    spelled = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = f"--{name.replace('-', '_')}{equals}{value}"
        spelled.append(word)
    return spelled


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
    except KeyboardInterrupt:
        print(
            f"\n{name}: stopped. The same command goes on where it stopped "
            "(train.py: with --resume true).",
            file=sys.stderr,
        )
        return 130

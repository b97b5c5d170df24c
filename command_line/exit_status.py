"""How a verb ends: its own status, or a failure as a sentence and the status that goes with it."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from foreign_text import printable_sentence
from provenance import UserError


class Stopped(KeyboardInterrupt):
    """Work that was told to stop; the message says how to go on.

    Attributes:
        status: Exit status, 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def stopped_by_sigterm(how_to_go_on: str) -> Iterator[None]:
    """Around work that SIGTERM ends as Ctrl-C does: what it holds is let go of, and it says so.

    Args:
        how_to_go_on: A sentence.
    """
    process = os.getpid()

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if os.getpid() == process else signal.SIG_DFL)
        if os.getpid() != process:  # one that was forked meanwhile ends by itself
            os.kill(os.getpid(), signal.SIGTERM)
            return
        raise Stopped(f"stopped by SIGTERM. {how_to_go_on}", 143)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_verb(name: str, work: Callable[[], int | None]) -> int:
    """Run a verb's work. Exit status: its own, or 2 for a UserError, 130 for Ctrl-C.

    What the terminal cannot show, such as an umlaut where it takes ASCII, or bytes of a file name
    that are no text, is printed as an escape: it neither ends the work nor reaches a log as it is.
    So are control characters in the sentence of a failure, which may quote a file of others.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return work() or 0
    except UserError as error:
        print(printable_sentence(f"{name}: {error}"), file=sys.stderr)
        return 2
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        told = (
            f"{name}: {file}{error.strerror or error}. A file that was being written is left out, "
            "not truncated. Solve this, and give the same command again."
        )
        print(printable_sentence(told), file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        told = str(stop) or "stopped. The same command continues where it stopped."
        print(f"\n{name}: {told}", file=sys.stderr)
        return stop.status if isinstance(stop, Stopped) else 130

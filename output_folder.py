"""Whose an output folder is: a command makes one its own, goes on with it, and refuses another's.

A file in the folder says what it was begun with, as plain JSON. Files that a killed write left
behind (`.<name>.<random>.part`) and the lock are nobody's.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import IO, Any

from provenance import UserError, read_json, write_json_atomic
from synthetic_marks import SET_FORMAT

LOCK = ".lock"
_LONGEST_VALUE = 120


def claim_folder(
    folder: Path,
    file: str,
    identity: Mapping[str, Any],
    noun: str,
    *,
    note: Mapping[str, Any] | None = None,
    may_differ: bool = False,
) -> None:
    """Make a folder this command's, or see that it is, and remove what a killed one left in it.

    Args:
        folder: Need not exist.
        file: Name of the file that says whose it is.
        identity: What may not differ between the commands that work on it; plain JSON values.
        noun: What the folder holds: "cache", "phantom set".
        note: What the file says besides, not compared.
        may_differ: Nothing was made with the earlier identity yet: this one takes its place.

    Raises:
        UserError: It is a file, holds something else, or was begun with another identity. Nothing
            is changed.
    """
    begun = check_folder(folder, file, {} if may_differ else identity, noun)
    if may_differ or not begun:
        write_json_atomic(folder / file, {**identity, **(note or {})})
    for leftover in [*folder.glob(".*.part"), *folder.glob("*/.*.part")]:
        leftover.unlink(missing_ok=True)


def check_folder(
    folder: Path,
    file: str,
    identity: Mapping[str, Any],
    noun: str,
    foreign: Sequence[str] | None = None,
) -> bool:
    """See that a folder is free, or was begun with this identity.

    Args:
        folder: See `claim_folder`.
        file: See `claim_folder`.
        identity: See `claim_folder`.
        noun: See `claim_folder`.
        foreign: Names of files that show that a folder without `file` is not free; None: any.

    Returns:
        Whether it was begun.

    Raises:
        UserError: It is a file, holds something else, or was begun with another identity.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, expected a folder. Nothing was changed.")
    if (folder / file).is_file():
        found = read_json(folder / file)
        refuse_differences(folder, noun, found if isinstance(found, dict) else {}, identity)
        return True
    ours = (LOCK, f".{file}.")
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if foreign is None:
        others = [name for name in names if not name.startswith(ours)]
    else:
        others = [name for name in names if name in foreign]
    if others:
        # Names of files that are not ours may identify somebody.
        held = others[0] if foreign is not None else f"{len(others)} file(s) or folder(s)"
        raise UserError(
            f"{folder}: holds {held} but no {file}, so no {noun} was begun there. Nothing was "
            "changed. Give a new or an empty folder."
        )
    return False


def refuse_taken(
    out: Path, example: str, why: str = "its images are to be handed on without other files"
) -> None:
    """Refuse results in a synthetic set, in a prepared cache, or among a training's files.

    Args:
        out: Folder for the results of an evaluation or an audit; need not exist.
        example: Last part of a folder's name that the sentence suggests, such as "audit".
        why: Why a set is no place for them.

    Raises:
        UserError: It is, or lies in, one of these. Nothing is changed.
    """
    for folder in (out.resolve(), *out.resolve().parents):
        path = folder / "manifest.json"
        try:
            found = read_json(path) if path.is_file() else None
        except UserError:  # somebody else's file
            continue
        form = str(found.get("format")) if isinstance(found, dict) else ""
        if form.startswith("understudy-"):
            what, reason = (
                ("a synthetic set", why)
                if form == SET_FORMAT
                else ("a prepared cache", "its files are not to be mixed with others")
            )
            raise UserError(
                f"--out {out}: {'is' if folder == out.resolve() else 'lies in'} {what}, and "
                f"{reason}. Nothing was changed. Give a folder of its own, such as runs/{example}."
            )
    if (out / "config.yaml").is_file() or (out / "checkpoints").is_dir():
        raise UserError(
            f"--out {out}: is the run folder of a training. Nothing was changed. Give a folder of "
            f"its own, such as runs/{example}."
        )


def refuse_differences(
    folder: Path, noun: str, was: Mapping[str, Any], now: Mapping[str, Any], flag: str = "--out"
) -> None:
    """Refuse to mix two settings in one folder; what is in `was` alone is not compared.

    Raises:
        UserError: They differ; it names each difference.
    """
    differing = differences({key: was.get(key) for key in now}, dict(now))
    if differing:
        raise UserError(
            f"{folder}: holds another {noun} ({'; '.join(differing)}). Nothing was changed. Give "
            f"the earlier settings, or another {flag}."
        )


def differences(was: Any, now: Any, path: str = "") -> list[str]:
    """What differs between two trees of plain values, such as `data.seed was 0, is now 1`.

    Of long lists the differing entries alone, each with the one before it, as with flags and their
    values.
    """
    if isinstance(was, dict) and isinstance(now, dict):
        found: list[str] = []
        for key in [*was, *(key for key in now if key not in was)]:
            inner = f"{path}.{key}" if path else str(key)
            found += differences(was.get(key), now.get(key), inner)
        return found
    if plain_values(was) == plain_values(now):
        return []
    if isinstance(was, list) and isinstance(now, list) and _too_long(was, now):
        return _of_lists(was, now, path)
    return [f"{path} was {_brief(was)}, is now {_brief(now)}"]


def _of_lists(was: list[Any], now: list[Any], path: str) -> list[str]:
    first, second = ([json.dumps(one) for one in entries] for entries in (was, now))
    found = []
    for kind, begin, end, start, stop in SequenceMatcher(
        None, first, second, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            continue
        before = begin and 1
        parts = _excerpt(was, begin - before, end), _excerpt(now, start - before, stop)
        found.append(f"{path} was {parts[0]}, is now {parts[1]}")
    return found


def _excerpt(entries: list[Any], start: int, stop: int) -> str:
    words = [one if isinstance(one, str) else json.dumps(one) for one in entries[start:stop]]
    words = ["..."] * (start > 0) + words + ["..."] * (stop < len(entries))
    return _cut(f"[{' '.join(words)}]")


def _too_long(*values: Any) -> bool:
    return any(len(json.dumps(value)) > _LONGEST_VALUE for value in values)


def plain_values(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _brief(value: Any) -> str:
    if isinstance(value, str):
        text = value[:12] + "..." if len(value) == 64 else value  # a SHA-256
    else:
        text = json.dumps(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


@contextmanager
def locked(folder: Path, verb: str, flag: str = "--out") -> Iterator[None]:
    """Hold a folder against a second command; the lock goes with the process, however it ends.

    Args:
        folder: Made where it is missing.
        verb: The command that may be at work on it, for the sentence.
        flag: Its flag that names the folder.

    Raises:
        UserError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A link, in a folder from others, may lead to any file, and "w" empties it.
    if (folder / LOCK).is_symlink():
        raise UserError(f"{folder / LOCK}: is a link, which no {verb} makes. Remove it.")
    with open(folder / LOCK, "w", opener=_without_links) as stream:
        try:
            _lock(stream)
        except (BlockingIOError, PermissionError):
            raise UserError(
                f"{folder}: another {verb} is working on it. Wait for it, or give another {flag}."
            ) from None
        try:
            yield
        finally:
            _unlock(stream)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _lock(stream: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(stream: IO[str]) -> None:
    """Let go, though processes that were forked meanwhile still have the file open."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_UN)

"""The folder of a cache: whose it is, and that one command at a time works on it."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preparation.split import Split
from provenance import UserError, read_json, write_json_atomic


def claim(out: Path, settings: Mapping[str, Any], split: Split) -> None:
    """Make the folder this cache's, or refuse one that belongs to something else.

    The split is compared only with a finished manifest: until then it may still be chosen.

    Args:
        out: The cache folder.
        settings: All that decides on the bytes of the cache; plain JSON values.
        split: How its images are divided.

    Raises:
        UserError: It holds other files, another data set or other settings. Nothing is changed.
    """
    path = out / "settings.json"
    if path.is_file():
        before = read_json(path)
        now = dict(settings)
        if (out / "manifest.json").is_file():
            before["split"] = read_json(out / "manifest.json")["split"]
            now["split"] = split.plain()
        differing = [
            f"{key} was {before.get(key)}, is now {value}"
            for key, value in now.items()
            if before.get(key) != value
        ]
        if not any((out / "records").glob("*.json")):  # nothing was made with them yet
            write_json_atomic(path, dict(settings))
        elif differing:
            raise UserError(
                f"{out}: was prepared with other settings ({'; '.join(differing)}). Nothing was "
                "changed. Give another --out, or the settings of before."
            )
        return
    ours = (".lock", ".settings.json.")
    if out.exists() and (
        not out.is_dir() or any(not p.name.startswith(ours) for p in out.iterdir())
    ):
        raise UserError(
            f"{out}: exists and is not a cache that prepare.py began. Nothing was changed. "
            "Give a new or an empty folder as --out."
        )
    write_json_atomic(path, dict(settings))


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the folder against a second prepare; the lock goes with the process, however it ends."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{out}: another prepare.py is working on it. Wait for it, or give another --out."
            ) from None
        yield

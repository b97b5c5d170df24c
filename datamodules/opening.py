"""A folder becomes the prepared cache that its manifest says, or a sentence says what it is."""

import csv
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from datamodules.earlier_cache import tell_once
from datamodules.named_files import LARGEST_SIDE, whole_number
from provenance import UserError, read_checked_json
from spelling import meant_path

if TYPE_CHECKING:
    from datamodules.prepared_cache import PreparedCache

Kind = TypeVar("Kind", bound="PreparedCache")

_told: set[Path] = set()  # whose synthetic images were spoken of in this process


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection in the block, where many objects are made and all of them stay.

    It would run again and again as they grow in number: opening 100,000 slices took 1.40 s with it,
    0.78 s without.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@_uncollected()
def opened(root: Path, *kinds: type[Kind]) -> Kind:
    """Open a folder as the one of these kinds of cache that its manifest names.

    Raises:
        UserError: As `PreparedCache.open`.
    """
    path = root / "manifest.json"
    if not path.is_file():
        raise UserError(_no_manifest(root))
    manifest: Any = read_checked_json(path)
    found = str(manifest.get("format")) if isinstance(manifest, dict) else "unknown"
    kind = {kind.FORMAT: kind for kind in kinds}.get(found)
    if kind is None:
        raise UserError(
            f"{path}: holds no {' or '.join(kind.CONTENTS for kind in kinds)} (its format is "
            f"{found!r}, expected {' or '.join(repr(kind.FORMAT) for kind in kinds)}). Give a "
            "folder that prepare.py wrote."
        )
    if manifest.get("format_version") != kind.FORMAT_VERSION:
        raise UserError(
            f"{path}: has format version {manifest.get('format_version')}, this program "
            f"reads version {kind.FORMAT_VERSION}. Prepare the data again into a new folder."
        )
    try:
        missing = [key for key in kind.REQUIRED if key not in manifest]
        if missing:
            raise KeyError(", ".join(missing))
        whole_number(manifest["image_size"], "image_size", 1, LARGEST_SIDE)
        cache = kind(root, manifest)
        tell_once(root, manifest)
        _tell_of_synthetic_images(cache)
        return cache
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, csv.Error) as error:
        raise UserError(
            f"{path}: is damaged ({error} is missing or wrong). Remove the file and run the "
            "prepare.py command that made the cache again; finished parts are kept."
        ) from error


def _tell_of_synthetic_images(cache: "PreparedCache") -> None:
    """Say on stderr, once in a training, that a cache holds some that were taken in as real."""
    root = cache.root.resolve()
    if root not in _told and os.environ.get("LOCAL_RANK", "0") == "0":
        _told.add(root)
        for note in cache.synthetic_notes:
            print(f"note: {cache.root}: {note}", file=sys.stderr)


def _no_manifest(root: Path) -> str:
    if not root.is_dir():
        lacks = "is a file" if root.exists() else "there is no such folder"
        return (
            f"{root}: {lacks}.{meant_path(root)} Expected the folder of a cache made by "
            "prepare.py; make one, for example: python prepare.py phantom_ct --out data/phantom_ct"
        )
    ended = [name for name in ("skipped.csv", "rejected.csv") if (root / name).is_file()]
    if ended and (root / "settings.json").is_file():
        return (
            f"{root}: holds no manifest.json: its preparation came to an end without a cache, "
            "since no file was usable, or too few for every split. What was left out stands in "
            f"{ended[0]}; the same prepare.py command says why. Mend that, and give it again."
        )
    if (root / "records").is_dir():
        return (
            f"{root}: holds no manifest.json, but finished parts: its preparation was interrupted, "
            "or is one part of several. Run the same prepare.py command again; it goes on where "
            "it stopped. Parts are joined with python prepare.py merge."
        )
    return (
        f"{root}: holds no manifest.json, so it is not a cache. Give the folder that prepare.py "
        "wrote (--out), not the raw data."
    )

"""The folder of a cache: whose it is, and that one command at a time works on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from output_folder import claim_folder, locked, refuse_differences
from preparation.split import Split
from provenance import read_json

# Settings that are said only where they were given: caches from before there were any go on.
_OPTIONAL = ("label_map", "uncertain_labels", "blank_labels", "without_modality")


@contextmanager
def claimed(out: Path, settings: Mapping[str, Any], split: Split) -> Iterator[None]:
    """Work on a folder as this cache's, or refuse one that belongs to something else.

    The split is compared only with a finished manifest: until then it may still be chosen.

    Args:
        out: The cache folder.
        settings: All that decides on the bytes of the cache; plain JSON values.
        split: How its images are divided.

    Raises:
        UserError: It holds other files, another data set or other settings, or another prepare.py
            is at work on it. Nothing is changed.
    """
    with locked(out, "prepare.py"):
        made = any((out / "records").glob("*.json"))
        if made and (out / "settings.json").is_file():
            absent = {key: None for key in _OPTIONAL if key not in settings}
            refuse_differences(out, "cache", read_json(out / "settings.json"), absent)
        claim_folder(out, "settings.json", settings, "cache", may_differ=not made)
        if (out / "manifest.json").is_file():
            manifest = read_json(out / "manifest.json")
            refuse_differences(out, "cache", manifest, {"split": split.plain()})
        yield

"""Caches of earlier versions: read as they are, and the command that makes one anew.

Nothing tells which files a cache was made from, so the command leaves a gap for the source.
"""

import csv
import os
import shlex
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from patient_names import KNOWN_SALT_CHECK, key_of
from provenance import read_json

# Settings of films that no flag gives.
_NO_FLAGS = {
    "command", "format", "format_version", "films_per_shard", "patient_salt_check",
    "label_table_sha256",
}  # fmt: skip
_told: set[Path] = set()


def upgrade_command(root: Path, manifest: dict[str, Any]) -> str | None:
    """Return the prepare.py command that makes a cache of an earlier version as caches are now.

    Everybody stays in his split, but for those whose spellings or copies are now kept together.

    Args:
        root: The cache folder.
        manifest: Its manifest.

    Returns:
        The command with `<...>` for what the cache does not know; None where it is up to date.
    """
    if "patients" in manifest:
        return None
    path = root / "settings.json"
    settings: dict[str, Any] = read_json(path) if path.is_file() else {}
    command = str(settings.get("command", manifest["dataset"]))
    flags: dict[str, Any] = {"out": f"{root}_new"}
    if not command.startswith("phantom"):
        flags["source"] = "<the raw data>"
    if "command" in settings:
        flags |= _of_films(settings)
    else:
        flags |= _of_slices(root, manifest, settings)
    split = manifest.get("split", {})
    if split.get("by") != "published":
        flags |= {f"split_{key}": split.get(key) for key in ("by", "ratios", "seed", "all_to")}
    # No cache of slices tells with which salt its patients were hashed, nor the series.
    gap = " <--patient-salt, --mask-labels and --series as they were>"
    return f"python prepare.py {command}{_spelled(flags)}{gap if command == 'ct_dicom' else ''}"


def _of_films(settings: dict[str, Any]) -> dict[str, Any]:
    flags = {key: value for key, value in settings.items() if key not in _NO_FLAGS}
    if settings.get("label_table_sha256"):
        flags["labels"] = "<the label table>"
    if settings.get("patient_salt_check") not in (None, KNOWN_SALT_CHECK):
        flags["patient_salt_file"] = "<the file of the salt>"
    return flags


def _of_slices(root: Path, manifest: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    flags = {"image_size": manifest["image_size"], "on_nonsquare": settings.get("on_nonsquare")}
    if window := manifest.get("window"):
        flags |= {f"window_{key}": value for key, value in window.items()}
    flags["label_map"] = settings.get("label_map")
    flags["resample"] = settings.get("resample")
    if manifest["dataset"] == "phantom_ct":
        drawn = root / "source/phantom.json"
        told = read_json(drawn) if drawn.is_file() else {}
        flags["num_patients"] = len(manifest["shards"])
        flags["num_slices"] = max(shard["num_slices"] for shard in manifest["shards"].values())
        flags["seed"] = told.get("seed", "<the seed>")
    return flags


def _spelled(flags: dict[str, Any]) -> str:
    words = []
    for name, value in flags.items():
        if isinstance(value, dict):
            value = [f"{old}={new}" for old, new in value.items()]
            if any("," in pair for pair in value):  # which separates pairs
                value = "<a file with its pairs>"
        if value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        texts = [str(part).lower() if isinstance(part, bool) else str(part) for part in values]
        quoted = [text if text.startswith("<") else shlex.quote(text) for text in texts]
        words.append(" ".join([f" --{name.replace('_', '-')}", *quoted]))
    return "".join(words)


def tell_once(root: Path, manifest: dict[str, Any]) -> None:
    """Say, once in a process, that a cache is of an earlier version, and what makes it anew."""
    command = upgrade_command(root, manifest)
    if command is None or root.resolve() in _told or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    _told.add(root.resolve())
    print(
        f"note: {root} was made by an earlier version. It is read as it is and keeps its split. "
        f"{''.join(_on_both_sides(root, manifest))}To make it anew, with every patient in the same "
        f"split except those whom spellings or copies join: {command}",
        file=sys.stderr,
    )


def _on_both_sides(root: Path, manifest: dict[str, Any]) -> list[str]:
    """Sentences: who is in several splits of a cache, as far as it can be seen.

    Pseudonyms do not tell what they were made from; names in clear do.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for item in manifest.get("items", []):
        splits[key_of(item["patient_id"])].add(item["split"])
    patients = sum(len(own) > 1 for own in splits.values())
    found = []
    if patients and manifest["split"]["by"] == "patient":
        found.append(
            "Patients in several splits, each under several spellings of one number, so that "
            f"scores are too good: {patients}. "
        )
    table = root / "duplicates.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        films = sum(row.get("first_split") != row.get("second_split") for row in rows)
        if films:
            found.append(
                f"Pairs of equal or nearly equal images in different splits: {films} ({table}). "
            )
    return found

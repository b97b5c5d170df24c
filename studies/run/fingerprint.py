"""What makes two runs the same: their data, weights and configurations by content, not by path."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.open_cache import open_cache
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import open_source
from provenance import sha256_of
from studies.specification.specification import PROJECT_ROOT, find_path


@dataclass(frozen=True)
class Inputs:
    """What a study is given beside its specification, by content.

    Attributes:
        data: Its cache, see `describe_data`.
        labels: By the names of its generators the cache whose label maps each is given, likewise;
            None: its own.
        sources: By the names of its translators the cache, likewise, or the synthetic set that each
            translates; a generator that translates nothing, or the study's own films, has none.
        weights_sha256: Of the extractor of a study of generators.
        synthetic_sha256: Of the set that stands in place of a generator; None without one.
    """

    data: dict[str, Any]
    labels: Mapping[str, dict[str, Any] | None]
    sources: Mapping[str, dict[str, Any]]
    weights_sha256: str | None = None
    synthetic_sha256: str | None = None


def describe_data(root: Path) -> dict[str, Any]:
    """What makes a cache the same data: its split and its content, but not where it lies.

    Raises:
        UserError: There is no cache.
    """
    cache = open_cache(root)
    return {
        "dataset": cache.dataset,
        "image_size": cache.image_size,
        "window": cache.manifest.get("window"),
        "split": cache.manifest.get("split"),
        "split_id": cache.split_id,
        "content_sha256": cache.content_sha256,
    }


def describe_source(root: Path) -> dict[str, Any]:
    """What makes the images that a translator translates the same ones.

    Raises:
        UserError: There is neither a cache nor a synthetic set.
    """
    opened = open_source(root)
    if isinstance(opened, SyntheticSet):
        return {"synthetic_set": opened.content_sha256}
    return describe_data(root)


def describe_training(config: str, flags: Sequence[str]) -> dict[str, Any]:
    """A training's YAMLs by content, and its flags; overlays and checkpoints in these count too."""
    files = [config] + [word for word in flags if word.endswith((".yaml", ".yml", ".ckpt"))]
    return {
        "arguments": list(flags),
        "files": {file: sha256_of(find_path(file)) for file in files if find_path(file).is_file()},
    }


def by_content(settings: Any) -> Any:
    """Settings to compare: configurations by their last names, wherever they lay, and content."""
    if isinstance(settings, list):
        return [by_content(one) for one in settings]
    if not isinstance(settings, dict):
        return settings
    if set(settings) != {"arguments", "files"}:
        return {key: by_content(value) for key, value in settings.items()}
    last = [Path(file).name for file in settings["files"]]
    names = dict(zip(settings["files"], last, strict=True)) if len({*last}) == len(last) else {}
    project = f"{PROJECT_ROOT}{os.sep}"
    return {
        "arguments": [
            names.get(word, word.removeprefix(project)) for word in settings["arguments"]
        ],
        "files": {names.get(file, file): sha256 for file, sha256 in settings["files"].items()},
    }


def digest(content: Any) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

"""All that a job's outcome depends on, without any path of this machine, and what differs in it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datamodules.open_cache import open_cache
from provenance import sha256_of
from studies.run.cells import cells_of
from studies.specification.specification import Specification, find_config


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
        "content_sha256": digest(cache.content),
    }


def settings_of(
    specification: Specification,
    name: str,
    data: dict[str, Any],
    label_data: dict[str, Any] | None,
    weights_sha256: str | None = None,
) -> dict[str, Any]:
    """Everything that a job's outcome depends on, without any path of this machine."""
    generator = None
    if specification.generator:
        generator = {
            "config": _config(specification.generator.config, specification.generator.arguments),
            "num_images": specification.generator.num_images,
            "labels": label_data,
            "with_class": specification.generator.with_class,
            "checkpoint": specification.generator.checkpoint,
        }
        if specification.generator.per_class:
            generator["per_class"] = list(specification.generator.per_class)
    if name.startswith("generator__"):
        seed = int(name.removeprefix("generator__seed"))
        return {"seed": seed, "data": data, "generator": generator}
    cell = next(cell for cell in cells_of(specification) if cell.name == name)
    # What the fit sees is the joined list: a flag may move between the three places freely.
    arguments = specification.arguments + cell.scenario.arguments + cell.model.arguments
    settings: dict[str, Any] = {
        "seed": cell.seed,
        "data": data,
        "model": _config(cell.model.config, arguments),
        "generator": generator if cell.scenario.synthetic else None,
    }
    if cell.scenario.pretrain is not None:
        settings["pretrain"] = list(cell.scenario.pretrain)
    if specification.distances:
        # Which epochs the table shows may change; the measurements are the same.
        measured = asdict(specification.distances)
        del measured["epochs"]
        settings["distances"] = {**measured, "weights_sha256": weights_sha256}
    return settings


def differences(was: Any, now: Any, path: str = "") -> list[str]:
    """What differs between two trees of plain values, such as `seed: was 0, now 1`."""
    if isinstance(was, dict) and isinstance(now, dict):
        found: list[str] = []
        for key in [*was, *(key for key in now if key not in was)]:
            place = f"{path}.{key}" if path else str(key)
            found += differences(was.get(key), now.get(key), place)
        return found
    if plain_values(was) == plain_values(now):
        return []
    return [f"{path}: was {_brief(was)}, now {_brief(now)}"]


def _config(config: str, arguments: Iterable[str]) -> dict[str, Any]:
    """A training's YAMLs by content, and its flags. Overlays named in the flags count too."""
    words = list(arguments)
    files = [config] + [word for word in words if word.endswith((".yaml", ".yml"))]
    return {
        "arguments": words,
        "files": {
            file: sha256_of(find_config(file)) for file in files if find_config(file).is_file()
        },
    }


def digest(content: Any) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plain_values(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _brief(value: Any) -> str:
    text = json.dumps(value)
    if isinstance(value, str) and len(value) == 64:
        return value[:12] + "..."
    return text if len(text) <= 120 else text[:117] + "..."

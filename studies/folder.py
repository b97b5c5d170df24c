"""A study's folder: where everything lies, and what may not change between two visits."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provenance import (
    UserError,
    library_versions,
    read_json,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)
from studies.specification import (
    Model,
    Scenario,
    Specification,
    find_config,
)
from studies.specification_file import parse_specification

STUDY_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Cell:
    """One run of one model in one scenario with one seed."""

    scenario: Scenario
    model: Model
    seed: int

    @property
    def name(self) -> str:
        """Such as `1__unet_light__seed0`; also the name of its files."""
        return f"{self.scenario.id}__{self.model.name}__seed{self.seed}"


def cells_of(specification: Specification) -> list[Cell]:
    """Every cell, seed by seed, so that a whole table exists as early as possible."""
    return [
        Cell(scenario, model, seed)
        for seed in specification.seeds
        for scenario in specification.scenarios
        for model in specification.models
    ]


@dataclass(frozen=True)
class StudyFolder:
    """Paths inside a study's output folder."""

    root: Path

    @property
    def study(self) -> Path:
        """The specification and data that the cells belong to."""
        return self.root / "study.json"

    def record(self, name: str) -> Path:
        """A finished cell's JSON, or a finished generator's (`generator__seed0`)."""
        room = "generators" if name.startswith("generator__") else "cells"
        return self.root / room / f"{name}.json"

    def failure(self, name: str) -> Path:
        """What went wrong in the last try."""
        return self.record(name).with_name(f"{name}.failed.json")

    def begun(self, name: str) -> Path:
        """The settings that a run folder was begun with."""
        return self.root / "begun" / f"{name}.json"

    def claim(self, name: str) -> Path:
        """Marks the process that works on it."""
        return self.root / "claims" / f"{name}.json"

    def log(self, name: str) -> Path:
        """What the run printed."""
        return self.root / "logs" / f"{name}.log"

    def run(self, name: str, part: str = "") -> Path:
        """Run folder of a job's training; `part` names one of several trainings of a job."""
        seed = name.removeprefix("generator__seed")
        room, run = ("runs", name) if seed == name else ("generators", f"seed_{seed}")
        return self.root / room / (f"{run}__{part}" if part else run)

    def synthetic(self, seed: int) -> Path:
        """The images that the generator of this seed made."""
        return self.root / "synthetic" / f"seed_{seed}"

    def films(self, name: str) -> Path:
        """The films that a cell's generator made, in a study of generators."""
        return self.root / "films" / name

    def finished(self) -> list[dict[str, Any]]:
        """Records of all finished cells, by name."""
        paths = (self.root / "cells").glob("*.json")
        return [read_json(path) for path in sorted(paths) if not path.name.endswith(".failed.json")]

    def finished_generators(self) -> list[dict[str, Any]]:
        """Records of all finished generators, by seed."""
        paths = sorted((self.root / "generators").glob("generator__seed*.json"))
        return [read_json(path) for path in paths if not path.name.endswith(".failed.json")]


def generator_name(seed: int) -> str:
    """Name of a seed's generator among the jobs."""
    return f"generator__seed{seed}"


def describe_data(root: Path) -> dict[str, Any]:
    """What makes a cache the same data: its split and its content, but not where it lies.

    Raises:
        UserError: There is no cache.
    """
    path = Path(root) / "manifest.json"
    if not path.is_file():
        raise UserError(
            f"{root}: holds no manifest.json, so it is not a prepared cache. "
            "Make one with prepare.py and pass its folder as --data.root."
        )
    manifest = read_json(path)
    if not isinstance(manifest, dict) or "split_id" not in manifest:
        raise UserError(f"{path}: has no split_id, so it is not a cache of prepare.py.")
    # The table of a film cache names every shard's hash; that of slices has them here.
    content = manifest.get("sha256_items") or (
        {
            name: [shard.get("sha256_image"), shard.get("sha256_mask")]
            for name, shard in sorted(manifest.get("shards", {}).items())
        }
        or manifest.get("items", [])
    )
    return {
        "dataset": manifest.get("dataset"),
        "image_size": manifest.get("image_size"),
        "window": manifest.get("window"),
        "split": manifest.get("split"),
        "split_id": manifest["split_id"],
        "content_sha256": _digest(content),
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


def open_study(
    folder: StudyFolder,
    specification: Specification,
    root: Path,
    labels: Path | None,
    weights: Path | None = None,
) -> None:
    """Record the study, or check that the finished cells there belong to it.

    Raises:
        UserError: A finished cell was made with other settings or data, or has no place in this
            specification; the sentence names what changed. Nothing is touched then.
    """
    data = describe_data(root)
    label_data = describe_data(labels) if labels else None
    weights_sha256 = sha256_of(weights) if weights else None
    known = {cell.name for cell in cells_of(specification)}
    known |= {generator_name(seed) for seed in specification.seeds}
    changes: dict[str, list[str]] = {}
    records = folder.finished() + folder.finished_generators()
    for record in records:
        name = record["name"]
        if name not in known:
            changes.setdefault("it is no longer part of the study", []).append(name)
            continue
        settings = settings_of(specification, name, data, label_data, weights_sha256)
        for change in differences(record["settings"], settings):
            changes.setdefault(change, []).append(name)
    if changes:
        told = "\n".join(
            f"  - {change}  [{_shortened(names)}]" for change, names in list(changes.items())[:8]
        )
        raise UserError(
            f"{folder.root}: holds {len(records)} finished runs that do not fit this study:\n"
            f"{told}\nNothing was run, because one table must not mix settings. Take another "
            "--out, put the settings back, or delete the files of those runs."
        )
    plain = specification.as_dict()
    content = {
        "format": "understudy-study",
        "format_version": STUDY_FORMAT_VERSION,
        "specification": plain,
        "specification_sha256": _digest(plain),
        "data": data,
        "data_root": str(root),
        "labels": label_data,
        "labels_root": str(labels) if labels else None,
        "weights": str(weights) if weights else None,
        "versions": library_versions(),
    }
    # The specification travels with its results: from here the study can be run again anywhere.
    write_text_atomic(folder.root / "study.yaml", yaml_text(plain))
    if not folder.study.is_file() or read_json(folder.study) != content:
        write_json_atomic(folder.study, json.loads(json.dumps(content)))


def yaml_text(specification: dict[str, Any]) -> str:
    """A specification's plain values as YAML that `load_specification` reads back."""
    import yaml

    return yaml.safe_dump(_plain(specification), sort_keys=False, width=90)


def load_study(folder: StudyFolder) -> tuple[Specification, dict[str, Any]]:
    """The specification that a study folder was run with, and the whole of study.json."""
    if not folder.study.is_file():
        raise UserError(
            f"{folder.root}: holds no study.json, so no study was begun there. "
            "Give the folder that study.py run wrote with --out."
        )
    content = read_json(folder.study)
    return parse_specification(content.get("specification"), str(folder.study)), content


def differences(was: Any, now: Any, path: str = "") -> list[str]:
    """What differs between two trees of plain values, such as `seed: was 0, now 1`."""
    if isinstance(was, dict) and isinstance(now, dict):
        found: list[str] = []
        for key in [*was, *(key for key in now if key not in was)]:
            place = f"{path}.{key}" if path else str(key)
            found += differences(was.get(key), now.get(key), place)
        return found
    if _plain(was) == _plain(now):
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


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _brief(value: Any) -> str:
    text = json.dumps(value)
    if isinstance(value, str) and len(value) == 64:
        return value[:12] + "..."
    return text if len(text) <= 120 else text[:117] + "..."


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

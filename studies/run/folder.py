"""A study's folder: where everything lies, and what may not change between two visits."""

from dataclasses import dataclass
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
from studies.run.cells import cells_of, generator_name
from studies.run.fingerprint import describe_data, differences, digest, plain_values, settings_of
from studies.specification.read import parse_specification
from studies.specification.specification import Specification

STUDY_FORMAT_VERSION = 1


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
        "specification_sha256": digest(plain),
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
        write_json_atomic(folder.study, plain_values(content))


def yaml_text(specification: dict[str, Any]) -> str:
    """A specification's plain values as YAML that `load_specification` reads back."""
    import yaml

    return yaml.safe_dump(plain_values(specification), sort_keys=False, width=90)


def load_study(folder: StudyFolder) -> tuple[Specification, dict[str, Any]]:
    """The specification that a study folder was run with, and the whole of study.json."""
    if not folder.study.is_file():
        raise UserError(
            f"{folder.root}: holds no study.json, so no study was begun there. "
            "Give the folder that study.py run wrote with --out."
        )
    content = read_json(folder.study)
    return parse_specification(content.get("specification"), str(folder.study)), content


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

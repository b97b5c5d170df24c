"""A study's folder: where everything lies, and what may not change between two visits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.synthetic import SyntheticSet
from display.numbers import count
from output_folder import differences, plain_values
from provenance import (
    UserError,
    library_versions,
    read_json,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)
from studies.run.decisions import decisions_of
from studies.run.fingerprint import (
    Inputs,
    by_content,
    describe_data,
    digest,
)
from studies.run.records import read_records
from studies.run.sources import sources_of
from studies.run.subgroups import groups_of_films
from studies.specification.generator_kinds import translates
from studies.specification.generator_names import GeneratorJob, generator_job
from studies.specification.parts import Cell
from studies.specification.read import parse_specification
from studies.specification.specification import Specification, find_path
from wandb_runs.environment import NOT_LOGGED, Destination

STUDY_FORMAT_VERSION = 1
_MOST_CHANGES = 8  # that are named


@dataclass(frozen=True)
class StudyFolder:
    """Paths inside a study's output folder."""

    root: Path

    @property
    def study(self) -> Path:
        """The specification and data that the cells belong to."""
        return self.root / "study.json"

    @property
    def linear_baseline(self) -> Path:
        """What a linear model says of the test films, in a study of classifiers."""
        return self.root / "linear_baseline.json"

    def record(self, name: str) -> Path:
        """A finished cell's JSON, or a finished generator's (`generator__seed0`)."""
        room = "cells" if generator_job(name) is None else "generators"
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
        made = generator_job(name)
        room, run = ("runs", name) if made is None else ("generators", made.set_name)
        return self.root / room / (f"{run}__{part}" if part else run)

    def synthetic(self, made: GeneratorJob) -> Path:
        """The images that this generator made."""
        return self.root / "synthetic" / made.set_name

    def films(self, name: str) -> Path:
        """The films that a cell's generator made, in a study of generators."""
        return self.root / "films" / name

    def audit(self, name: str) -> Path:
        """The audit of a synthetic set, `seed_0` or a cell's; it shows patients."""
        return self.root / "audits" / name

    def label_check(self, name: str) -> Path:
        """How often a model finds the labels of a synthetic set."""
        return self.root / "labels" / name

    def external(self, name: str, cell: str) -> Path:
        """A cell's test on an external set; its pictures lie in the folder beside it."""
        return self.root / "external" / name / f"{cell}.json"

    def finished(self) -> list[dict[str, Any]]:
        """Records of all finished cells, by name."""
        return read_records((self.root / "cells").glob("*.json"))

    def finished_generators(self) -> list[dict[str, Any]]:
        """Records of all finished generators, by name and seed."""
        return read_records((self.root / "generators").glob("generator*__seed*.json"))


@dataclass(frozen=True)
class Study:
    """One study: what it compares, on which data, and where. Travels to worker processes.

    Attributes:
        specification: What it compares.
        root: Prepared cache.
        out: Its folder.
        labels: Cache whose label maps the generators are given; None: what each plan says.
        weights: Of the extractor of a study of generators.
        logged: Where its runs are logged in Weights & Biases.
        external: Caches of its external test sets, by name.
    """

    specification: Specification
    root: Path
    out: Path
    labels: Path | None = None
    weights: Path | None = None
    logged: Destination = NOT_LOGGED
    external: Mapping[str, Path] = field(default_factory=dict)

    @property
    def folder(self) -> StudyFolder:
        """Paths inside the study's folder."""
        return StudyFolder(self.out)

    @cached_property
    def synthetic_set(self) -> SyntheticSet | None:
        """The set in place of a generator; None without one.

        Raises:
            UserError: There is no finished set.
        """
        written = self.specification.synthetic
        return SyntheticSet.open(find_path(written)) if written is not None else None

    def images(self, cell: Cell) -> Path:
        """Folder of a cell's synthetic images: of its generator, or the set of all seeds.

        Of one that needs none, where nothing will be read.
        """
        made = self.synthetic_set
        if made is not None:
            return made.root
        return self.folder.synthetic(self.specification.generator_job(cell))

    def labels_of(self, generator: str) -> Path | None:
        """Cache whose label maps a generator is given; None: those of the study's own data."""
        plan = self.specification.plans[generator]
        if translates(plan):
            return None  # its labels are those of what it translates
        return self.labels or (find_path(plan.labels) if plan.labels else None)

    def inputs(self) -> Inputs:
        """What it is given, by content as it is now.

        Raises:
            UserError: There is no cache.
        """
        return Inputs(
            describe_data(self.root),
            {name: self._label_maps(name) for name in self.specification.plans},
            sources_of(self.specification, self.folder.record),
            sha256_of(self.weights) if self.weights else None,
            self.synthetic_set.content_sha256 if self.synthetic_set else None,
        )

    def _label_maps(self, generator: str) -> dict[str, Any] | None:
        labels = self.labels_of(generator)
        return None if labels is None else describe_data(labels)


def open_study(
    study: Study,
    settings: Callable[[Specification, str, Inputs], dict[str, Any]],
    external: Mapping[str, Any],
) -> None:
    """Record the study, or check that the finished cells in its folder belong to it.

    Args:
        study: The study.
        settings: Gives what the outcome of a job depends on, by the job's name.
        external: What its external test sets are, which no cell depends on.

    Raises:
        UserError: A finished cell was made with other settings or data, or is no part of this
            specification; the sentence names what changed. Nothing is touched then.
    """
    specification, folder, inputs = study.specification, study.folder, study.inputs()
    _refuse_other_runs(specification, folder, lambda name: settings(specification, name, inputs))
    plain = specification.as_dict()
    before = read_json(folder.study) if folder.study.is_file() else {}
    content = {
        "format": "understudy-study",
        "format_version": STUDY_FORMAT_VERSION,
        "specification": plain,
        "specification_sha256": digest(plain),
        "decisions": decisions_of(before, specification, len(folder.finished())),
        "data": inputs.data,
        "data_root": str(study.root),
        "labels": inputs.labels.get("", inputs.labels or None),
        "labels_root": str(study.labels) if study.labels else None,
        "weights": str(study.weights) if study.weights else None,
        "external": external,
        "subgroups": groups_of_films(study.root, specification.subgroups),
        "versions": library_versions(),
    }
    # The specification travels with its results: from here the study can be run again anywhere.
    write_text_atomic(folder.root / "study.yaml", yaml_text(plain))
    if before != content:
        write_json_atomic(folder.study, plain_values(content))


def _refuse_other_runs(
    specification: Specification, folder: StudyFolder, settings: Callable[[str], dict[str, Any]]
) -> None:
    """Refuse a folder whose finished runs do not fit a study; the sentence names what changed."""
    cells = specification.cells()
    known = {cell.name for cell in cells}
    known |= {name for cell in cells if (name := specification.generator_of(cell)) is not None}
    changes: dict[str, list[str]] = {}
    records = folder.finished() + folder.finished_generators()
    for record in records:
        name = record["name"]
        if name not in known:
            changes.setdefault("it is no longer part of the study", []).append(name)
            continue
        now = by_content(settings(name))
        for change in differences(by_content(record["settings"]), now):
            changes.setdefault(change, []).append(name)
    if changes:
        told = "\n".join(
            f"  - {change}  [{_shortened(names)}]"
            for change, names in list(changes.items())[:_MOST_CHANGES]
        )
        if len(changes) > _MOST_CHANGES:
            told += f"\n  - and {count(len(changes) - _MOST_CHANGES, 'other change')}"
        unfit = len({name for names in changes.values() for name in names})
        raise UserError(
            f"{folder.root}: {unfit} of its {count(len(records), 'finished run')} "
            f"{'does' if unfit == 1 else 'do'} not fit this study:\n"
            f"{told}\nNothing was run, because one table must not mix settings. Take another "
            "--out, put the settings back, or delete the files of those runs."
        )


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def yaml_text(specification: dict[str, Any]) -> str:
    """A specification's plain values as YAML that `load_specification` reads back."""
    import yaml

    return yaml.safe_dump(plain_values(specification), sort_keys=False, width=90)


def load_study(folder: StudyFolder) -> tuple[Specification, dict[str, Any]]:
    """The specification that a study folder was run with, and the whole of study.json."""
    if not folder.study.is_file():
        lacks = "holds no study.json, so no study was begun there"
        if not folder.root.is_dir():
            lacks = "is a file" if folder.root.exists() else "there is no such folder"
        raise UserError(
            f"{folder.root}: {lacks}. Give the folder that study.py run wrote with --out."
        )
    content = read_json(folder.study)
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise UserError(f"{folder.study}: is not what study.py run writes. Give its --out folder.")
    specification = content.get("specification")
    if isinstance(specification, dict):  # of an earlier version, which gave all the same seeds
        specification = {"shared_seeds": True, **specification}
    return parse_specification(specification, str(folder.study)), content

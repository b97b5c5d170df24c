"""Paths in a study: they lead to the same files from whichever folder the study is run.

A relative path is looked for beside the study's file, then in the project, then in the working
folder. One that is found becomes relative to the project where it lies in it, else absolute.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from provenance import UserError
from spelling import from_here, meant_path
from studies.specification.parts import Model, Scenario
from studies.specification.specification import PROJECT_ROOT, Specification, find_path, words_of

_FILE = re.compile(r"/|\.(ya?ml|pth?|ckpt|safetensors)$")
_Held = TypeVar("_Held", Specification, Scenario, Model)


def with_found_paths(specification: Specification, folder: Path) -> Specification:
    """The study with every path that leads somewhere as it may be used from any folder.

    Args:
        specification: The study; a configuration that is not there stays as it was written.
        folder: That of the study's file.
    """
    found = replace(
        _with_found_flags(specification, folder),
        scenarios=tuple(
            replace(
                _with_found_flags(one, folder),
                pretrain=_flags(one.pretrain, folder)
                if isinstance(one.pretrain, tuple)
                else one.pretrain,
            )
            for one in specification.scenarios
        ),
        models=tuple(
            replace(_with_found_flags(one, folder), config=_found(one.config, folder))
            for one in specification.models
        ),
    )
    if specification.synthetic is not None:
        found = replace(found, synthetic=_found(specification.synthetic, folder))
    return found.with_plans(
        {
            name: replace(
                plan,
                config=_found(plan.config, folder),
                labels=_found(plan.labels, folder) if plan.labels else None,
                source=_found(plan.source, folder) if plan.source else None,
                arguments=_flags(plan.arguments, folder),
            )
            for name, plan in specification.plans.items()
        }
    )


def refuse_missing_configs(specification: Specification, source: Path) -> None:
    """Refuse a study one of whose configurations, or of the overlays in its flags, is not there.

    Raises:
        UserError: Says where it was looked for, and what may have been meant.
    """
    flags = [specification.arguments, *(one.arguments for one in specification.scenarios)]
    flags += [one.pretrain for one in specification.scenarios if isinstance(one.pretrain, tuple)]
    flags += [one.arguments for one in specification.models]
    flags += [plan.arguments for plan in specification.plans.values()]
    words = [pair for given in flags for pair in pairwise(words_of(given))]
    overlays = [value for flag, value in words if flag == "--config"]
    for config in [*specification.configs(), *overlays]:
        if find_path(config).is_file():
            continue
        others = [*source.parent.glob("*.yaml"), *(PROJECT_ROOT / "configs").rglob("*.yaml")]
        near = (
            meant_path(from_here(source.parent.resolve()) / config)
            or meant_path(PROJECT_ROOT / config).replace(f"{PROJECT_ROOT}/", "")
            or meant_path(Path(config), map(_as_written, others))
        )
        raise UserError(
            f"{source}: the configuration {config} does not exist, neither beside the study, nor "
            f"in {PROJECT_ROOT}, nor from here.{near} Correct its path."
        )


def _as_written(path: Path) -> Path:
    """Relative to the project where it lies in it, as a study writes it from every folder."""
    return path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else from_here(path)


def from_this_folder(words: Sequence[str]) -> list[str]:
    """A training's flags with the paths that are relative to the project as they lead from here."""
    if PROJECT_ROOT.samefile(Path.cwd()):
        return list(words)
    return [_each_value(word, _in_project) for word in words]


def _with_found_flags(holder: _Held, folder: Path) -> _Held:
    return replace(holder, arguments=_flags(holder.arguments, folder))


def _flags(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    return tuple(_each_value(word, lambda value: _found(value, folder)) for word in words)


def _each_value(word: str, found: Callable[[str], str]) -> str:
    """A word of a command with its value, if that looks like a path, as `found` gives it."""
    flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return f"{flag}{equals}{found(value)}" if _FILE.search(value) else word


def _in_project(written: str) -> str:
    there = PROJECT_ROOT / written
    return str(there) if there.exists() else written


def _found(written: str, folder: Path) -> str:
    for base in (folder, PROJECT_ROOT, Path.cwd()):
        there = Path(os.path.abspath(base / written))
        if there.exists():
            inside = there.is_relative_to(PROJECT_ROOT)
            return str(there.relative_to(PROJECT_ROOT) if inside else there)
    return written

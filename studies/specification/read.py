"""Reads a study's YAML and checks it before anything runs."""

import math
import sys
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from foreign_text import read_yaml
from provenance import UserError
from spelling import from_here, meant, meant_path
from studies.specification.arms import with_arms, with_sizes
from studies.specification.checks import check_specification
from studies.specification.parts import Distances, Metric, Model, Scenario
from studies.specification.paths import refuse_missing_configs, with_found_paths
from studies.specification.specification import PROJECT_ROOT, Specification

# What a reader sees, where a study does not say it: the short name.
_SHOWN_AS = {
    Specification: ("title", "name"),
    Metric: ("title", "name"),
    Model: ("title", "name"),
    Scenario: ("name", "id"),
}
_NUMBERS = (bool, int, float, int | None, float | None, tuple[int, ...], tuple[float, ...])
_EXPECTED: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    int | None: "a whole number",
    float | None: "a number",
    float: "a number",
    bool: "true or false",
    tuple[int, ...]: "whole numbers such as [0, 1]",
    tuple[float, ...]: "numbers such as [0.5, 1, 2]",
    tuple[str, ...]: "a list of words such as [--trainer.max_epochs, 3]",
    tuple[str, ...] | bool | None: "a list of words such as [--trainer.max_epochs, 3], or true",
    tuple[str, ...] | bool: "a list of scenarios such as [5, 1], or true",
    str | None: "text",
    Literal["steps", "real"] | None: "steps or real",
    Literal["healthy", "any"] | None: "healthy or any",
    tuple[tuple[str, ...], ...] | None: "scenarios, or pairs of them, such as [3, [4, 2]]",
    tuple[tuple[str, str], ...]: "pairs such as [4, 2]",
    dict[str, dict[str, float]]: "rows of named numbers such as {a: {b: 1.5}}",
    tuple[str, ...] | Literal["all", "smaller"]: "all, or smaller (every class but the largest), "
    "or a list of classes such as [normal]",
}
# Where a key's values are other words than its kind says.
_EXPECTED_AT = {
    "subgroups": "a list of label columns such as [sex, age]",
    "external": "a list of names such as [kermany], whose paths the command gives",
    "external_primary": "a list of names that stand in `external`",
}


def load_specification(path: Path) -> Specification:
    """Read and check a study's YAML.

    Raises:
        UserError: The file is missing or malformed, or a value cannot be right; the sentence names
            the file and the key.
    """
    import yaml

    try:
        content = read_yaml(Path(path))
    except OSError as error:
        ours = [from_here(one) for one in sorted((PROJECT_ROOT / "configs/studies").glob("*.yaml"))]
        near = "" if Path(path).exists() else meant_path(Path(path), ours)
        raise UserError(
            f"{path}: cannot be read ({error.strerror}).{near} Give the YAML of a study; "
            "`python study.py list` names those that there are."
        ) from error
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise UserError(
            f"{path}: is not valid YAML: {told}. Give the YAML of a study; `python study.py list` "
            "names those that there are."
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: is not read: {error}. Give the YAML of a study.") from error
    if isinstance(content, dict) and "num_resamples" in content:
        note = "num_resamples says nothing any more, since intervals are computed and not drawn."
        print(f"note: {path}: {note} Delete the line.", file=sys.stderr)
    specification = parse_specification(content, str(path), Path(path).parent)
    refuse_missing_configs(specification, Path(path))
    return specification


def parse_specification(content: Any, source: str, folder: Path | None = None) -> Specification:
    """Turn a study's plain values into a checked specification.

    Args:
        content: The values.
        source: What names them in errors.
        folder: Where paths in them are looked for, before the project and the working folder. None:
            they were found before.
    """
    try:
        read: Specification = _section(Specification, _in_full(content), "")
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    specification = with_sizes(read)
    check_specification(specification, source)
    if folder is not None:
        specification = with_found_paths(specification, folder)
    whole = with_arms(specification)
    if whole != specification:
        check_specification(whole, source)
    return whole


def _in_full(content: Any) -> Any:
    """The same study with its metric as a mapping, in a study of generators that of `distances`.

    Scenarios that `primary` names become lists of one, beside its pairs.
    """
    if not isinstance(content, dict):
        return content
    # Studies of earlier versions name how often their intervals were drawn.
    content = {key: value for key, value in content.items() if key != "num_resamples"}
    if isinstance(content.get("audit"), bool):  # a word for all of its defaults, or for none
        content["audit"] = {} if content["audit"] else None
    if isinstance(content.get("primary"), list):
        primary = [one if isinstance(one, list) else [one] for one in content["primary"]]
        content = {**content, "primary": primary}
    if content.get("distances") is None:
        short = isinstance(content.get("metric"), str)
        return {**content, "metric": {"name": content["metric"]}} if short else content
    if "metric" in content:
        raise UserError("metric: unknown key here, since `distances` name what is measured.")
    metric = asdict(_section(Distances, content["distances"], "distances").metric)
    # Nothing is compared with a baseline there, but a specification has one.
    scenarios = content.get("scenarios") or [{}]
    first = scenarios[0] if isinstance(scenarios, list) else {}
    baseline = first.get("id") if isinstance(first, dict) else None
    return {"baseline_scenario": baseline, **content, "metric": metric}


def _section(kind: Any, content: Any, path: str) -> Any:
    """A mapping of the file as one of the specification's dataclasses; empty keys count as absent.

    Args:
        kind: The dataclass.
        content: What should be a mapping of its fields.
        path: Where that stands in the file, such as `models[1]`; empty for the whole.
    """
    if not isinstance(content, dict):
        at = f"{path}: " if path else ""
        raise UserError(f"{at}expected a mapping of keys, found {_found(content)}.")
    given = {str(key): value for key, value in content.items() if value not in (None, "")}
    if kind in _SHOWN_AS:
        shown, name = _SHOWN_AS[kind]
        given.setdefault(shown, given.get(name, ""))
    known = {field.name: field for field in fields(kind)}
    before = f"{path}." if path else ""
    for key in given:
        if key not in known:
            told = f"unknown key.{meant(key, list(known))} Known here: {', '.join(sorted(known))}."
            raise UserError(f"{before}{key}: {told}")
    for key, field in known.items():
        if key not in given and field.default is MISSING:
            raise UserError(f"{before}{key}: is missing. Add it.")
    return kind(**{k: _value(known[k].type, value, before + k) for k, value in given.items()})


def _value(kind: Any, value: Any, path: str) -> Any:
    """A value of the kind that a field has; a dataclass, or several of them, from mappings."""
    kinds = (kind, *get_args(kind))
    named = next((get_args(one)[1] for one in kinds if get_origin(one) is dict), None)
    if is_dataclass(named):
        if not isinstance(value, dict):
            raise UserError(
                f"{path}: expected names with their keys, such as "
                f"{{dcgan: {{config: ..., num_images: 100}}}}, found {_found(value)}."
            )
        return {str(name): _section(named, one, f"{path}.{name}") for name, one in value.items()}
    section = next((one for one in kinds if is_dataclass(one)), None)
    if section is None:
        return _plain(kind, value, path)
    if get_origin(kind) is not tuple:
        return _section(section, value, path)
    if not isinstance(value, list | tuple):
        raise UserError(f"{path}: expected a list, found {_found(value)}.")
    return tuple(_section(section, one, f"{path}[{i}]") for i, one in enumerate(value))


def _plain(kind: Any, value: Any, path: str) -> Any:
    """A text, a number or a list of such, as jsonargparse checks and converts it."""
    expected = _EXPECTED_AT.get(path, _EXPECTED[kind])
    wrong = UserError(f"{path}: expected {expected}, found {_found(value)}.")
    if isinstance(value, str) and bool in get_args(kind):
        raise wrong  # as below
    if kind not in _NUMBERS:
        value = _as_text(value)
    elif any(isinstance(one, str) for one in (value if isinstance(value, list) else [value])):
        raise wrong  # jsonargparse would read the text, "yes" as true
    try:
        found = _parser(kind).parse_object({"value": value}).value
    except ArgumentError:
        raise wrong from None
    if not all(map(math.isfinite, _floats(found))):
        raise wrong  # YAML's .nan and .inf
    return found


@cache
def _parser(kind: Any) -> ArgumentParser:
    """Of one value; kept, since a study has hundreds of values of a few kinds."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    return parser


def _floats(value: Any) -> list[float]:
    match value:
        case dict():
            return [one for inner in value.values() for one in _floats(inner)]
        case list() | tuple():
            return [one for inner in value for one in _floats(inner)]
        case float():
            return [value]
    return []


def _as_text(value: Any) -> Any:
    """Text of what YAML takes for numbers, such as `id: 1`; in lists of booleans too, for flags."""
    match value:
        case dict():
            return {str(key): _as_text(v) if isinstance(v, dict) else v for key, v in value.items()}
        case list() | tuple():
            return [str(one).lower() if isinstance(one, bool) else _as_text(one) for one in value]
        case bool():
            return value
        case int() | float():
            return str(value)
        case str():
            return value.strip()
    return value


def _found(value: Any) -> str:
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"

"""Reads a study's YAML and checks it before anything runs."""

from pathlib import Path
from typing import Any, Literal

from provenance import UserError
from studies.specification.checks import check_specification
from studies.specification.specification import (
    PROJECT_ROOT,
    Distances,
    Generator,
    Metric,
    Model,
    Paper,
    Scenario,
    Specification,
    find_config,
)
from studies.specification.yaml_section import Section

# The runner sets these itself; a study that sets them too would make cells overwrite each other.
_RUNNERS_OWN_FLAGS = (
    "--run_folder",
    "--seed_everything",
    "--data.root",
    "--data.synthetic",
    "--data.only_label",
    "--model.start_from",
    "--resume",
)


def load_specification(path: Path) -> Specification:
    """Read and check a study's YAML.

    Raises:
        UserError: The file is missing or malformed, or a value cannot be right; the sentence names
            the file and the key.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}). Give the YAML of a study, for example "
            "configs/studies/quickstart.yaml."
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {error}") from error
    specification = parse_specification(content, str(path))
    for config in _configs(specification):
        if not find_config(config).is_file():
            raise UserError(
                f"{path}: the configuration {config} does not exist, neither from here nor from "
                f"{PROJECT_ROOT}. Correct its path."
            )
    return specification


def parse_specification(content: Any, source: str) -> Specification:
    """Turn a study's plain values into a checked specification; `source` names them in errors."""
    top = Section(content, source)
    name = top.text("name")
    distances = top.optional_section("distances", _distances)
    metric = distances.metric if distances else _metric(top)
    generator = top.optional_section("generator", _generator)
    paper = top.optional_section("paper", _paper)
    scenarios = tuple(top.sections("scenarios", _scenario))
    specification = Specification(
        name=name,
        title=top.text("title", name),
        question=top.text("question", "Does synthetic data help my model?"),
        seeds=tuple(top.integers("seeds")),
        metric=metric,
        scenarios=scenarios,
        models=tuple(top.sections("models", _model)),
        baseline_scenario=top.text("baseline_scenario", scenarios[0].id)
        if distances and scenarios
        else top.text("baseline_scenario"),
        generator=generator,
        distances=distances,
        arguments=_arguments(top),
        extra_comparisons=tuple(top.pairs("extra_comparisons")),
        paper=paper,
        confidence=top.number("confidence", 0.95),
        num_resamples=top.integer("num_resamples", 2000),
    )
    top.finish()
    check_specification(specification, source)
    return specification


def _metric(top: Section) -> Metric:
    if isinstance(top.peek("metric"), str):
        name = top.text("metric")
        return Metric(name, name)
    section = top.section("metric")
    name = section.text("name")
    metric = Metric(
        name,
        section.text("title", name),
        section.flag("percent", True),
        section.flag("higher_is_better", True),
    )
    section.finish()
    return metric


def _generator(section: Section) -> Generator:
    labels = section.text("labels", "")
    return Generator(
        config=section.text("config"),
        num_images=section.integer("num_images"),
        arguments=_arguments(section),
        labels=labels or None,
        with_class=section.text("with_class", "") or None,
        checkpoint=section.text("checkpoint", "last"),
        per_class=_per_class(section),
    )


def _per_class(section: Section) -> tuple[str, ...] | Literal["all", "smaller"]:
    if not isinstance(section.peek("per_class"), str):
        return tuple(section.texts("per_class"))
    match section.text("per_class"):
        case "all":
            return "all"
        case "smaller":
            return "smaller"
        case word:
            raise UserError(
                f"{section.where('per_class')}: {word!r} is neither all, nor smaller (every class "
                "but the largest), nor a list of classes such as [normal]."
            )


def _distances(section: Section) -> Distances:
    return Distances(
        extractor=section.text("extractor", "random_vgg"),
        num_images=section.integer("num_images", 1000),
        every_epochs=section.integer("every_epochs", 1),
        epochs=tuple(section.integers("epochs", [])),
        split=section.text("split", "test"),
        checkpoint=section.text("checkpoint", "last"),
    )


def _scenario(section: Section) -> Scenario:
    identifier = section.text("id")
    return Scenario(
        id=identifier,
        name=section.text("name", identifier),
        synthetic=section.flag("synthetic", False),
        arguments=_arguments(section),
        pretrain=_checked(section, "pretrain", section.optional_texts("pretrain")),
    )


def _model(section: Section) -> Model:
    name = section.text("name")
    return Model(name, section.text("config"), section.text("title", name), _arguments(section))


def _paper(section: Section) -> Paper:
    return Paper(section.text("title"), section.table("values"), section.text("reference", ""))


def _arguments(section: Section) -> tuple[str, ...]:
    return _checked(section, "arguments", section.texts("arguments")) or ()


def _checked(section: Section, key: str, words: list[str] | None) -> tuple[str, ...] | None:
    """Flags of train.py that a study may set."""
    for argument in words or ():
        flag = argument.split("=")[0]
        if flag in _RUNNERS_OWN_FLAGS:
            raise UserError(
                f"{section.where(key)}: {flag} is set by the study for every cell. Leave it out."
            )
    return None if words is None else tuple(words)


def _configs(specification: Specification) -> list[str]:
    generator = [specification.generator.config] if specification.generator else []
    return generator + [model.config for model in specification.models]

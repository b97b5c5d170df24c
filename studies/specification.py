"""A study as data: scenarios x models x seeds. `configs/studies/*.yaml` show the format."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provenance import UserError

PROJECT_ROOT = Path(__file__).resolve().parents[1]

# Names become file names, and "__" separates the parts of a cell's name.
_PLAIN_NAME = re.compile(r"(?!.*__)[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Generator:
    """What makes the synthetic images: trained once per seed, on training patients only.

    Attributes:
        config: YAML for `train.py fit --config`.
        num_images: How many images it makes per seed.
        arguments: Further flags of `train.py fit`.
        labels: Cache whose label maps are the conditions; None: the study's own data.
        with_class: Only label maps that hold this class ("tumour"); None: any foreground.
        checkpoint: "last" (the end of the training, as the source of Pix2Pix does) or "best".
    """

    config: str
    num_images: int
    arguments: tuple[str, ...] = ()
    labels: str | None = None
    with_class: str | None = None
    checkpoint: str = "last"


@dataclass(frozen=True)
class Scenario:
    """One way to train: flags of `train.py fit`; `synthetic` adds the made images."""

    id: str
    name: str
    synthetic: bool = False
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One downstream model: a whole training YAML and what this study changes in it."""

    name: str
    config: str
    title: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """The score that the study decides by.

    Attributes:
        name: Key of the score in evaluation.json's `images`, or in its `patients`.
        title: What a reader sees.
        percent: Shown times 100, in %; the paper's values are in the shown unit.
        higher_is_better: False for errors and distances.
    """

    name: str
    title: str
    percent: bool = True
    higher_is_better: bool = True


@dataclass(frozen=True)
class Paper:
    """Published numbers to stand beside ours: `values[scenario id][model name]`, shown unit."""

    title: str
    values: dict[str, dict[str, float]]
    reference: str = ""


@dataclass(frozen=True)
class Specification:
    """A whole study.

    Attributes:
        name: Short name without blanks.
        title: Headline of the report.
        question: What the study answers, as a question.
        seeds: Every cell is run once per seed; the generator too.
        metric: What decides.
        scenarios: Rows of the table.
        models: Columns of the table.
        baseline_scenario: The scenario that all others are tested against.
        generator: Needed when a scenario is `synthetic`.
        arguments: Flags of `train.py fit` given to every model (not to the generator).
        extra_comparisons: Further pairs (scenario, against) that join the tested family.
        paper: Published numbers, if there are any.
        confidence: Coverage of the intervals; 1 - confidence is the level of the tests.
        num_resamples: Bootstrap resamples.
    """

    name: str
    title: str
    question: str
    seeds: tuple[int, ...]
    metric: Metric
    scenarios: tuple[Scenario, ...]
    models: tuple[Model, ...]
    baseline_scenario: str
    generator: Generator | None = None
    arguments: tuple[str, ...] = ()
    extra_comparisons: tuple[tuple[str, str], ...] = ()
    paper: Paper | None = None
    confidence: float = 0.95
    num_resamples: int = 2000

    def scenario(self, identifier: str) -> Scenario:
        """The scenario with this id."""
        return next(scenario for scenario in self.scenarios if scenario.id == identifier)

    def model(self, name: str) -> Model:
        """The model with this name."""
        return next(model for model in self.models if model.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, in the YAML's own format: `parse_specification` reads them back."""
        plain = asdict(self)
        return {key: value for key, value in plain.items() if value is not None}


def find_config(config: str) -> Path:
    """A configuration's path: as given, or else from the project's root."""
    given = Path(config)
    return given if given.is_file() or given.is_absolute() else PROJECT_ROOT / given


def check_specification(specification: Specification, source: str) -> None:
    """Refuse what no single key shows: clashing names, references to nothing, no generator.

    Raises:
        UserError: The sentence begins with `source`, the file that the study was read from.
    """
    for sentence in (
        _wrong_names(specification)
        + _wrong_references(specification)
        + _wrong_numbers(specification)
    ):
        raise UserError(f"{source}: {sentence}")


def _wrong_names(specification: Specification) -> list[str]:
    found = []
    names = {
        "scenarios": [scenario.id for scenario in specification.scenarios],
        "models": [model.name for model in specification.models],
        "seeds": [str(seed) for seed in specification.seeds],
        "name": [specification.name],
    }
    for kind, values in names.items():
        if not values:
            found.append(f"{kind} is empty; give at least one.")
        doubled = sorted({value for value in values if values.count(value) > 1})
        if doubled:
            found.append(f"{kind} holds {', '.join(doubled)} more than once.")
        for value in values:
            if kind != "seeds" and not _PLAIN_NAME.fullmatch(value):
                found.append(
                    f"{kind}: {value!r} becomes part of a file name. Use letters, digits, '-', "
                    "'.' and single '_', and write the full name under title."
                )
    return found


def _wrong_references(specification: Specification) -> list[str]:
    found = []
    scenarios = [scenario.id for scenario in specification.scenarios]
    models = [model.name for model in specification.models]
    pairs = [identifier for pair in specification.extra_comparisons for identifier in pair]
    for identifier in (specification.baseline_scenario, *pairs):
        if identifier not in scenarios:
            found.append(f"there is no scenario {identifier!r}; there are {', '.join(scenarios)}.")
    for scenario in specification.scenarios:
        if scenario.synthetic and specification.generator is None:
            found.append(f"scenario {scenario.id} is synthetic, but there is no generator. Add it.")
    for identifier, row in (specification.paper.values if specification.paper else {}).items():
        unknown = [identifier] if identifier not in scenarios else []
        unknown += [name for name in row if name not in models]
        found += [f"paper.values: {name!r} is no scenario or model here." for name in unknown]
    return found


def _wrong_numbers(specification: Specification) -> list[str]:
    found = []
    if min(specification.seeds, default=0) < 0:
        found.append("seeds must not be negative.")
    if specification.generator and specification.generator.num_images < 1:
        found.append("generator.num_images must be at least 1.")
    kept = specification.generator.checkpoint if specification.generator else "last"
    if kept not in ("last", "best"):
        found.append(f"generator.checkpoint is {kept!r}, expected last or best.")
    if not 0.5 <= specification.confidence < 1:
        found.append(f"confidence is {specification.confidence}, expected 0.5 to below 1.")
    if specification.num_resamples < 1:
        found.append("num_resamples must be at least 1.")
    return found

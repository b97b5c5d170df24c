"""A study as data: scenarios x models x seeds. `configs/studies/*.yaml` show the format."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from studies.specification.generator_names import GeneratorJob
from studies.specification.parts import (
    AuditPlan,
    Cell,
    Distances,
    GeneratorPlan,
    Metric,
    Model,
    Paper,
    Scenario,
)

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PLACEBO = "placebo"  # id of the scenario that `placebo: true` adds
FRACTION, PATIENTS_SEED = "--data.fraction_of_patients", "--data.patients_seed"
NUM_IMAGES = "--data.num_images"
# Far above what anyone counts seeds to, so that seeds may be added to a study with a placebo.
_PLACEBO_SEEDS = 10_000
# Seeds of trainings that are drawn from their arm's name have nine digits, more than anyone counts.
_DRAWN_SEEDS = (100_000_000, 1_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A whole study.

    Attributes:
        name: Short name without blanks.
        title: Headline of the report.
        question: What the study answers, as a question.
        distances: Makes it a study of generators: the models are generators, and a cell is one
            training with its distances. None: of downstream models.
        seeds: Every cell is run once per seed; the generator too. The trainings of the baseline
            have these seeds, those of the other scenarios their own: see `training_seed`.
        metric: What decides.
        scenarios: Rows of the table.
        models: Columns of the table.
        baseline_scenario: The scenario that all others are tested against.
        generator: Makes the images of all scenarios that are `synthetic`.
        generators: Several in its place, by name; every such scenario says which it is of.
        synthetic: Folder of a finished set of synthetic images in place of generators, such as
            prepare.py synthetic makes of another program's. All seeds share it.
        arguments: Flags of `train.py fit` given to every model (not to the generator).
        extra_comparisons: Further pairs (scenario, against) that join the tested family.
        primary: What Holm's family holds: scenarios, as (id,), and pairs (id, against). None: see
            `claims`.
        placebo: Adds a scenario that is the baseline again, with other seeds.
        shared_seeds: The trainings of all scenarios but the placebo have the study's seeds as they
            are, as in folders that an earlier version began. Equal seeds draw equal weights and
            orders, so trainings of different scenarios are alike, which the tests do not know.
        target: The class in question, such as "tumour"; the report says first how well each arm
            finds it: Dice of a segmenter, sensitivity of a classifier of two classes.
        subgroups: Label columns of the data, such as sex and age, whose groups of the test split
            are scored one by one.
        external: Names of external test sets, on all of whose images every cell is tested too; the
            command says where they lie (`--external NAME=CACHE`).
        external_primary: Those of them whose comparisons of drops decide, in a family of their own.
        paper: Published numbers, if there are any.
        audit: Audits every synthetic set for copies of training images; None: none is audited.
        label_check: Asks the baseline's models, trained on real images, for the labels of every
            synthetic set.
        confidence: Coverage of the intervals; 1 - confidence is the level of the tests.
    """

    name: str
    title: str
    question: str = "Does synthetic data help my model?"
    seeds: tuple[int, ...]
    metric: Metric
    scenarios: tuple[Scenario, ...]
    models: tuple[Model, ...]
    baseline_scenario: str
    generator: GeneratorPlan | None = None
    generators: dict[str, GeneratorPlan] | None = None
    synthetic: str | None = None
    distances: Distances | None = None
    arguments: tuple[str, ...] = ()
    extra_comparisons: tuple[tuple[str, str], ...] = ()
    primary: tuple[tuple[str, ...], ...] | None = None
    placebo: bool = False
    shared_seeds: bool = False
    subgroups: tuple[str, ...] = ()
    target: str | None = None
    external: tuple[str, ...] = ()
    external_primary: tuple[str, ...] = ()
    paper: Paper | None = None
    audit: AuditPlan | None = None
    label_check: bool = False
    confidence: float = 0.95

    @property
    def kind(self) -> Literal["downstream", "generators"]:
        """What the models of this study are; `studies/run` and `studies/report` go by it."""
        return "downstream" if self.distances is None else "generators"

    @property
    def plans(self) -> Mapping[str, GeneratorPlan]:
        """The plan of every generator by its name; that of `generator` has none, ""."""
        if self.generators is not None:
            return self.generators
        return {} if self.generator is None else {"": self.generator}

    def with_plans(self, plans: Mapping[str, GeneratorPlan]) -> "Specification":
        """The study with these plans for its generators, which have the same names."""
        if self.generators is not None:
            return replace(self, generators=dict(plans))
        return replace(self, generator=plans.get(""))

    def configs(self) -> list[str]:
        """Configurations of every training, the generators' first."""
        generators = [plan.config for plan in self.plans.values()]
        return generators + [model.config for model in self.models]

    def scenario(self, identifier: str) -> Scenario:
        """The scenario with this id."""
        return next(scenario for scenario in self.scenarios if scenario.id == identifier)

    def model(self, name: str) -> Model:
        """The model with this name."""
        return next(model for model in self.models if model.name == name)

    def baseline_of(self, scenario: Scenario) -> str:
        """Id of what a scenario is tested against: the baseline, of its own size if there is one.

        Of one size with the baseline are the scenarios that differ from it in nothing else.
        """
        baseline = self.scenario(self.baseline_scenario)
        if scenario.size == baseline.size:
            return baseline.id
        alike = replace(baseline, id="", size=scenario.size, num_seeds=None)
        for other in self.scenarios:
            if replace(other, id="", num_seeds=None) == alike:
                return other.id
        return baseline.id

    def cells(self) -> list[Cell]:
        """Every cell, seed by seed, so that a whole table exists as early as possible."""
        return [
            Cell(scenario, model, self.seeds_of(scenario)[turn])
            for turn in range(len(self.seeds))
            for scenario in self.scenarios
            if turn < len(self.seeds_of(scenario))
            for model in self.models
        ]

    def seeds_of(self, scenario: Scenario) -> tuple[int, ...]:
        """Seeds that a scenario's cells are named by, and of the generators that they need."""
        seeds = self.seeds[: scenario.num_seeds]
        return tuple(_PLACEBO_SEEDS + seed for seed in seeds) if scenario.placebo else seeds

    def made_by(self, scenario: Scenario) -> str:
        """Name of the generator whose images a scenario's cells need, if they need any."""
        only = next(iter(self.plans), "")
        return only if scenario.generator is None else scenario.generator

    def title_of(self, generator: str) -> str:
        """What a reader sees of a generator; "" where it has neither title nor name."""
        return self.plans[generator].title or generator

    def generator_job(self, cell: Cell) -> GeneratorJob:
        """The generator whose images a cell is shown, if it is shown any."""
        return GeneratorJob(self.made_by(cell.scenario), cell.seed, cell.scenario.size)

    def generator_of(self, cell: Cell) -> str | None:
        """Name of the job that makes the images which a cell needs; None where it needs none."""
        return self.generator_job(cell).name if self.needs_generator(cell.scenario) else None

    def patients_flags(self, seed: int, size: float | None) -> list[str]:
        """Flags that leave a training a share of the patients, the same ones for a seed.

        A placebo and its generator, whose seeds are others, see those of the seed they stand for.
        """
        if size in (None, 1):
            return []
        own = seed if seed in self.seeds else seed - _PLACEBO_SEEDS
        return [FRACTION, f"{size:g}", PATIENTS_SEED, str(own)]

    def training_seed(self, cell: Cell) -> int:
        """Seed of a cell's training.

        The tests take trainings of different scenarios for independent, so they must not share
        first weights and orders of images. The baseline's have the study's seeds, and the placebo
        its own; those of another scenario are drawn from its id and the study's seed alone, so that
        no scenario that is added or left out changes them.
        """
        plain = cell.scenario.placebo or cell.scenario.id == self.baseline_scenario
        if plain or self.shared_seeds:
            return cell.seed
        least, end = _DRAWN_SEEDS
        drawn = hashlib.sha256(f"{cell.scenario.id}/{cell.seed}".encode()).digest()
        return least + int.from_bytes(drawn[:8], "big") % (end - least)

    def needs_generator(self, scenario: Scenario) -> bool:
        """Whether a generator is trained for its cells: images are needed, and no set is given."""
        return self.synthetic is None and self.needs_images(scenario)

    def needs_images(self, scenario: Scenario) -> bool:
        """Whether its cells need synthetic images, if only to know how many there are."""
        if scenario.control_of is None:
            return scenario.synthetic
        # As many real images as after a pretraining are those of a training without one.
        pretrained = self.scenario(scenario.control_of).pretrain is not None
        return not (pretrained and scenario.control == "real")

    def cell(self, name: str) -> Cell:
        """The cell with this name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Cell]:
        """Kept, since a study asks for each of its cells by name, several times."""
        return {cell.name: cell for cell in self.cells()}

    def flags_of(self, cell: Cell) -> list[str]:
        """The study's flags of a cell's training. Later ones win: model over scenario over all."""
        own = [*self.arguments, *cell.scenario.arguments, *cell.model.arguments]
        some = self.patients_flags(cell.seed, cell.scenario.size)
        if not some and NUM_IMAGES in words_of(own):  # of the same patients, whatever the scenario
            some = [PATIENTS_SEED, str(cell.seed)]
        return [*own, *some]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, in the YAML's own format: `parse_specification` reads them back."""
        plain = asdict(self)
        if self.distances:  # which name the metric
            del plain["metric"]
        # What a study does not say stays out, where earlier versions did not know it.
        if not self.label_check:
            del plain["label_check"]
        for scenario in plain["scenarios"]:
            if scenario["generator"] is None:
                del scenario["generator"]
        for plan in (plain["generator"], *(plain["generators"] or {}).values()):
            for key in ("title", "source"):
                if plan is not None and not plan[key]:
                    del plan[key]
        return {key: value for key, value in plain.items() if value is not None}


def find_path(written: str) -> Path:
    """A path of a study: from the project's root, or else as it is written."""
    there = PROJECT_ROOT / written
    return there if there.exists() else Path(written)


def words_of(arguments: Sequence[str]) -> list[str]:
    """Flags and values one by one, whether they were given as two words or as `--flag=value`."""
    return [part for word in arguments for part in word.split("=", 1)]

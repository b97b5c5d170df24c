"""A study as data: scenarios x models x seeds. `configs/studies/*.yaml` show the format."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PLACEBO = "placebo"  # id of the scenario that `placebo: true` adds
_GENERATOR = "generator__seed"
FRACTION, PATIENTS_SEED = "--data.fraction_of_patients", "--data.patients_seed"
NUM_IMAGES = "--data.num_images"
# Far above what anyone counts seeds to, so that seeds may be added to a study with a placebo.
_PLACEBO_SEEDS = 10_000
# Seeds of trainings that are drawn from their arm's name have nine digits, more than anyone counts.
_DRAWN_SEEDS = (100_000_000, 1_000_000_000)


@dataclass(frozen=True)
class GeneratorPlan:
    """How the generator of the synthetic images is trained, once per seed, and what it makes.

    It sees training patients only.

    Attributes:
        config: YAML for `train.py fit --config`.
        num_images: How many images it makes per seed.
        arguments: Further flags of `train.py fit`.
        labels: Cache whose label maps are the conditions; None: the study's own data.
        with_class: Only label maps that hold this class ("tumour"); None: any foreground.
        checkpoint: "last" (the end of the training, as the source of Pix2Pix does) or "best".
        per_class: One generator for each of these classes of films, trained with
            `--data.only_label`; `num_images` is then per class. Empty: one generator. "all" and
            "smaller" (every class but the largest) become the data's classes before a study runs.
        into: Of a lesion infilling: which slices get lesions, "healthy" or "any", as generate.py
            --into; None: healthy.
    """

    config: str
    num_images: int
    arguments: tuple[str, ...] = ()
    labels: str | None = None
    with_class: str | None = None
    checkpoint: str = "last"
    per_class: tuple[str, ...] | Literal["all", "smaller"] = ()
    into: Literal["healthy", "any"] | None = None


@dataclass(frozen=True)
class Scenario:
    """One way to train.

    Attributes:
        id: Short name; part of file names.
        name: What a reader sees.
        synthetic: The made images join, as the arguments say.
        arguments: Flags of `train.py fit`.
        pretrain: Flags of a first training, which sees the synthetic images in place of the
            second; the second starts from its weights. True: one on synthetic images alone, which
            becomes the data's flag before a study runs. None: one training.
        ratios: In a YAML a scenario for each of these `--data.synthetic_share`; see `arms`.
        sizes: In a YAML a scenario for each of these shares of the training patients; see `arms`.
        size: The share of the training patients that it, and its generator, sees; None: all. Which
            these are depends on the study's seed alone, so all scenarios of a seed see the same.
        num_seeds: It is trained with the first so many of the study's seeds; None: with all.
        controls: Scenarios without synthetic images that it must all beat to help, where True:
            the study makes them, as many images and as many real ones.
        control_of: The scenario that this one is the control of, with its flags.
        control: What it has as many of: "steps" (images, all real) or "real" images.
        placebo: It is the baseline again, with other seeds.
    """

    id: str
    name: str
    synthetic: bool = False
    arguments: tuple[str, ...] = ()
    pretrain: tuple[str, ...] | bool | None = None
    ratios: tuple[float, ...] = ()
    sizes: tuple[float, ...] = ()
    size: float | None = None
    num_seeds: int | None = None
    controls: tuple[str, ...] | bool = ()
    control_of: str | None = None
    control: Literal["steps", "real"] | None = None
    placebo: bool = False

    def __post_init__(self) -> None:
        """Fill in what a word of the YAML says besides: a sweep and a pretraining are synthetic."""
        if self.ratios or (self.pretrain is True and self.control_of is None):
            object.__setattr__(self, "synthetic", True)
        if self.pretrain is False:
            object.__setattr__(self, "pretrain", None)
        if self.controls is False:
            object.__setattr__(self, "controls", ())


@dataclass(frozen=True)
class Model:
    """One downstream model: a whole training YAML and what this study changes in it."""

    name: str
    config: str
    title: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One run of one model in one scenario.

    `seed` is the study's, and its generator's; `Specification.training_seed` says that of the
    training.
    """

    scenario: Scenario
    model: Model
    seed: int

    @property
    def name(self) -> str:
        """Such as `1__unet_light__seed0`; also the name of its files."""
        return f"{self.scenario.id}__{self.model.name}__seed{self.seed}"

    def as_dict(self) -> dict[str, str | int]:
        """Scenario, model and seed, as the cell's JSON has them."""
        return {"scenario": self.scenario.id, "model": self.model.name, "seed": self.seed}


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
class Distances:
    """What a study of generators measures: how far their films are from real ones.

    Attributes:
        extractor: "random_vgg", "inception" (FID) or "timm:<model>"; the last two need weights,
            which `study.py run --weights` gives. The random VGG always measures too.
        num_images: Generated images per measurement, and real ones at most.
        every_epochs: Epochs between two measurements.
        epochs: Columns of the table, counted from 1; empty: at most six, evenly spread.
        split: Real films that the finished generator is compared with.
        checkpoint: The generator compared in the end: "last", or the "best" by its distance to
            the training films.
    """

    extractor: str = "random_vgg"
    num_images: int = 1000
    every_epochs: int = 1
    epochs: tuple[int, ...] = ()
    split: str = "test"
    checkpoint: str = "last"

    @property
    def metric(self) -> Metric:
        """The distance in the extractor's features under its name in evaluation.json."""
        if self.extractor == "inception":
            return Metric("fid", "FID", percent=False, higher_is_better=False)
        features = self.extractor.removeprefix("timm:")
        title = f"Frechet distance in {features} features"
        return Metric(f"frechet_{features}", title, percent=False, higher_is_better=False)


@dataclass(frozen=True)
class AuditPlan:
    """How the synthetic sets of a study are audited for copies, as evaluate.py audit does.

    In a YAML `audit: true` is one with these settings.

    Attributes:
        require: Rules for its numbers, such as "copies<=0.01"; None: the answer alone is told.
        split: Where held-out patients come from: val, test or val+test.
        num_images: At most so many images of each set; 0: all.
        num_held_out: At most so many held-out images; 30 or more.
        num_planted: Copies of each disguise that are made to see which would be found; 20 or more.
    """

    require: str | None = None
    split: str = "val+test"
    num_images: int = 0
    num_held_out: int = 2000
    num_planted: int = 100


@dataclass(frozen=True)
class Paper:
    """Published numbers to stand beside ours, in the shown unit.

    `values[scenario id][model name]`, or `values[model name][epoch]` in a study of generators.
    """

    title: str
    values: dict[str, dict[str, float]]
    reference: str = ""


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
        generator: Needed when a scenario is `synthetic`, or else `synthetic` is.
        synthetic: Folder of a finished set of synthetic images in place of a generator, such as
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
    confidence: float = 0.95

    @property
    def kind(self) -> Literal["downstream", "generators"]:
        """What the models of this study are; `studies/run` and `studies/report` go by it."""
        return "downstream" if self.distances is None else "generators"

    def configs(self) -> list[str]:
        """Configurations of every training, the generator's first."""
        generator = [self.generator.config] if self.generator else []
        return generator + [model.config for model in self.models]

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

    def generator_of(self, cell: Cell) -> str | None:
        """Name of the generator whose images a cell needs; None where it needs none."""
        if not self.needs_generator(cell.scenario):
            return None
        return generator_name(cell.seed, cell.scenario.size)

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
        """For a study asks for each of its cells by name, several times."""
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
        return {key: value for key, value in plain.items() if value is not None}


def generator_name(seed: int, size: float | None = None) -> str:
    """Name of a seed's generator, of a share of the patients, among the jobs of a study."""
    return f"{_GENERATOR}{seed}" + ("" if size in (None, 1) else f"__size{size:g}")


def seed_of_generator(name: str) -> int | None:
    """Seed of the generator that has this name; None: a cell has it."""
    if not name.startswith(_GENERATOR):
        return None
    return int(name.removeprefix(_GENERATOR).partition("__")[0])


def size_of_generator(name: str) -> float | None:
    """Share of the training patients that the generator of this name sees; None: all."""
    size = name.partition("__size")[2]
    return float(size) if size else None


def set_name(generator: str) -> str:
    """Such as `seed_0`, from the name of a generator: of its folder and its synthetic set."""
    return f"seed_{generator.removeprefix(_GENERATOR)}"


def find_path(written: str) -> Path:
    """A path of a study: from the project's root, or else as it is written."""
    there = PROJECT_ROOT / written
    return there if there.exists() else Path(written)


def words_of(arguments: Sequence[str]) -> list[str]:
    """Flags and values one by one, whether they were given as two words or as `--flag=value`."""
    return [part for word in arguments for part in word.split("=", 1)]

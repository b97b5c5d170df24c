"""What a study is made of: scenarios, models and their cells, a generator, a metric, an audit."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GeneratorPlan:
    """How a generator of synthetic images is trained, once per seed, and what it makes.

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
        source: Of a CycleGAN: the cache, or the synthetic set, whose images it learns to translate
            into those of the study's data, and translates. None: films of one class of these data,
            which `arguments` name with --data.source_label and --data.target_label.
        title: What a reader sees; "": its name under `generators`.
    """

    config: str
    num_images: int
    arguments: tuple[str, ...] = ()
    labels: str | None = None
    with_class: str | None = None
    checkpoint: str = "last"
    per_class: tuple[str, ...] | Literal["all", "smaller"] = ()
    into: Literal["healthy", "any"] | None = None
    source: str | None = None
    title: str = ""


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
        generator: Which of the study's `generators` makes its images; None: the only one.
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
    generator: str | None = None

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

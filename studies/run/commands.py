"""What a study runs: the arguments of each verb, and the same as commands for a shell."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from studies.run.cells import Cell, generator_name
from studies.run.folder import StudyFolder
from studies.specification.specification import Specification


class FitResult(Protocol):
    """What `train.fit` returns."""

    @property
    def run_folder(self) -> Path: ...  # noqa: D102
    @property
    def best_checkpoint(self) -> Path: ...  # noqa: D102
    @property
    def last_checkpoint(self) -> Path: ...  # noqa: D102
    @property
    def images_seen(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Verbs:
    """The other root scripts as functions; given from outside, since rooms import no script.

    Attributes:
        fit: `train.fit(args)`, args as on the command line.
        generate: `generate.generate(checkpoint=, num_images=, out=, seed=, ...)`; several
            checkpoints for one generator per class.
        evaluate: `evaluate.evaluate(checkpoint=, out=, root=, split=)`, returns evaluation.json.
        evaluate_images: `evaluate.evaluate_images(synthetic=, root=, out=, split=, ...)`, likewise.
    """

    fit: Callable[[list[str]], FitResult]
    generate: Callable[..., Path]
    evaluate: Callable[..., dict[str, Any]]
    evaluate_images: Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class JobContext:
    """What every job of one study needs to know. Travels to worker processes."""

    specification: Specification
    root: Path
    out: Path
    labels: Path | None = None
    weights: Path | None = None

    @property
    def folder(self) -> StudyFolder:
        """Paths inside the study's folder."""
        return StudyFolder(self.out)


def generator_fit_arguments(context: JobContext, seed: int, only_label: str = "") -> list[str]:
    """Arguments of `train.fit` for one seed's generator, of all films or of one class."""
    generator = context.specification.generator
    assert generator is not None  # the specification refuses synthetic scenarios without one
    return [
        *("fit", "--config", generator.config, "--data.root", str(context.root)),
        *generator.arguments,
        *(("--data.only_label", only_label) if only_label else ()),
        *("--seed_everything", str(seed)),
        *("--run_folder", str(context.folder.run(generator_name(seed), only_label))),
    ]


def generate_arguments(context: JobContext, seed: int, checkpoints: list[Path]) -> dict[str, Any]:
    """Keyword arguments of `generate.generate`."""
    generator = context.specification.generator
    assert generator is not None
    return {
        "checkpoint": checkpoints if generator.per_class else checkpoints[0],
        "labels": context.labels,
        "num_images": generator.num_images,
        "out": context.folder.synthetic(seed),
        "seed": seed,
        "with_class": generator.with_class,
    }


def cell_fit_arguments(
    context: JobContext, cell: Cell, start_from: Path | None = None
) -> list[str]:
    """Arguments of `train.fit` for one cell. Later flags win: model over scenario over study.

    Args:
        context: The study.
        cell: Which cell.
        start_from: Checkpoint of the cell's pretraining, for its second training. That one sees
            real images alone; what the synthetic ones can teach is in the weights.
    """
    uses_synthetic = cell.scenario.synthetic and start_from is None
    synthetic = ["--data.synthetic", str(context.folder.synthetic(cell.seed))]
    return [
        *("fit", "--config", cell.model.config, "--data.root", str(context.root)),
        *(synthetic if uses_synthetic else []),
        *_distance_arguments(context),
        *context.specification.arguments,
        *cell.scenario.arguments,
        *cell.model.arguments,
        *(("--model.start_from", str(start_from)) if start_from else ()),
        *("--seed_everything", str(cell.seed)),
        *("--run_folder", str(context.folder.run(cell.name))),
    ]


def pretrain_fit_arguments(context: JobContext, cell: Cell) -> list[str]:
    """Arguments of `train.fit` for what a cell learns from synthetic images before real ones."""
    assert cell.scenario.pretrain is not None
    return [
        *("fit", "--config", cell.model.config, "--data.root", str(context.root)),
        *("--data.synthetic", str(context.folder.synthetic(cell.seed))),
        *context.specification.arguments,
        *cell.scenario.pretrain,
        *cell.model.arguments,
        *("--seed_everything", str(cell.seed)),
        *("--run_folder", str(context.folder.run(cell.name, "pretrain"))),
    ]


def _distance_arguments(context: JobContext) -> list[str]:
    """What a study of generators measures in training; nothing for other studies."""
    distances = context.specification.distances
    if distances is None:
        return []
    return [
        *("--distance.extractor", distances.extractor),
        *(("--distance.weights", str(context.weights)) if context.weights else ()),
        *("--distance.num_images", str(distances.num_images)),
        *("--distance.every_epochs", str(distances.every_epochs)),
        *("--distance.random_vgg_too", "true"),
    ]


def films_arguments(context: JobContext, cell: Cell, checkpoint: Path) -> dict[str, Any]:
    """Keyword arguments of `generate.generate` for a study of generators."""
    distances = context.specification.distances
    assert distances is not None
    return {
        "checkpoint": checkpoint,
        "num_images": distances.num_images,
        "out": context.folder.films(cell.name),
        "seed": cell.seed,
    }


def evaluate_images_arguments(context: JobContext, cell: Cell, extractor: str) -> dict[str, Any]:
    """Keyword arguments of `evaluate.evaluate_images` for a study of generators."""
    distances = context.specification.distances
    assert distances is not None
    short = extractor.removeprefix("timm:")
    return {
        "root": context.root,
        "split": distances.split,
        "synthetic": context.folder.films(cell.name),
        "extractor": extractor,
        "weights": None if extractor == "random_vgg" else context.weights,
        "num_images": distances.num_images,
        "out": context.folder.run(cell.name) / f"distances_{short}",
    }


def evaluate_arguments(context: JobContext, cell: Cell, checkpoint: Path) -> dict[str, Any]:
    """Keyword arguments of `evaluate.evaluate`."""
    return {
        "checkpoint": checkpoint,
        "out": context.folder.run(cell.name) / "evaluation",
        "root": context.root,
        "split": "test",
    }


def fit_command(arguments: list[str]) -> str:
    """The fit as a shell command."""
    return shlex.join(["python", "train.py", *arguments])


def verb_command(verb: str, arguments: dict[str, Any]) -> str:
    """A verb, such as "evaluate.py images", with keyword arguments as a shell command."""
    words = ["python", *verb.split()]
    for key, value in arguments.items():
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        words += ["--" + key.replace("_", "-"), *map(str, values)]
    return shlex.join(words)

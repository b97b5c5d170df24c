"""What a study runs: the arguments of each verb, and the same as commands for a shell."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from studies.folder import Cell, StudyFolder, generator_name
from studies.specification import Specification


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
    """The three root scripts as functions; given from outside, since rooms import no script.

    Attributes:
        fit: `train.fit(args)`, args as on the command line.
        generate: `generate.generate(checkpoint=, labels=, num_images=, out=, seed=, with_class=)`.
        evaluate: `evaluate.evaluate(checkpoint=, out=, root=, split=)`, returns evaluation.json.
    """

    fit: Callable[[list[str]], FitResult]
    generate: Callable[..., Path]
    evaluate: Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class JobContext:
    """What every job of one study needs to know. Travels to worker processes."""

    specification: Specification
    root: Path
    out: Path
    labels: Path | None = None

    @property
    def folder(self) -> StudyFolder:
        """Paths inside the study's folder."""
        return StudyFolder(self.out)


def generator_fit_arguments(context: JobContext, seed: int) -> list[str]:
    """Arguments of `train.fit` for one seed's generator."""
    generator = context.specification.generator
    assert generator is not None  # the specification refuses synthetic scenarios without one
    return [
        *("fit", "--config", generator.config, "--data.root", str(context.root)),
        *generator.arguments,
        *("--seed_everything", str(seed)),
        *("--run_folder", str(context.folder.run(generator_name(seed)))),
    ]


def generate_arguments(context: JobContext, seed: int, checkpoint: Path) -> dict[str, Any]:
    """Keyword arguments of `generate.generate`."""
    generator = context.specification.generator
    assert generator is not None
    return {
        "checkpoint": checkpoint,
        "labels": context.labels,
        "num_images": generator.num_images,
        "out": context.folder.synthetic(seed),
        "seed": seed,
        "with_class": generator.with_class,
    }


def cell_fit_arguments(context: JobContext, cell: Cell) -> list[str]:
    """Arguments of `train.fit` for one cell. Later flags win: model over scenario over study."""
    synthetic = ["--data.synthetic", str(context.folder.synthetic(cell.seed))]
    return [
        *("fit", "--config", cell.model.config, "--data.root", str(context.root)),
        *(synthetic if cell.scenario.synthetic else []),
        *context.specification.arguments,
        *cell.scenario.arguments,
        *cell.model.arguments,
        *("--seed_everything", str(cell.seed)),
        *("--run_folder", str(context.folder.run(cell.name))),
    ]


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
    """A verb with keyword arguments as a shell command."""
    words = ["python", f"{verb}.py"]
    for key, value in arguments.items():
        if value is None:
            continue
        words += ["--" + key.replace("_", "-"), str(value)]
    return shlex.join(words)

"""The other verbs as a study calls them, and the same as commands for a shell."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class FitResult(Protocol):
    """What `training.command.fit` returns, as far as a study reads it."""

    @property
    def run_folder(self) -> Path: ...  # noqa: D102
    @property
    def best_checkpoint(self) -> Path: ...  # noqa: D102
    @property
    def last_checkpoint(self) -> Path: ...  # noqa: D102
    @property
    def images_seen(self) -> int: ...  # noqa: D102
    @property
    def real_images_seen(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102


class Rehearsal(Protocol):
    """What `training.rehearsal.rehearse` returns; described there."""

    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def images(self) -> int: ...  # noqa: D102
    @property
    def real_images(self) -> int: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102
    @property
    def seconds(self) -> float | None: ...  # noqa: D102
    @property
    def num_timed(self) -> int: ...  # noqa: D102
    @property
    def checkpoint_bytes(self) -> int | None: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Verbs:
    """The other root scripts as functions; given from outside, since rooms import no script.

    Attributes:
        fit: `fit(args)` of training/command.py, args as on the command line.
        generate: `generate(checkpoint=, num_images=, out=, seed=, ...)` of generation/command.py;
            several checkpoints for one generator per class.
        evaluate: `evaluate(checkpoint=, out=, root=, split=)` of evaluation/command.py; returns
            what evaluation.json holds.
        evaluate_images: `evaluate_images(synthetic=, root=, out=, split=, ...)` of
            evaluation/images/evaluate.py, likewise.
        audit: `audit_and_record(synthetic=, root=, out=, ...)` of evaluate.py; returns what
            audit.json holds.
        rehearse: `rehearse(args, timed=)` of training/rehearsal.py, args as for `fit`.
        labels: `labels_and_record(synthetic=, checkpoint=, root=, split=, out=)` of evaluate.py;
            returns what evaluation.json holds.
    """

    fit: Callable[[list[str]], FitResult]
    generate: Callable[..., Path]
    evaluate: Callable[..., dict[str, Any]]
    evaluate_images: Callable[..., dict[str, Any]]
    audit: Callable[..., dict[str, Any]]
    rehearse: Callable[..., Rehearsal]
    labels: Callable[..., dict[str, Any]]


def verb_command(verb: str, keywords: dict[str, Any]) -> str:
    """A verb, such as "evaluate.py images", with keyword arguments as a shell command."""
    words = ["python", *verb.split()]
    for key, value in keywords.items():
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        words += ["--" + key.replace("_", "-"), *map(str, values)]
    return shlex.join(words)

"""Callbacks of --trainer.callbacks: which join the run's own, and which could not act here."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)

from lightning_modules.training_module import TrainingModule
from provenance import UserError
from spelling import meant
from training.trainer_flags import as_list

_BY_ITSELF = "Every module here steps its optimisers itself (manual optimisation)"
_UNSUPPORTED: tuple[tuple[type[L.Callback], str], ...] = (
    (
        LearningRateFinder,
        f"{_BY_ITSELF}, and a search for the rate needs Lightning to do it. Give "
        "--model.learning_rate; a study compares several.",
    ),
    (
        BatchSizeFinder,
        f"{_BY_ITSELF}, and a batch is what the data draw. Give --data.batch_size, and "
        "--model.micro_batches where the memory is short.",
    ),
    (
        GradientAccumulationScheduler,
        f"{_BY_ITSELF}. Use --model.micro_batches: the same, within a batch.",
    ),
    (
        StochasticWeightAveraging,
        f"{_BY_ITSELF} and sets their rates, so its rates would not be followed, and its average "
        "would come after the last checkpoint is written. Leave it out; GANs keep an average of "
        "their generator.",
    ),
)
_NO_METRIC = "Early stopping conditioned on metric"  # begins what Lightning raises


def callbacks_that_join(asked: Any) -> list[L.Callback]:
    """The callbacks of --trainer.callbacks, which join the run's own.

    Args:
        asked: Callbacks, one or several; None for none.

    Raises:
        UserError: One that does not work, or does nothing, under manual optimisation.
    """
    callbacks: list[L.Callback] = as_list(asked)
    for callback in callbacks:
        for kind, why in _UNSUPPORTED:
            if isinstance(callback, kind):
                raise UserError(
                    f"--trainer.callbacks {type(callback).__name__}: is not supported. {why}"
                )
    return callbacks


def refuse_unknown_monitor(callbacks: Sequence[L.Callback], module: TrainingModule) -> None:
    """Refuse to begin a training that an EarlyStopping would end for want of its metric.

    Args:
        callbacks: Those that were asked for. Others than EarlyStopping may report values of their
            own, so beside them nothing is refused.
        module: `metric_names` tells what it reports, where it knows that beforehand.

    Raises:
        UserError: Names the metrics that there are.
    """
    names = module.metric_names()
    if names is None or not all(isinstance(callback, EarlyStopping) for callback in callbacks):
        return
    for callback in callbacks:
        assert isinstance(callback, EarlyStopping)
        if callback.strict and callback.monitor not in names:
            raise UserError(_no_such_metric(callback.monitor, names))


def refuse_missing_metric(error: RuntimeError, trainer: L.Trainer) -> None:
    """Word Lightning's complaint that an EarlyStopping found no value to look at.

    Raises:
        UserError: It was this.
    """
    if not str(error).startswith(_NO_METRIC):
        return
    names = sorted(trainer.callback_metrics)
    monitor = str(error).split("`")[1]
    raise UserError(
        f"{_no_such_metric(monitor, names)} The run folder keeps what was trained."
    ) from error


def _no_such_metric(monitor: str, names: Sequence[str]) -> str:
    return (
        f"--trainer.callbacks EarlyStopping: monitor {monitor} is none of the values of this run."
        f"{meant(monitor, names)} There are: {', '.join(names)}."
    )

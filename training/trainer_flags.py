"""Flags of Lightning's trainer: which work here, and which are refused since they would not.

Lightning accepts some silently and does something else: a maximum of optimiser steps, of which a
GAN does two a batch, or fp16 on a CPU, which becomes bf16.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.plugins import Precision
from lightning.pytorch.plugins.environments import (
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from provenance import UserError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")
"""Of --trainer.precision; what docs/training.md names, and nothing else."""

SPELT_OUT = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}

_OPTIMISER_STEPS = (
    "It counts optimiser steps, of which a GAN does two a batch. Use --trainer.{instead}, and "
    "--data.images_per_epoch for the length of an epoch."
)
_MIN_EPOCHS = (
    "It counts optimiser steps, of which a GAN does two a batch. Use --trainer.min_epochs, which "
    "keeps --trainer.max_time and an EarlyStopping from ending the run earlier; its length is "
    "--trainer.max_epochs."
)
_ONE = (
    "1 could mean one of them, or all. Leave it out for all; give 2 or more for so many, or a "
    "number below 1 for a share."
)
_NO_TEST = "train.py trains and validates; evaluate.py tests. Leave it out."
# Flag, the values that change nothing, and why another one is refused.
_UNSUPPORTED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    (
        "gradient_clip_val",
        (None,),
        "Use --model.gradient_clip_norm: each network by itself.",
    ),
    ("gradient_clip_algorithm", (None,), "--model.gradient_clip_norm clips by the norm."),
    (
        "accumulate_grad_batches",
        (1,),
        "Use --model.micro_batches: the same, within a batch.",
    ),
    ("max_steps", (-1, None), _OPTIMISER_STEPS.format(instead="max_epochs")),
    ("min_steps", (None,), _MIN_EPOCHS),
    ("limit_test_batches", (None,), _NO_TEST),
    ("limit_predict_batches", (None,), _NO_TEST),
    (
        "overfit_batches",
        (0,),
        "Batches are drawn anew in every epoch, so these would not stay the same. Prepare a cache "
        "of a few images to see whether they can be learnt by heart.",
    ),
    (
        "use_distributed_sampler",
        (False,),
        "Every process takes its share of the batches already. Leave it out.",
    ),
    ("default_root_dir", (None,), "Use --run_folder."),
    ("model_registry", (None,), "A run keeps its models in its own folder. Leave it out."),
    (
        "barebones",
        (False,),
        "A run without records and checkpoints would leave nothing. Leave it out.",
    ),
    (
        "logger",
        (None, True),
        "metrics.csv is always written. To leave W&B out, give --wandb disabled.",
    ),
)


# Those that Lightning detects; MASTER_ADDR tells any other.
_LAUNCHERS = (SLURMEnvironment, TorchElasticEnvironment, LSFEnvironment, MPIEnvironment)


def refuse_unsupported(trainer: Any) -> None:
    """Refuse what this software does not follow, or what would train nothing.

    Args:
        trainer: The `trainer` part of a configuration.

    Raises:
        UserError: Names the flag and the one to use in its place.
    """
    for name, unused, instead in _UNSUPPORTED:
        value = trainer[name]
        accepted = name == "logger" and value is not False  # loggers, which join
        if value not in unused and not accepted:
            raise UserError(f"--trainer.{name} {value}: is not supported. {instead}")
    _refuse_precision(trainer.precision)
    if trainer.max_epochs == 0:
        raise UserError(
            "--trainer.max_epochs 0: nothing would be trained. Give 1 or more; -1 trains until it "
            "is stopped."
        )
    _refuse_time(trainer)
    _refuse_nodes(trainer)
    if trainer.limit_train_batches == 0:
        raise UserError(
            "--trainer.limit_train_batches 0: nothing would be trained. Leave it out, or give 2 or "
            "more."
        )
    for name in ("limit_train_batches", "limit_val_batches", "val_check_interval"):
        if trainer[name] == 1:
            raise UserError(f"--trainer.{name} {trainer[name]}: {_ONE}")
    between = trainer.check_val_every_n_epoch
    if between is not None and between < 1:
        raise UserError(
            f"--trainer.check_val_every_n_epoch {between}: expected 1 or more epochs between two "
            "validations."
        )
    interval = trainer.val_check_interval
    if isinstance(interval, int | float) and interval <= 0:
        raise UserError(
            f"--trainer.val_check_interval {interval}: expected 2 or more batches between two "
            "validations, or a share of the epoch between 0 and 1."
        )
    if (trainer.log_every_n_steps or 0) < 0:
        raise UserError(
            f"--trainer.log_every_n_steps {trainer.log_every_n_steps}: expected steps between two "
            "reports, 1 or more; 0 reports at the end of every epoch alone."
        )


def _refuse_time(trainer: Any) -> None:
    """Of an end that comes before the first step, or before the least that was asked for."""
    if trainer.max_time is not None:
        try:  # Lightning's own reading of it
            left = Timer(trainer.max_time).time_remaining()
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise UserError(
                f"--trainer.max_time {trainer.max_time}: expected days:hours:minutes:seconds, such "
                "as 00:12:00:00."
            ) from error
        if left is not None and left <= 0:
            raise UserError(
                f"--trainer.max_time {trainer.max_time}: nothing would be trained. Give days:hours:"
                "minutes:seconds, such as 00:12:00:00, or leave it out for no limit."
            )
    least, most = trainer.min_epochs, trainer.max_epochs
    if least is not None and least < 0:
        raise UserError(f"--trainer.min_epochs {least}: expected 0 or more.")
    if least is not None and most is not None and 0 <= most < least:
        raise UserError(
            f"--trainer.min_epochs {least}: --trainer.max_epochs {most} ends the training before. "
            "Give max_epochs as many or more; min_epochs only keeps --trainer.max_time and an "
            "EarlyStopping from ending it earlier."
        )


def _refuse_nodes(trainer: Any) -> None:
    """Of machines that nothing starts, for which the first one would wait."""
    if trainer.num_nodes < 1:
        raise UserError(f"--trainer.num_nodes {trainer.num_nodes}: expected 1 or more.")
    launched = any(kind.detect() for kind in _LAUNCHERS) or "MASTER_ADDR" in os.environ
    if trainer.num_nodes > 1 and not launched and not trainer.plugins:
        raise UserError(
            f"--trainer.num_nodes {trainer.num_nodes}: nothing has started a process on the other "
            "machines, and this one would wait for them without end. Start it by srun in a SLURM "
            "job, as scripts/slurm_train.sh does, or by torchrun on each; or leave it out."
        )


def _refuse_precision(asked: Any) -> None:
    if asked is None or asked in PRECISIONS:
        return
    meant = SPELT_OUT.get(str(asked))
    raise UserError(
        f"--trainer.precision {asked}: is not one that trains rightly here, expected "
        f"{', '.join(PRECISIONS)}. "
        + (
            f"Did you mean {meant}?"
            if meant
            else "With weights in half precision small steps of the optimiser are lost; bf16-mixed "
            "keeps them in float32, at about the same speed."
        )
    )


def worded_precision(error: UserError) -> UserError:
    """The parser's sentence on --trainer.precision, without what is refused here later."""
    flag, _, found = str(error).partition(", found ")
    if not found or not flag.startswith("--trainer.precision:"):
        return error
    return UserError(f"--trainer.precision: expected {', '.join(PRECISIONS)}, found {found}")


def refuse_other_precision(asked: Any, got: str) -> None:
    """Refuse a precision that something other than --trainer.precision chose.

    Raises:
        UserError: config.yaml would state what was not done, as when fp16 was asked for on a CPU.
    """
    wanted = asked or "32-true"
    if wanted == got:
        return
    if wanted == "16-mixed":
        raise UserError(
            f"--trainer.precision {asked}: needs a GPU; on this device Lightning would use {got} "
            f"without more than a warning. Give --trainer.precision {got} or 32-true."
        )
    raise UserError(
        f"--trainer.strategy: brings the precision {got}, and --trainer.precision is {wanted}. "
        "Leave it out of the strategy."
    )


def loggers_that_join(asked: Any) -> list[Logger]:
    """The loggers of --trainer.logger, which get what metrics.csv gets.

    Args:
        asked: Loggers, one or several; None or True for none beside the run's own.

    Raises:
        UserError: W&B's, which has a flag of its own.
    """
    loggers = as_list(None if asked is True else asked)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise UserError(
            "--trainer.logger: Weights & Biases logs without it; --wandb online, offline or "
            "disabled says how. Leave it out."
        )
    return loggers


def plugins_that_join(asked: Any, ours: Sequence[Any]) -> list[Any]:
    """The plugins of --trainer.plugins and this software's.

    Args:
        asked: Plugins, one or several; None for none.
        ours: Of a kind that is asked for too, the asked one counts.

    Raises:
        UserError: One would write checkpoints, or choose the precision.
    """
    plugins = as_list(asked)
    for plugin in plugins:
        for kind, instead in (
            (Precision, "Use --trainer.precision."),
            (CheckpointIO, "Checkpoints are always written with a hash and read without code."),
        ):
            if isinstance(plugin, kind):
                raise UserError(
                    f"--trainer.plugins {type(plugin).__name__}: is not supported. {instead}"
                )
    if any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        ours = [plugin for plugin in ours if not isinstance(plugin, ClusterEnvironment)]
    return [*plugins, *ours]


def show_what_was_asked_for(trainer: Any) -> None:
    """Let Lightning print its summary of the model and its profile, which it does as a log."""
    for asked, module in (
        (trainer.enable_model_summary, "lightning.pytorch.callbacks.model_summary"),
        (trainer.profiler, "lightning.pytorch.profilers.profiler"),
    ):
        if asked:
            logging.getLogger(module).setLevel(logging.INFO)


def as_list(value: Any) -> list[Any]:
    """What a flag was given that takes one or several; None for none."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]

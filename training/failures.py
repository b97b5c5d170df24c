"""What follows when a training fails: it stops and says so, or goes on from an earlier state."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.step.batch_parts import refuse_single_images
from lightning_modules.step.divergence import TrainingError
from lightning_modules.training_module import TrainingModule
from provenance import UserError, innermost_cause
from training.joining_callbacks import refuse_missing_metric
from worker_pool import WorkerDiedError, lost_loader, without_traceback

OnFailure = Literal["stop", "roll_back"]

MOST_ROLL_BACKS = 3

# What gloo and NCCL say where the process at the other end is gone.
_OF_A_LOST_PROCESS = ("Connection closed by peer", "Connection reset", "Broken pipe", "NCCL")


@contextmanager
def worded_building() -> Iterator[None]:
    """Around the making of module, data and trainer from settings: what is wrong, as a sentence.

    Raises:
        UserError: A constructor's sentence, which jsonargparse wraps in several of its own; or a
            library that a setting needs is not installed.
    """
    try:
        yield
    except ValueError as error:
        cause = innermost_cause(error)
        if isinstance(cause, UserError | ValueError):
            raise UserError(str(cause)) from error
        if isinstance(cause, ImportError):
            missing = " ".join(str(cause).split()).partition(". ")[0].rstrip(".")
            raise UserError(
                f"{missing}, and a setting needs it. Install it, or leave the setting out."
            ) from error
        raise


def fit_with_roll_backs(
    fit: Callable[[Path | None], None],
    module: TrainingModule,
    resume_from: Path | None,
    best: Path,
    on_failure: OnFailure,
) -> None:
    """Train; after a failure, go on from the best checkpoint with other settings.

    After a roll-back the learning rate is half of what it was, and the steps draw other noise.
    Both follow from the module's count of roll-backs, which its checkpoints keep, so a run that is
    killed later resumes with the same ones.

    Args:
        fit: Trains from a checkpoint, or from the start.
        module: What it trains.
        resume_from: Checkpoint to begin with; None for the start.
        best: What is returned to.
        on_failure: "stop" leaves it at one attempt.

    Raises:
        TrainingError: Training failed and is not, or not again, rolled back.
        UserError: The device's memory is full, a batch is too small for batch normalisation, an
            epoch too short for --trainer.val_check_interval, the metric of an EarlyStopping is not
            there, a process died that loads images or trains, or found damaged data; what to do.
    """
    while True:
        try:
            return fit(resume_from)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The device's memory is full ({str(error).splitlines()[0]}). "
                f"{module.memory_advice}"
            ) from error
        except ValueError as error:
            data = module.trainer.datamodule  # type: ignore[attr-defined]
            refuse_single_images(error, data.batch_size, module.micro_batches)
            _refuse_late_validation(error, module)
            raise
        except (RuntimeError, OSError) as error:
            if isinstance(error, RuntimeError):
                refuse_missing_metric(error, module.trainer)
            _refuse_what_died(error, module)
            raise
        except TrainingError as failure:
            if on_failure == "stop":
                raise TrainingError(
                    f"{failure} Or let --on_failure roll_back return to the best checkpoint, with "
                    "half the learning rate and other noise."
                ) from None
            if not best.exists():
                raise TrainingError(
                    f"{failure} There is no best.ckpt yet to roll back to."
                ) from None
            if module.rollbacks >= MOST_ROLL_BACKS:
                raise TrainingError(
                    f"{failure} The training was rolled back {MOST_ROLL_BACKS} times in vain."
                ) from None
            module.rollbacks += 1
            rank_zero_only(print)(
                f"{str(failure).split('. ')[0]}. Rolled back to {best.name} "
                f"({module.rollbacks} of at most {MOST_ROLL_BACKS}): other noise, learning rate "
                f"{module.learning_rate * 0.5**module.rollbacks:g}.",
                file=sys.stderr,
            )
            resume_from = best
        except UserError as error:
            raise without_traceback(error) from error


def say_if_time_is_over(trainer: L.Trainer) -> None:
    """Tell of an end by --trainer.max_time, which status 0 alone would not."""
    for timer in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(timer, Timer) and (left := timer.time_remaining()) is not None and left <= 0:
            most = trainer.max_epochs
            of = f" of {most}" if most is not None and most > 0 else ""
            print(
                f"--trainer.max_time is over: stopped after {trainer.current_epoch}{of} epochs. It "
                "counts over all starts of a run; a longer one and --resume true train on.",
                file=sys.stderr,
            )


def _refuse_what_died(error: RuntimeError | OSError, module: TrainingModule) -> None:
    """Word the death of a process that loads images, or of another one of the training."""
    kept = "Checkpoints are kept: go on with the same command and --resume true."
    data: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    others = module.trainer.world_size - 1
    first: BaseException | None = error
    while first is not None:  # Lightning's own tidying up may fail after it
        lost = lost_loader(first, data.num_workers, "--data.num_workers")
        if lost is not None:
            raise WorkerDiedError(f"{lost} {kept}") from error
        if others and any(words in str(first) for words in _OF_A_LOST_PROCESS):
            who = "The other process" if others == 1 else f"One of the {others} other processes"
            raise UserError(
                f"{who} of this training has ended, so this one stops too "
                f"({str(first).splitlines()[0][:200]}). What ended it stands in its own "
                f"output, or in the system's log where its memory was full. {kept}"
            ) from error
        first = first.__context__


def _refuse_late_validation(error: ValueError, module: TrainingModule) -> None:
    """Word Lightning's complaint that an epoch ends before its validation."""
    if "`val_check_interval`" not in str(error):
        return
    trainer: Any = module.trainer
    raise UserError(
        f"--trainer.val_check_interval {trainer.val_check_interval}: an epoch has "
        f"{trainer.fit_loop.max_batches} batches, so it would never be validated. Give so many or "
        "fewer, or leave it out for a validation after every epoch; "
        "--trainer.check_val_every_n_epoch makes them rarer."
    ) from error

"""The callbacks and plugins that every run has."""

from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse import Namespace
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from callbacks.checkpoints import Checkpoints
from callbacks.distribution_checks import ProcessesAgree
from callbacks.progress import RunProgress
from callbacks.record import RunRecord
from callbacks.run_plan import RunPlan
from callbacks.sample_grids import SampleGrids
from callbacks.stop_signal import StopSignal
from callbacks.time_shares import TimeShares
from lightning_modules.checkpoint_files import VerifiedCheckpointIO
from training.run_folder import checkpoint_folder


def callbacks_of_run(
    config: Namespace, run_folder: Path, record: dict[str, Any]
) -> list[L.Callback]:
    """Checkpoints, records, pictures and progress as the flags say.

    Args:
        config: The settings of the run.
        run_folder: It.
        record: See `record_of_run`.
    """
    has_bar = config.trainer.enable_progress_bar is not False
    checkpoints = Checkpoints(
        checkpoint_folder(run_folder),
        config.checkpoint_every_steps,
        config.keep_every_images,
        config.keep_at_most,
    )
    callbacks: list[L.Callback] = [
        RunPlan(config.expect_memory),
        RunRecord(record),
        TimeShares(printed=has_bar),
        checkpoints,
        ProcessesAgree(),
        StopSignal(checkpoints),
    ]
    if config.samples_every_epochs:
        callbacks.append(
            SampleGrids(run_folder / "samples", every_epochs=config.samples_every_epochs)
        )
    if has_bar:
        callbacks.append(RunProgress())
    return callbacks


def plugins_of_run() -> list[Any]:
    """Verified checkpoints; and on SLURM no requeueing from inside a signal handler.

    Lightning's own saves wherever the signal hits, between the steps of two networks too.
    scripts/slurm_train.sh requeues the job, and --resume continues from the last whole step.
    Under torchrun inside of a SLURM job it is torchrun that numbers the processes.
    """
    plugins: list[Any] = [VerifiedCheckpointIO()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins

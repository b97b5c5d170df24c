"""A training's logger for Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_modules.distributed import launched_rank
from wandb_runs.environment import Destination
from wandb_runs.run import begin_run


class RunWandbLogger(WandbLogger):
    """Logs rows under the number of images seen, which goes on where a resumed run does.

    W&B counts rows by itself otherwise: from 0 again in the second part of a run that is logged
    offline, and a second time where rows come again after a kill.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add to the row of `images_seen`, or where `metrics` do not say it, to the last one.

        Args:
            metrics: By name.
            step: Not used: callbacks of Lightning count steps of the optimisers here.
        """
        seen = metrics.get("images_seen")
        if seen is None:
            self.experiment.log(dict(metrics), commit=False)
        else:
            self.experiment.log(dict(metrics), step=int(seen))


def wandb_logger(
    run_folder: Path, destination: Destination, settings: dict[str, Any], resume: bool
) -> list[Logger]:
    """The logger of a run, in `run_folder/wandb`; an empty list where nothing is logged.

    Args:
        run_folder: See `begin_run`.
        destination: See `wandb_runs.environment.resolve`.
        settings: Plain values without paths, shown as the run's configuration.
        resume: Go on with the W&B run that the folder holds.
    """
    if launched_rank() != 0:  # only rank 0 logs; the others need not start the service
        return []
    # Begun here: the logger itself would warn of a setting of its own, and set WANDB_MODE.
    run = begin_run(run_folder, destination, settings, resume=resume)
    if run is None:
        return []
    run.define_metric("*", step_metric="images_seen")
    return [RunWandbLogger(experiment=run)]

"""Train one model: `python train.py fit --config configs/kits19/pix2pix.yaml --data.root DIR`."""

import logging
import sys
from collections.abc import Sequence

from command_line import run_verb, with_underscores
from training.command import FitResult, fit
from training.first_look import first_look

__all__ = ["FitResult", "fit", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    given = with_underscores(sys.argv[1:] if arguments is None else arguments)
    if first_look(given):
        return 0
    from lightning_modules.distributed import launched_rank

    logging.raiseExceptions = False  # a log file on a full disk is no reason for tracebacks
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    result = fit(given)
    if launched_rank() == 0:
        print(
            f"{result.images_seen} images seen in {result.seconds:.0f} s. "
            f"Results: {result.run_folder} (best model: {result.best_checkpoint})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("train.py", main))

"""One training, from its flags to a finished run folder. No torch is imported before the call."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provenance import UserError

# Resume is exact here although the loader keeps no state: the order follows from the step count.
warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
warnings.filterwarnings("ignore", message=".*does not have many workers.*")
warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
# The running average of a generator stays in evaluation mode.
warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
# The modules reduce their metrics themselves, so that every process logs the same value.
warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within.*")


@dataclass(frozen=True)
class FitResult:
    """What a finished training leaves behind.

    Attributes:
        images_seen: Training images shown, each as often as it was.
        real_images_seen: Those of them that were real.
        images_before: Of `images_seen`, those that the run had seen when it was gone on with.
    """

    run_folder: Path
    best_checkpoint: Path
    last_checkpoint: Path
    images_seen: int
    real_images_seen: int
    seconds: float
    images_before: int = 0


@contextmanager
def worded_failures() -> Iterator[None]:
    """Around a training: its run folder is let go of, and what is wrong is said in a sentence.

    Raises:
        UserError: What the person at the prompt can mend.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from training.run_folder import forget_run_folder
    from wandb_runs.run import leave_run

    forget_run_folder()
    failed = True
    try:
        yield
        failed = False
    except MisconfigurationException as error:
        sentence = str(error).splitlines()[0].rstrip("!.")
        raise UserError(f"{sentence}. Correct the --trainer flags.") from error
    finally:
        leave_run(failed)
        forget_run_folder()


def fit(args: list[str]) -> FitResult:
    """Run `train.py ARGS` inside this process; `args` starts with "fit".

    Raises:
        UserError: What the person at the prompt can mend.
    """
    from training.cli import TrainCLI
    from training.run_folder import checkpoint_folder

    started = time.perf_counter()
    with worded_failures():
        cli = TrainCLI.with_our_settings(args)
    folder = checkpoint_folder(cli.run_folder)
    return FitResult(
        run_folder=cli.run_folder,
        best_checkpoint=folder / "best.ckpt",
        last_checkpoint=folder / "last.ckpt",
        images_seen=cli.model.images_seen,
        real_images_seen=cli.datamodule.images_shown(cli.model.steps_done)[1],
        seconds=time.perf_counter() - started,
        images_before=cli.images_before,
    )

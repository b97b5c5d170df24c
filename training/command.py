"""One training, from its flags to a finished run folder."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException

from callbacks.wandb_log import finish_wandb
from command_line import PARSER_SETTINGS
from provenance import UserError, innermost_cause
from training.cli import TrainCLI
from training.run_folder import (
    checkpoint_folder,
    forget_run_folder,
)

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

DESCRIPTION = """Train one model.

python train.py fit --config configs/kits19/pix2pix.yaml --data.root DIR

Every constructor argument of the module and the datamodule is a flag; `fit --print_config` shows
them all with their values, `fit --model.help lightning_modules.Pix2Pix` and `fit --data.help
datamodules.KiTS19DataModule` describe them. A run writes into a folder of its own: config.yaml,
checkpoints/, metrics.csv, metrics.json, samples/ and wandb/.
"""


@dataclass(frozen=True)
class FitResult:
    """What a finished training leaves behind."""

    run_folder: Path
    best_checkpoint: Path
    last_checkpoint: Path
    images_seen: int
    seconds: float


def fit(args: list[str]) -> FitResult:
    """Run `train.py ARGS` inside this process; `args` starts with "fit".

    Raises:
        UserError: What the person at the prompt can mend.
    """
    started = time.perf_counter()
    forget_run_folder()
    try:
        cli = TrainCLI(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults={
                "use_distributed_sampler": False,
                "enable_checkpointing": False,
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
            parser_kwargs={
                "description": DESCRIPTION,
                **PARSER_SETTINGS,
                "fit": {"description": DESCRIPTION, **PARSER_SETTINGS},
            },
            args=args,
        )
    except ValueError as error:
        cause = innermost_cause(error)
        if isinstance(cause, UserError | ValueError):
            raise UserError(str(cause)) from error
        raise
    except MisconfigurationException as error:
        sentence = str(error).splitlines()[0].rstrip("!.")
        raise UserError(f"{sentence}. Correct the --trainer flags.") from error
    finally:
        finish_wandb()
    folder = checkpoint_folder(cli.run_folder)
    return FitResult(
        run_folder=cli.run_folder,
        best_checkpoint=folder / "best.ckpt",
        last_checkpoint=folder / "last.ckpt",
        images_seen=cli.model.images_seen,
        seconds=time.perf_counter() - started,
    )

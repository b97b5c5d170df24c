"""Train one model: `python train.py fit --config configs/kits19/pix2pix.yaml --data.root DIR`.

Every constructor argument of the module and the datamodule is a flag; `--print_config` shows them
all with their values, `fit --help` describes them. A run writes into a folder of its own:
config.yaml, checkpoints/, metrics.csv, metrics.json, samples/ and wandb/.
"""

import logging
import os
import sys
import time
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from callbacks.checkpoints import Checkpoints
from callbacks.distribution_checks import ProcessesAgree
from callbacks.progress import RunProgress
from callbacks.record import RunRecord, checkpoint_folder, patient_split_of
from callbacks.run_log import RunLog
from callbacks.sample_grids import SampleGrids
from callbacks.wandb_log import WandbMode, finish_wandb, wandb_logger
from command_line import run_verb, with_underscores
from lightning_modules.checkpoint_files import VerifiedCheckpointIO
from lightning_modules.distributed import STRATEGY_NAME, launched_rank
from provenance import UserError, innermost_cause, library_versions, read_json

# Resume is exact here although the loader keeps no state: the order follows from the step count.
warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
warnings.filterwarnings("ignore", message=".*does not have many workers.*")
warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
# The modules reduce their metrics themselves, so that every process logs the same value.
warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within.*")

RUN_FOLDER_VARIABLE = "UNDERSTUDY_RUN_FOLDER"


@dataclass(frozen=True)
class FitResult:
    """What a finished training leaves behind."""

    run_folder: Path
    best_checkpoint: Path
    last_checkpoint: Path
    images_seen: int
    seconds: float


class TrainCLI(LightningCLI):
    """LightningCLI that gives every run a folder, a record and exact resume."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only `fit`: evaluate.py tests, and --resume replaces --ckpt_path."""
        skipped = {"model", "train_dataloaders", "val_dataloaders", "datamodule"}
        return {"fit": skipped | {"ckpt_path", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Flags beyond the module's, the datamodule's and the trainer's."""
        parser.add_argument(
            "--run_folder",
            type=str | None,
            default=None,
            help="Folder of this run. Default: runs/<config name>/<date and time>. A folder that "
            "holds a run already is refused unless --resume true.",
        )
        parser.add_argument(
            "--resume",
            type=bool,
            default=False,
            help="Continue the run in --run_folder from its last checkpoint; start it if there is "
            "none. The result is that of a run that was never interrupted.",
        )
        parser.add_argument(
            "--checkpoint_every_steps",
            type=int | None,
            default=None,
            help="Save a checkpoint to resume from after this many training steps, besides the one "
            "after every epoch.",
        )
        parser.add_argument(
            "--samples_every_epochs",
            type=int,
            default=1,
            help="Epochs between two sheets of sample pictures; 0 makes none.",
        )
        parser.add_argument(
            "--wandb",
            type=WandbMode,
            default="auto",
            help="auto: online if a Weights & Biases key is set up, else offline into the run "
            "folder; online, offline or disabled say so. It never asks.",
        )

    def before_instantiate_classes(self) -> None:
        """Resolve what depends on other settings, so that config.yaml is whole."""
        config = self.config[self.subcommand]
        config.trainer.strategy = _strategy_for(config.trainer)
        _take_image_size_from_data(config)
        for part in (config.model, config.data):
            if "seed" in part.init_args:
                part.init_args.seed = config.seed_everything
        self.run_folder = _claim_run_folder(config)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Give the trainer this run's loggers, callbacks and checkpoint plugin."""
        config = self.config[self.subcommand]
        loggers: list[Any] = [RunLog(self.run_folder)]
        if not config.trainer.fast_dev_run:
            loggers += wandb_logger(self.run_folder, config.wandb, _plain(config))
        callbacks: list[L.Callback] = [
            RunRecord(self._record(config)),
            Checkpoints(checkpoint_folder(self.run_folder), config.checkpoint_every_steps),
            ProcessesAgree(),
        ]
        if config.samples_every_epochs:
            callbacks.append(
                SampleGrids(self.run_folder / "samples", every_epochs=config.samples_every_epochs)
            )
        if config.trainer.enable_progress_bar is not False:
            callbacks.append(RunProgress())
        return super().instantiate_trainer(
            logger=loggers,
            callbacks=[*(self._get(self.config_init, "trainer")["callbacks"] or []), *callbacks],
            plugins=[VerifiedCheckpointIO()],
            default_root_dir=str(self.run_folder),
        )

    def fit(self, **kwargs: Any) -> None:
        """Train, from the last checkpoint of the run folder when told to resume."""
        config = self.config[self.subcommand]
        if self.trainer.is_global_zero:
            self.run_folder.mkdir(parents=True, exist_ok=True)
            self._parser(self.subcommand).save(
                config,
                self.run_folder / "config.yaml",
                overwrite=True,
                skip_unset=False,
                multifile=False,
            )
        last = checkpoint_folder(self.run_folder) / "last.ckpt"
        resume_from = str(last) if config.resume and last.exists() else None
        self.trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=resume_from)

    def _record(self, config: Namespace) -> dict[str, Any]:
        cache = self.datamodule.cache
        return {
            "model": _plain(config.model),
            "data": _plain(config.data),
            "image_size": cache.image_size,
            "class_names": cache.class_names,
            "dataset": cache.dataset,
            "split": patient_split_of(cache),
            "versions": library_versions(),
            "seed": config.seed_everything,
        }


def _plain(config: Namespace) -> dict[str, Any]:
    """A configuration as plain dicts, lists and values, which a checkpoint may hold."""

    def walk(node: Any) -> Any:
        if isinstance(node, Namespace):
            return {key: walk(value) for key, value in vars(node).items()}
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [walk(value) for value in node]
        return node if isinstance(node, bool | int | float | str | None) else str(node)

    return walk(config)


def _strategy_for(trainer: Namespace) -> Any:
    """Several processes always get the strategy that keeps two networks' gradients apart."""
    if trainer.strategy not in ("auto", "ddp"):
        return trainer.strategy
    devices = trainer.devices
    if devices in ("auto", -1, "-1"):
        on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
        count = torch.cuda.device_count() if on_gpu else 1
    else:
        count = len(devices) if isinstance(devices, list) else int(str(devices).count(",") + 1)
        count = int(devices) if str(devices).isdigit() else count
    return STRATEGY_NAME if count * trainer.num_nodes > 1 else "auto"


def _take_image_size_from_data(config: Namespace) -> None:
    """Size the networks by the prepared images unless the configuration says otherwise."""
    manifest = Path(str(config.data.init_args.get("root"))) / "manifest.json"
    if "image_size" in config.model.init_args and manifest.is_file():
        prepared = read_json(manifest).get("image_size")
        given = config.model.init_args.image_size
        if given not in (None, prepared):
            raise UserError(
                f"--model.image_size is {given}, but the images of {manifest.parent} are "
                f"{prepared} px. Leave the flag out, or prepare the data with --image-size {given}."
            )
        config.model.init_args.image_size = prepared


def _claim_run_folder(config: Namespace) -> Path:
    """The folder of this run, the same in every process; never one that holds another run."""
    inherited = os.environ.get(RUN_FOLDER_VARIABLE)
    if launched_rank() != 0 and inherited:
        return Path(inherited)
    if config.run_folder is not None:
        folder = Path(config.run_folder)
    else:
        name = Path(str(config.config[-1])).stem if config.get("config") else "run"
        job = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID")
        folder = Path("runs") / name / (job or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if launched_rank() == 0:
        if (folder / "config.yaml").exists() and not config.resume:
            raise UserError(
                f"--run_folder {folder}: holds a run already. Nothing is overwritten: choose "
                "another folder, or add --resume true to continue that run."
            )
        os.environ[RUN_FOLDER_VARIABLE] = str(folder)  # read by the processes that Lightning starts
    return folder


def fit(args: list[str]) -> FitResult:
    """Run `train.py ARGS` inside this process; `args` starts with "fit".

    Raises:
        UserError: What the person at the prompt can mend.
    """
    started = time.perf_counter()
    os.environ.pop(RUN_FOLDER_VARIABLE, None) if launched_rank() == 0 else None
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
            },
            parser_kwargs={"fit": {"description": __doc__}},
            args=args,
        )
    except ValueError as error:
        cause = innermost_cause(error)
        if isinstance(cause, UserError | ValueError):
            raise UserError(str(cause)) from error
        raise
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The GPU's memory is full ({str(error).splitlines()[0]}). Raise "
            "--model.micro_batches, which gives the same result, or lower --data.batch_size."
        ) from error
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


def main() -> int:
    """Entry point of the command line."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    result = fit(with_underscores(sys.argv[1:]))
    if launched_rank() == 0:
        print(
            f"{result.images_seen} images seen in {result.seconds:.0f} s. "
            f"Results: {result.run_folder} (best model: {result.best_checkpoint})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_verb("train.py", main))

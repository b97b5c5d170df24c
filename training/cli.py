"""The flags of a training, and the trainer that they make."""

import signal
import sys
from pathlib import Path
from typing import Any, Self

import lightning as L
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.checkpoints import Checkpoints
from callbacks.distance_per_epoch import DistancePerEpoch
from callbacks.distribution_checks import ProcessesAgree
from callbacks.progress import RunProgress
from callbacks.record import RunRecord, patient_split_of, plain_values
from callbacks.run_log import RunLog
from callbacks.run_plan import RunPlan
from callbacks.sample_grids import SampleGrids
from callbacks.stop_signal import StopSignal
from callbacks.time_shares import TimeShares
from callbacks.wandb_log import wandb_logger
from command_line import PARSER_SETTINGS, Stopped, parsed
from lightning_modules import GAN
from lightning_modules.checkpoint_files import VerifiedCheckpointIO
from lightning_modules.distributed import launched_rank
from provenance import UserError, library_versions, without_paths, write_text_atomic
from training.devices import refuse_devices, strategy_for
from training.failures import (
    OnFailure,
    fit_with_roll_backs,
    say_if_time_is_over,
    worded_building,
)
from training.going_on import (
    checkpoint_to_go_on_from,
    refuse_other_data,
    refuse_other_settings,
    told_start,
)
from training.joining_callbacks import callbacks_that_join, refuse_unknown_monitor
from training.library_networks import NetworkParser, refuse_unfit_network
from training.run_folder import checkpoint_folder, claim_run_folder, hold_run_folder
from training.settings import (
    refuse_numbers,
    refuse_other_seeds,
    refuse_seed,
    refuse_small_images,
    refuse_unused_distance,
    take_from_data,
    write_out_data,
)
from training.trainer_flags import (
    loggers_that_join,
    plugins_that_join,
    refuse_other_precision,
    refuse_unsupported,
    show_what_was_asked_for,
    worded_precision,
)
from wandb_runs.environment import Destination, WandbMode, resolve
from worker_pool import end_with_parent

DESCRIPTION = """Train one model.

python train.py fit --config configs/kits19/pix2pix.yaml --data.root DIR

`python train.py list` names the configurations that there are, and what each needs. Every
constructor argument of the module and the datamodule is a flag; `fit --print_config` shows them
all with their values, `fit --model.help lightning_modules.Pix2Pix` and `fit --data.help
datamodules.KiTS19DataModule` describe them. A run writes into a folder of its own: config.yaml,
checkpoints/, metrics.csv, metrics.json, samples/ and wandb/.
"""


class TrainCLI(LightningCLI):
    """LightningCLI that gives every run a folder, a record and exact resume.

    `make flags` after a change of its flags: train.py answers from what it writes.
    """

    @classmethod
    def with_our_settings(cls, args: list[str]) -> Self:
        """Parse the words of a command, and do what they say."""
        return cls(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=NetworkParser,
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
            nargs="?",
            const=True,
            default=False,
            help="Continue the run in --run_folder from its last checkpoint, or from best.ckpt if "
            "there is no last.ckpt; start it if there is neither. The result is that of an "
            "uninterrupted run. The data must be the same; their folder may have moved.",
        )
        parser.add_argument(
            "--checkpoint_every_steps",
            type=int | None,
            default=None,
            help="Save a checkpoint to resume from after this many training steps, besides the one "
            "after every epoch.",
        )
        parser.add_argument(
            "--keep_every_images",
            type=int | None,
            default=None,
            help="Keep a snapshot (checkpoints/images_00012000.ckpt and so on) each time this "
            "number of further images has been seen. Each is a complete checkpoint like last.ckpt.",
        )
        parser.add_argument(
            "--keep_at_most",
            type=int | None,
            default=None,
            help="Largest number of these snapshots; the oldest is removed when another is "
            "written. Default: all.",
        )
        parser.add_argument(
            "--samples_every_epochs",
            type=int,
            default=1,
            help="Number of epochs between two sheets of sample images; 0 makes none.",
        )
        parser.add_argument(
            "--expect_memory",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="Before the first step, estimate how much GPU memory a step will need. Takes a "
            "few seconds and needs no GPU.",
        )
        parser.add_class_arguments(DistancePerEpoch, "distance")
        parser.add_argument(
            "--on_failure",
            type=OnFailure,
            default="stop",
            help="When training diverges or a generator collapses: stop; or roll_back to the best "
            "checkpoint, up to 3 times, with half the learning rate and other noise.",
        )
        parser.add_argument(
            "--wandb",
            type=WandbMode,
            default="auto",
            help="Weights & Biases logging. auto: online if a key is set up, else offline into the "
            "run folder. Or online, offline, disabled. It never asks for a key. Without a network "
            "a run is logged offline.",
        )

    @worded_building()
    def before_instantiate_classes(self) -> None:
        """Resolve what depends on other settings and on the data, so that config.yaml is whole."""
        config = self.config[self.subcommand]
        refuse_unsupported(config.trainer)
        refuse_numbers(config)
        refuse_other_seeds(self.words, config.get("config") or [], config.seed_everything)
        config.trainer.strategy = strategy_for(config.trainer)
        refuse_devices(config.trainer, config.data.init_args.get("batch_size") or 0)
        for part in (config.model, config.data):
            if "seed" in part.init_args:
                part.init_args.seed = config.seed_everything
        name = Path(str(config.config[0])).stem if config.get("config") else "run"
        self.run_folder = claim_run_folder(config.run_folder, name, config.resume)
        parser = self._parser(self.subcommand)
        self.datamodule = parser.instantiate(Namespace(data=config.data)).data
        take_from_data(config.model.init_args, self.datamodule)
        refuse_small_images(config.model.init_args, self.datamodule)
        refuse_unfit_network(config.model, self.datamodule)
        write_out_data(config.data.init_args, self.datamodule)
        refuse_other_settings(self.run_folder, plain_values(config))
        self.record = self._record(config)
        self.images_before = 0
        if config.resume:
            self.images_before = refuse_other_data(self.run_folder, self.record, self.datamodule)
        self.destination = _destination(config)  # last, since it may wait for a network

    @worded_building()
    def instantiate_classes(self) -> None:
        """Make the module and the trainer; the datamodule is there."""
        hold_run_folder(self.run_folder, self.config[self.subcommand].resume)
        config = self.config.clone()
        del config[self.subcommand]["data"]
        self.config_init = self.parser.instantiate(config)
        self.model = self._get(self.config_init, "model")
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Give the trainer this run's loggers, callbacks and checkpoint plugin."""
        config = self.config[self.subcommand]
        given = self._get(self.config_init, "trainer")
        settings = without_paths(plain_values(config))
        settings["augmentation"] = self.record["augmentation"]
        joining = loggers_that_join(given["logger"])
        asked = callbacks_that_join(given["callbacks"])
        refuse_unknown_monitor(asked, self.model)
        loggers: list[Any] = [
            RunLog(self.run_folder),
            *wandb_logger(self.run_folder, self.destination, settings, config.resume),
        ]
        checkpoints = Checkpoints(
            checkpoint_folder(self.run_folder),
            config.checkpoint_every_steps,
            config.keep_every_images,
            config.keep_at_most,
        )
        callbacks: list[L.Callback] = [
            RunPlan(config.expect_memory),
            RunRecord(self.record),
            TimeShares(printed=config.trainer.enable_progress_bar is not False),
            checkpoints,
            ProcessesAgree(),
            StopSignal(checkpoints),
        ]
        if config.samples_every_epochs:
            callbacks.append(
                SampleGrids(self.run_folder / "samples", every_epochs=config.samples_every_epochs)
            )
        if not isinstance(self.model, GAN):
            refuse_unused_distance(config.distance, type(self.model).__name__)
        elif config.distance.num_images:
            # First, so that the others find its values among the epoch's.
            callbacks.insert(0, self._get(self.config_init, "distance"))
        if config.trainer.enable_progress_bar is not False:
            callbacks.append(RunProgress())
        show_what_was_asked_for(config.trainer)
        trainer = super().instantiate_trainer(
            logger=[*loggers, *joining],
            callbacks=[*asked, *callbacks],
            plugins=plugins_that_join(given["plugins"], _plugins()),
            default_root_dir=str(self.run_folder),
        )
        refuse_other_precision(config.trainer.precision, trainer.precision)
        if config.trainer.fast_dev_run:  # its limit counts optimiser steps; that of batches does it
            trainer.fit_loop.epoch_loop.max_steps = -1
        elif config.trainer.enable_autolog_hparams:
            for logger in joining:
                logger.log_hyperparams(settings)
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Train, from the last checkpoint of the run folder when told to resume."""
        if launched_rank() != 0:
            end_with_parent()
        config = self.config[self.subcommand]
        last = checkpoint_folder(self.run_folder) / "last.ckpt"
        written = self.run_folder / "config.yaml"
        is_new = not written.exists()
        start = checkpoint_to_go_on_from(self.run_folder) if config.resume else None
        if config.resume and self.trainer.is_global_zero:
            print(told_start(self.run_folder, start, self.images_before), file=sys.stderr)
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            if self.trainer.is_global_zero:
                # Whole at any moment: other processes read it, and a kill would leave half of it.
                text = self._parser(self.subcommand).dump(config, skip_unset=False)
                write_text_atomic(written, text)
            fit_with_roll_backs(
                lambda state: self.trainer.fit(
                    self.model, datamodule=self.datamodule, ckpt_path=state
                ),
                self.model,
                start,
                checkpoint_folder(self.run_folder) / "best.ckpt",
                config.on_failure,
            )
            if self.trainer.is_global_zero:
                say_if_time_is_over(self.trainer)
        except SystemExit as error:  # after Ctrl-C and SIGTERM, with status 1 or even 0
            kept = "keeps its last checkpoint" if last.exists() else "has no checkpoint yet"
            raise Stopped(
                f"stopped. {self.run_folder} {kept}; go on with the same command and "
                f"--run_folder {self.run_folder} --resume true.",
                143 if isinstance(error, SIGTERMException) else 130,
            ) from error
        except OSError as error:
            file = f" ({error.filename})" if error.filename else ""
            raise UserError(
                f"--run_folder {self.run_folder}: cannot be written{file}: "
                f"{error.strerror or error}. "
                "What is whole is kept; make room, then go on with the same command and "
                f"--run_folder {self.run_folder} --resume true."
            ) from error
        finally:
            if is_new and self.trainer.is_global_zero and not self.model.steps_done:
                written.unlink(missing_ok=True)  # no run: the folder stays free for the next try
            if signal.getsignal(signal.SIGINT) != on_interrupt:  # Lightning leaves it ignored
                signal.signal(signal.SIGINT, on_interrupt)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Word errors as sentences."""
        self.words = list(args)
        try:
            self.config = parsed(parser, args, list(self._subcommand_parsers.values()))
        except UserError as error:
            raise worded_precision(error) from None
        refuse_seed(self.config[self.config.subcommand].seed_everything)

    def _record(self, config: Namespace) -> dict[str, Any]:
        cache = self.datamodule.cache
        return {
            # A checkpoint is given to others; where its data lie stands in config.yaml alone.
            "model": without_paths(plain_values(config.model)),
            "data": without_paths(plain_values(config.data)),
            "image_size": self.datamodule.image_size,
            "class_names": self.datamodule.class_names,
            **_chosen(self.datamodule),
            "dataset": cache.dataset,
            "preparation": cache.preparation,
            "image_form": cache.image_form,
            "licences": self.datamodule.licences(),
            "split": patient_split_of(cache),
            "patient_names": cache.patient_names.plain(),
            "pixels": cache.packed_pixels(),
            "content_sha256": cache.content_sha256,
            "synthetic_sha256": self.datamodule.synthetic_sha256,
            "augmentation": self.datamodule.policy.plain(),
            "also_seen": self.datamodule.also_seen().plain(),
            "versions": library_versions(),
            "seed": config.seed_everything,
        }


def _chosen(datamodule: Any) -> dict[str, list[str]]:
    """What a training leaves out, where the settings of its data alone do not tell.

    Of a translator's films the classes that it shows; of so many films whose they are, which
    depends on how many each patient has.
    """
    chosen = {}
    if (shown := getattr(datamodule, "shown_classes", None)) is not None:
        chosen["shown_classes"] = shown
    if getattr(datamodule, "num_images", None) is not None:
        chosen["chosen_patients"] = sorted(datamodule.chosen_patients)
    return chosen


def _destination(config: Namespace) -> Destination:
    """Where this process logs to W&B."""
    if launched_rank() != 0:
        return Destination("disabled", "the first process logs")
    if config.trainer.fast_dev_run:
        return Destination("disabled", "--trainer.fast_dev_run")
    return resolve(config.wandb)


def _plugins() -> list[Any]:
    """Verified checkpoints; and on SLURM no requeueing from inside a signal handler.

    Lightning's own saves wherever the signal hits, between the steps of two networks too.
    scripts/slurm_train.sh requeues the job, and --resume continues from the last whole step.
    Under torchrun inside of a SLURM job it is torchrun that numbers the processes.
    """
    plugins: list[Any] = [VerifiedCheckpointIO()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins

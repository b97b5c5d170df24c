"""From the words of a command to a training: its settings, its trainer, its start and end."""

import signal
import sys
from pathlib import Path
from typing import Any, Self

import lightning as L
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from callbacks.record import plain_values
from callbacks.run_log import RunLog
from callbacks.wandb_log import wandb_logger
from command_line import PARSER_SETTINGS, parsed
from lightning_modules import GAN
from lightning_modules.distributed import end_before_launched, launched_rank
from private_paths import without_paths
from provenance import UserError, write_text_atomic
from training.devices import refuse_devices, strategy_for
from training.failures import (
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
from training.record import record_of_run
from training.run_flags import add_run_flags
from training.run_folder import checkpoint_folder, claim_run_folder, hold_run_folder
from training.run_parts import callbacks_of_run, plugins_of_run
from training.settings import (
    refuse_numbers,
    refuse_other_seeds,
    refuse_seed,
    refuse_small_images,
    refuse_unused_distance,
    take_from_data,
    write_out_data,
)
from training.stopped import told_how_to_go_on
from training.trainer_flags import (
    loggers_that_join,
    plugins_that_join,
    refuse_other_precision,
    refuse_unsupported,
    show_what_was_asked_for,
    worded_precision,
)
from wandb_runs.environment import Destination, resolve
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
    """LightningCLI that gives every run a folder, a record and exact resume."""

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
        add_run_flags(parser)

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
        self.record = record_of_run(config, self.datamodule)
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
        callbacks = callbacks_of_run(config, self.run_folder, self.record)
        if not isinstance(self.model, GAN):
            refuse_unused_distance(config.distance, type(self.model).__name__)
        elif config.distance.num_images:
            # First, so that the others find its values among the epoch's.
            callbacks.insert(0, self._get(self.config_init, "distance"))
        show_what_was_asked_for(config.trainer)
        trainer = super().instantiate_trainer(
            logger=[*loggers, *joining],
            callbacks=[*asked, *callbacks],
            plugins=plugins_that_join(given["plugins"], plugins_of_run()),
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
        written = self.run_folder / "config.yaml"
        is_new = not written.exists()
        start = checkpoint_to_go_on_from(self.run_folder) if config.resume else None
        if config.resume and self.trainer.is_global_zero:
            print(told_start(self.run_folder, start, self.images_before), file=sys.stderr)
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            with told_how_to_go_on(self.run_folder):
                if self.trainer.is_global_zero:
                    # Whole at any moment: other processes read it, and a kill may come.
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
        except BaseException:  # and after a SIGTERM `StopSignal` before, see `end_before_launched`
            end_before_launched(self.trainer.strategy)
            raise
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


def _destination(config: Namespace) -> Destination:
    """Where this process logs to W&B."""
    if launched_rank() != 0:
        return Destination("disabled", "the first process logs")
    if config.trainer.fast_dev_run:
        return Destination("disabled", "--trainer.fast_dev_run")
    return resolve(config.wandb)

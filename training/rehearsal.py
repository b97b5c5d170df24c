"""How long a training would be: its steps counted, and a few of them done and timed.

All that `train.py fit` builds is built here by the same code, in a folder that is deleted again.
"""

import logging
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace

from lightning_modules import Classifier, FindingsClassifier, GrowingGAN, Segmenter
from provenance import UserError
from training.cli import TrainCLI
from training.command import worded_failures
from training.failures import worded_building
from training.run_folder import checkpoint_folder

# Penalties of a GAN are due every 16th step or more often: 16 in a row hold each as often as it
# comes. Quick steps are timed for some seconds, slow ones a few times.
_ROUND = 16
_FEWEST = 3
_WARM_UP = 2
_LEAST_SECONDS = 3.0
_MOST_SECONDS = 20.0
# Of a growing GAN: places in the training, evenly apart, each with an untimed and a timed step.
_PLACES = 8
_TASKS: dict[type, str] = {
    Segmenter: "segmentation",
    Classifier: "classification",
    FindingsClassifier: "findings",
}

# Nothing but steps: what is left out here is not counted in the estimate.
_NO_MORE_THAN_STEPS = (
    *("--samples_every_epochs", "0", "--distance.num_images", "0", "--wandb", "disabled"),
    *("--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false"),
)


@dataclass(frozen=True)
class Rehearsal:
    """What a training would take.

    Attributes:
        steps: Of the whole training.
        images: Shown in it, each as often as it is.
        real_images: Of these.
        device: Where the steps were timed, "cpu" or "cuda"; empty where none was.
        seconds: Mean of the timed steps, loading included; None where none was.
        num_timed: How many those were, after a warm-up.
        checkpoint_bytes: Size of a checkpoint's file; None where no step was done.
        task: What evaluate.py will score it as, "segmentation", "classification" or "findings";
            empty for a generator, and where the training was timed.
        class_names: Of its data; empty where they have none.
    """

    steps: int
    images: int
    real_images: int
    device: str = ""
    seconds: float | None = None
    num_timed: int = 0
    checkpoint_bytes: int | None = None
    task: str = ""
    class_names: tuple[str, ...] = ()


def rehearse(args: list[str], timed: bool) -> Rehearsal:
    """Count the steps of `train.py ARGS`, and time some; what it prints is not shown.

    Args:
        args: As `training.command.fit` takes them, without --run_folder.
        timed: Also do some steps, and write a checkpoint, on this machine.

    Raises:
        UserError: What such a training would be refused for, or that it has no end.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with TemporaryDirectory(prefix="rehearsal-") as folder:
        run_folder = Path(folder) / "run"
        words = [*args, *_NO_MORE_THAN_STEPS, "--run_folder", str(run_folder)]
        try:
            with worded_failures(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                cli = (_Timed if timed else _Counted).with_our_settings(words)
        except _CountedError as counted:
            return counted.found
        assert isinstance(cli, _Timed)
        seconds = cli.clock.seconds
        return Rehearsal(
            cli.found.steps,
            cli.found.images,
            cli.found.real_images,
            cli.clock.device,
            sum(seconds) / len(seconds) if seconds else None,
            len(seconds),
            (checkpoint_folder(run_folder) / "last.ckpt").stat().st_size,
        )


class _CountedError(Exception):
    """Ends a command line whose training is only counted."""

    def __init__(self, found: Rehearsal) -> None:
        super().__init__()
        self.found = found


class _Counting(TrainCLI):
    def before_instantiate_classes(self) -> None:
        super().before_instantiate_classes()
        epochs = self.config[self.subcommand].trainer.max_epochs
        if epochs is None or epochs < 0:
            raise UserError(
                f"--trainer.max_epochs {epochs}: the training has no end, so that nothing can be "
                "said of its length. Give a number of epochs."
            )
        self.datamodule.setup("fit")
        steps = epochs * self.datamodule.steps_per_epoch()
        self.found = Rehearsal(steps, *self.datamodule.images_shown(steps))


class _Counted(_Counting):
    def before_instantiate_classes(self) -> None:
        super().before_instantiate_classes()
        model = self.config[self.subcommand].model
        with worded_building():
            built = self._parser(self.subcommand).instantiate(Namespace(model=model))
        task = next((name for kind, name in _TASKS.items() if isinstance(built.model, kind)), "")
        names = tuple(getattr(self.datamodule, "class_names", ()))
        raise _CountedError(replace(self.found, task=task, class_names=names))


class _Timed(_Counting):
    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        trainer = super().instantiate_trainer(**kwargs)
        self.clock = _Clock(self.found.images)
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, self.clock)  # before the one by which a GAN grows
        return trainer


class _Clock(L.Callback):
    """Times steps after a warm-up, and stops the training."""

    def __init__(self, images: int) -> None:
        self.seconds: list[float] = []
        self.device = ""
        self._images = images
        self._done = 0
        self._since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        if isinstance(module, GrowingGAN):  # stands where it would after so many images
            module.images_seen = int((self._done // 2 + 0.5) / _PLACES * self._images)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        now = time.perf_counter()
        grows = isinstance(module, GrowingGAN)
        if (self._done % 2) if grows else (self._done >= _WARM_UP):
            self.seconds.append(now - self._since)
        self._done += 1
        self.device = module.device.type
        if grows:
            trainer.should_stop = len(self.seconds) == _PLACES
        else:
            total, number = sum(self.seconds), len(self.seconds)
            whole = number > 0 and number % _ROUND == 0 and total >= _LEAST_SECONDS
            trainer.should_stop = whole or (number >= _FEWEST and total >= _MOST_SECONDS)
        self._since = time.perf_counter()

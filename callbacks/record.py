"""What a run writes of itself: settings, metrics on every logger, and what a checkpoint needs."""

import time
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace

from callbacks.run_log import RunLog
from knowledge import Knowledge
from licences import Licence, licences_of, together
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import seen_by, trained_on
from lightning_modules.training_module import TrainingModule


class RunRecord(L.Callback):
    """Sends the module's scalars to all loggers against images seen, with rate and throughput.

    Lightning's own logging counts optimiser steps, of which a GAN does two a batch, so it cannot
    give an x-axis that compares methods.

    Args:
        record: Plain values that every checkpoint carries: module, data, split, versions. Its
            "also_seen" grows by whom the weights that the training goes on from had learnt from,
            and its "earlier_licences" by the licences of these data.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self._mark: tuple[float, int] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A checkpoint says what it is, so that it can be used without its run folder."""
        assert isinstance(module, TrainingModule)
        checkpoint[RECORD_KEY] = {**self.record, **module.record_of_state()}

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Nobody is forgotten on resume, nor when a run is rolled back."""
        if RECORD_KEY in checkpoint:
            earlier = checkpoint[RECORD_KEY]
            self._add_seen(seen_by(earlier))
            if earlier.get("earlier_licences"):
                self._add_licences(licences_of(earlier["earlier_licences"]))

    def _add_seen(self, earlier: Knowledge) -> None:
        also = Knowledge.of_plain(self.record.get("also_seen", {}))
        also |= earlier.without(trained_on(self.record))
        self.record = {**self.record, "also_seen": also.plain()}

    def _add_licences(self, earlier: list[Licence]) -> None:
        told = self.record.get("earlier_licences")
        found = together([*(licences_of(told) if told else []), *earlier])
        self.record = {**self.record, "earlier_licences": [one.plain() for one in found]}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Note whom the first weights had seen; drop rows that come again; start the clock."""
        assert isinstance(module, TrainingModule)
        if module.seen_before is not None:
            self._add_seen(module.seen_before)
        if module.licences_before:
            self._add_licences(module.licences_before)
        for logger in trainer.loggers:
            if isinstance(logger, RunLog):
                logger.rewind(module.images_seen)
        self._mark = (time.perf_counter(), module.images_seen)
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Log the step's losses and the learning rate when the module reports."""
        assert isinstance(module, TrainingModule)
        if module.report_due:
            rates = {
                f"learning_rate/{index}" if index else "learning_rate": group["lr"]
                for index, optimizer in enumerate(trainer.optimizers)
                for group in optimizer.param_groups[:1]
            }
            self.send(trainer, module, {**module.reported, **rates})

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Training time ends here: validation does not count into throughput."""
        if trainer.sanity_checking or self._mark is None:
            return
        assert isinstance(module, TrainingModule)
        started, images = self._mark
        elapsed = time.perf_counter() - started
        if module.images_seen > images and elapsed > 0:
            self.send(
                trainer,
                module,
                {
                    "images_per_second": (module.images_seen - images) / elapsed,
                    "peak_memory_mb": peak_memory_mb(trainer.strategy.root_device),
                },
            )

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Log the validation metrics of this epoch and start the clock again."""
        if trainer.sanity_checking:
            return
        assert isinstance(module, TrainingModule)
        values = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        self.send(trainer, module, values)
        for logger in trainer.loggers:
            logger.save()
        self._mark = (time.perf_counter(), module.images_seen)

    @staticmethod
    def send(
        trainer: L.Trainer,
        module: TrainingModule,
        values: dict[str, float],
        epoch: int | None = None,
    ) -> None:
        """Give values to all loggers; of the epoch that runs, if no other is named."""
        if not trainer.is_global_zero or not values:
            return
        epoch = trainer.current_epoch if epoch is None else epoch
        row = {**values, "images_seen": module.images_seen, "epoch": epoch}
        for logger in trainer.loggers:
            if isinstance(logger, RunLog):
                row_for_file = {k: v for k, v in row.items() if k != "images_seen"}
                logger.log_metrics(row_for_file, step=module.images_seen)
            else:
                logger.log_metrics(row, step=module.images_seen)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far: the GPU allocator's on CUDA, the process's resident set on CPU.

    In MiB, 2**20 bytes, for all that its name, which metrics.csv keeps, says.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts kilobytes


def patient_split_of(cache: Any) -> dict[str, Any]:
    """The patients of each split, for later leak checks; and the items, where images were split.

    Returns:
        "by", and for "train", "val" and "test" the patients; "training_items" and "held_out_items"
        where images were split.
    """
    by = cache.split_by
    split: dict[str, Any] = {"by": by, "split_id": cache.split_id}
    for name in ("train", "val", "test"):
        split[name] = cache.patients(name)
    if by != "patient":
        split["training_items"] = cache.item_ids("train")
        split["held_out_items"] = cache.item_ids("val") + cache.item_ids("test")
    return split


def plain_values(node: Any) -> Any:
    """A configuration as plain dicts, lists and values, which a checkpoint may hold."""
    if isinstance(node, Namespace):
        node = vars(node)
    if isinstance(node, dict):
        return {key: plain_values(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain_values(value) for value in node]
    return node if isinstance(node, bool | int | float | str | None) else str(node)

"""A sheet of pictures after every validation, always of the same slices."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from callbacks.epoch_reports import image_name, report_due
from display.png import save_png
from display.tensor_images import render
from lightning_modules.training_module import Batch, TrainingModule


class SampleGrids(L.Callback):
    """Renders what the module's `illustrate` gives for the first validation slices with foreground.

    Args:
        folder: Where `epoch_0001_images_00000400.png` and so on are written.
        num_images: Rows of the sheet.
        every_epochs: Epochs between sheets; the last epoch always has one.
    """

    def __init__(self, folder: Path, num_images: int = 6, every_epochs: int = 1) -> None:
        self.folder = Path(folder)
        self.num_images = num_images
        self.every_epochs = max(1, every_epochs)
        self._batch: Batch | None = None

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Render on rank 0; the other processes have nothing to add."""
        assert isinstance(module, TrainingModule)
        due = report_due(trainer, self.every_epochs)
        if trainer.sanity_checking or not trainer.is_global_zero or not due:
            return
        if self._batch is None:
            self._batch = self._fixed_batch(trainer)
        batch = {
            key: value.to(module.device) if isinstance(value, Tensor) else value
            for key, value in self._batch.items()
        }
        picture = render(module.illustrate(batch))
        save_png(self.folder / image_name(trainer, module), picture)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [picture], step=module.images_seen)

    def _fixed_batch(self, trainer: L.Trainer) -> Batch:
        """Slices spread over the validation split, so that several patients are seen."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        dataset = datamodule.val_dataloader().dataset
        evenly = np.linspace(0, len(dataset) - 1, min(self.num_images, len(dataset)))
        samples = [dataset[int(index)] for index in np.unique(evenly.round())]
        from torch.utils.data import default_collate

        return datamodule.to_unit(default_collate(samples))

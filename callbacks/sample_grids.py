"""A sheet of pictures after every validation, always of the same slices."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray
from torch import Tensor

from callbacks.pictures import colour_mask, overlay, save_png, sheet
from lightning_modules.training import Batch, TrainingModule


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
        last = trainer.max_epochs is not None and trainer.current_epoch == trainer.max_epochs - 1
        due = (trainer.current_epoch + 1) % self.every_epochs == 0 or last
        if trainer.sanity_checking or not trainer.is_global_zero or not due:
            return
        if self._batch is None:
            self._batch = self._fixed_batch(trainer)
        batch = {
            key: value.to(module.device) if isinstance(value, Tensor) else value
            for key, value in self._batch.items()
        }
        columns = module.illustrate(batch)  # type: ignore[operator]
        picture = render(columns)
        name = f"epoch_{trainer.current_epoch + 1:04d}_images_{module.images_seen:08d}.png"
        save_png(self.folder / name, picture)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [picture], step=module.images_seen)

    def _fixed_batch(self, trainer: L.Trainer) -> Batch:
        """Slices spread over the validation split, so that several patients are seen."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        dataset = datamodule.val_dataloader().dataset
        places = np.linspace(0, len(dataset) - 1, min(self.num_images, len(dataset)))
        samples = [dataset[int(place)] for place in np.unique(places.round())]
        from torch.utils.data import default_collate

        return datamodule.to_unit(default_collate(samples))


def render(columns: dict[str, Tensor]) -> np.ndarray:
    """One row per image, one column per entry.

    Args:
        columns: Float tensors (N, C, H, W) in [-1, 1] are images, grey or colour; integer tensors
            (N, H, W) are label maps, drawn over the grey entry "image" if there is one, else as
            colours.

    Returns:
        (H', W', 3) uint8.
    """
    base = columns.get("image")
    drawn = {}
    for title, tensor in columns.items():
        if tensor.is_floating_point():
            drawn[title] = list(pictures_of(tensor))
        elif base is not None:
            masks = tensor.cpu().numpy()
            drawn[title] = [
                overlay(image, mask) for image, mask in zip(pictures_of(base), masks, strict=True)
            ]
        else:
            drawn[title] = [colour_mask(mask) for mask in tensor.cpu().numpy()]
    rows = list(zip(*drawn.values(), strict=True))
    return sheet(rows, column_titles=list(drawn), cell_size=160)


def pictures_of(images: Tensor) -> NDArray[np.uint8]:
    """Images as what a file holds: 8 bits, rounded, what is out of range clipped.

    Args:
        images: (N, 1, H, W) grey or (N, 3, H, W) colour in [-1, 1].

    Returns:
        (N, H, W) or (N, H, W, 3) uint8.
    """
    levels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pictures: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures[..., 0] if pictures.shape[-1] == 1 else pictures

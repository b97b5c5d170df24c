"""At which epochs a callback reports, and what its images are called."""

import lightning as L

from lightning_modules.training_module import TrainingModule


def report_due(trainer: L.Trainer, every_epochs: int) -> bool:
    """Whether a report is due after this epoch: after every k-th one, and after the last."""
    epoch = trainer.current_epoch + 1
    return epoch % every_epochs == 0 or epoch == trainer.max_epochs


def image_name(trainer: L.Trainer, module: TrainingModule) -> str:
    """Name of this epoch's image, `epoch_0001_images_00000400.png`: by epochs and images seen."""
    return f"epoch_{trainer.current_epoch + 1:04d}_images_{module.images_seen:08d}.png"

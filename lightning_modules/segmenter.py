"""A segmentation network trained on slices, scored as by Choe et al. 2022."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.distributed import average_buffers, sum_over_processes
from lightning_modules.start_from import start_from_checkpoint
from lightning_modules.step.settings import refuse_weight_decay
from lightning_modules.training_module import Batch, TrainingModule
from losses.segmentation import segmentation_loss
from metrics.segmentation import AbsentClass, confusion_iou, image_confusion
from provenance import UserError


class Segmenter(TrainingModule):
    """Any network from an image to class logits.

    Choe et al. 2022: Adam, learning rate 0.001, 100 epochs, the same for every network; they name
    no loss. Here it is cross-entropy plus soft Dice, both means over images, so that micro-batches
    and processes add up to the global batch exactly.

    Args:
        network: Makes the network from (image_channels, num_classes).
        num_classes: With background; None in a configuration stands for the data's.
        image_channels: 1 for CT; None in a configuration stands for the data's, else for 1.
        class_names: For the names of the metrics, background first; None in a configuration stands
            for the data's.
        dice_weight: Weight of the soft Dice loss beside cross-entropy; 0 leaves it out.
        class_weights: Weight of each class in cross-entropy; None weighs them alike.
        absent_class: What an image counts for a class that neither truth nor prediction holds:
            "skip" leaves the class out of that image's mean, "one" counts it as 1.
        best_by: Validation score that `best.ckpt` is chosen by: "iou_mean" (paper), or "dice_" and
            a class, such as "dice_tumour". The mean over classes may prefer weights that find no
            tumour at all, since a false one costs more than many missed ones.
        learning_rate: Of Adam.
        weight_decay: Of Adam (decoupled, AdamW); 0 is plain Adam.
        start_from: Checkpoint of another run's Segmenter to go on from, on the same patient split;
            its optimiser is not taken over. Read when training starts, not when it is resumed.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`.
        decay_from: See `TrainingModule`; the paper keeps the rate constant.
        seed: See `TrainingModule`.
    """

    learns_from_mixed_images = True

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        num_classes: int | None = None,
        image_channels: int | None = None,
        class_names: tuple[str, ...] | None = None,
        dice_weight: float = 1.0,
        class_weights: list[float] | None = None,
        absent_class: AbsentClass = "skip",
        best_by: str = "iou_mean",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        start_from: str | None = None,
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, micro_batches, gradient_clip_norm, decay_from, seed)
        if num_classes is None or class_names is None:
            raise UserError(
                "Segmenter: num_classes and class_names are not given; train.py takes them from "
                "the data."
            )
        refuse_weight_decay(weight_decay)
        if class_weights is not None and (
            len(class_weights) != num_classes
            or not all(0 <= weight < math.inf for weight in class_weights)
            or not any(class_weights)
        ):
            raise UserError(
                f"--model.class_weights are {class_weights}; expected {num_classes} numbers from 0 "
                f"up, not all 0, for {', '.join(class_names)}."
            )
        choices = ("iou_mean", *(f"dice_{name}" for name in class_names[1:]))
        if best_by not in choices:
            raise UserError(f"--model.best_by is {best_by!r}, expected {', '.join(choices)}.")
        self.monitor: tuple[str, str] = (f"val/{best_by}", "max")
        self.image_channels = 1 if image_channels is None else image_channels
        self.network = network(self.image_channels, num_classes)
        self.num_classes = num_classes
        self.class_names = tuple(class_names)
        self.dice_weight = dice_weight
        self.absent_class: AbsentClass = absent_class
        self.weight_decay = weight_decay
        self.start_from = start_from
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.class_weights: Tensor | None

    def metric_names(self) -> list[str]:
        """See `TrainingModule`; the Dice of a class is logged where a validation image holds it."""
        scores = [f"val/iou_{name}" for name in (*self.class_names, "mean")]
        return ["train/loss", *scores, *(f"val/dice_{name}" for name in self.class_names[1:])]

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [-1, 1] to logits (N, num_classes, H, W)."""
        return self.network(image.to(self.dtype))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam as in the paper; decoupled decay when asked for."""
        return self.adam(self.network, (0.9, 0.999), self.weight_decay)

    def on_fit_start(self) -> None:
        """Take over another run's weights if it is asked for."""
        super().on_fit_start()
        if self.start_from is not None and self.steps_done == 0:
            trainer: Any = self.trainer
            self.seen_before = start_from_checkpoint(
                self, Path(self.start_from), self.class_names, trainer.datamodule.cache
            )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One Adam step on the global batch."""
        self.begin_step()
        losses: list[Tensor] = []

        def loss_of(part: Batch) -> Tensor:
            loss = segmentation_loss(
                self(part["image"]),
                part["mask"],
                dice_weight=self.dice_weight,
                class_weights=self.class_weights,
            )
            losses.append(loss.detach() * len(part["mask"]))
            return loss

        optimizer: Any = self.optimizers()
        self.optimise(optimizer, self.network, batch, loss_of)
        average_buffers(self.network)
        size = len(batch["mask"])
        self.end_step(size, {"train/loss": torch.stack(losses).sum() / size})

    def on_validation_epoch_start(self) -> None:
        """Start the sums over validation images: IoU and count per class, of the mean; pixels."""
        self._iou_sums = torch.zeros(
            2, self.num_classes + 1, dtype=torch.float64, device=self.device
        )
        self._pixels = self._iou_sums.new_zeros(self.num_classes, self.num_classes)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch's per-image IoU."""
        prediction = self(batch["image"]).argmax(dim=1)
        tables = image_confusion(prediction, batch["mask"], self.num_classes)
        iou = confusion_iou(tables, self.absent_class)
        with_mean = torch.cat([iou, iou.nanmean(dim=1, keepdim=True)], dim=1).to(self._iou_sums)
        counted = ~with_mean.isnan()
        self._iou_sums += torch.stack([with_mean.nan_to_num().sum(dim=0), counted.sum(dim=0)])
        self._pixels += tables.sum(dim=0)

    def on_validation_epoch_end(self) -> None:
        """Log mean per-image IoU, per class and over classes, and the Dice of all pixels together.

        Raises:
            UserError: No validation image holds the class whose Dice `best_by` is.
        """
        total, count = sum_over_processes(self._iou_sums)
        names = [*self.class_names, "mean"]
        values = {
            f"val/iou_{name}": float(total[index] / count[index])
            for index, name in enumerate(names)
            if count[index] > 0
        }
        pixels = sum_over_processes(self._pixels)
        held, found = pixels.sum(dim=1), pixels.sum(dim=0)
        for index, name in enumerate(self.class_names[1:], start=1):
            if held[index] > 0:
                dice = 2 * pixels[index, index] / (held[index] + found[index])
                values[f"val/dice_{name}"] = float(dice)
        best_by = self.monitor[0].removeprefix("val/")
        if f"val/{best_by}" not in values and not self.trainer.sanity_checking:
            raise UserError(
                f"--model.best_by {best_by}: no image of the validation split holds that class, so "
                "there is no best checkpoint by it. Choose by iou_mean, or prepare with another "
                "--split-seed or more patients."
            )
        self.log_dict(values, logger=False, rank_zero_only=True)

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: image in [-1, 1]; truth and prediction (N, H, W) labels."""
        prediction = self(batch["image"]).argmax(dim=1)
        return {"image": batch["image"], "truth": batch["mask"], "prediction": prediction}

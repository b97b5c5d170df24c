"""A classifier of whole films: normal or abnormal, or any other set of classes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from lightning_modules.classification.film_network import FilmNetwork, check_settings
from lightning_modules.classifier_start import (
    balancing_weights,
    check_frozen_stages,
    training_label_counts,
)
from lightning_modules.distributed import average_buffers
from lightning_modules.predictions import (
    Predictions,
    gather_predictions,
    thresholds_record,
    validation_metrics,
)
from lightning_modules.start_from import start_from_checkpoint
from lightning_modules.step.settings import refuse_weight_decay
from lightning_modules.training_module import Batch
from losses.classification import classification_losses
from losses.consistency import jensen_shannon
from provenance import UserError


class Classifier(FilmNetwork):
    """Any network from an image to class logits.

    The loss is cross-entropy, a mean over images of a number each, so that micro-batches and
    processes add up to the global batch exactly (batch normalisation and dropout excepted).

    Args:
        network: Makes the network from (image_channels, num_classes).
        num_classes: train.py takes it from the data.
        image_channels: 1 for films.
        class_names: train.py takes them from the data; class 1 of two is the positive one.
        class_weights: Factor of each class in the loss; "balanced" weighs with n / (K n_k), from
            the training set's labels, synthetic ones counted; None weighs all alike. The sum is
            divided by the number of images, not of weights as torch does.
        label_smoothing: Share of each target that is spread over all classes, 0 to below 1.
        learning_rate: Of Adam, for the head. Lee et al. 2021 name none; 1e-4 trains VGG-16 from
            scratch with every activation at small widths.
        layerwise_decay: Each stage of the network from the head towards the input learns at this
            many times the rate of the one after it; 1.0 is the same rate everywhere.
        weight_decay: Of Adam (decoupled, AdamW); 0 is plain Adam.
        start_from: Checkpoint of another run's Classifier to go on from, on the same patient split;
            its optimiser is not taken over. Read when training starts, not when it is resumed.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`.
        decay_from: See `TrainingModule`; the paper keeps the rate constant.
        seed: See `TrainingModule`.

    Raises:
        UserError: Settings that contradict each other.

    Source: Lee et al. 2021: VGG-16, batch 64, 94 steps an epoch, 100 epochs.
    """

    monitor: tuple[str, str] = ("val/auroc", "max")
    learns_from_mixed_images = True

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        num_classes: int | None = None,
        image_channels: int = 1,
        class_names: tuple[str, ...] | None = None,
        class_weights: Literal["balanced"] | list[float] | None = None,
        label_smoothing: float = 0.0,
        learning_rate: float = 1e-4,
        layerwise_decay: float = 1.0,
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
                "Classifier: num_classes and class_names are not given; train.py takes them from "
                "the data."
            )
        refuse_weight_decay(weight_decay)
        _check_classes(num_classes, class_names, class_weights)
        check_settings(class_weights, label_smoothing, layerwise_decay)
        self.network = network(image_channels, num_classes)
        self.num_classes = num_classes
        self.class_names = tuple(class_names)
        self.balanced = class_weights == "balanced"
        self.label_smoothing = label_smoothing
        self.layerwise_decay = layerwise_decay
        self.weight_decay = weight_decay
        self.start_from = start_from
        self.validation: Predictions | None = None
        """All validation images' predictions, in the split's order, after a validation."""
        self._validated_at: int | None = None
        self._undefined: set[str] = set()
        given = torch.tensor(class_weights) if isinstance(class_weights, list | tuple) else None
        self.register_buffer("class_weights", given, persistent=False)
        self.class_weights: Tensor | None
        self.check_stages()

    # ---- training ------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Check the training labels; take over another run's weights if it is asked for."""
        super().on_fit_start()
        trainer: Any = self.trainer
        check_frozen_stages(self.network, self.start_from)
        training_label_counts(trainer.datamodule, self.class_names)
        if self.balanced:
            weights = balancing_weights(trainer.datamodule, self.class_names)
            self.class_weights = weights.to(self.device)
        if self.start_from is not None and self.steps_done == 0:
            cache = trainer.datamodule.cache
            self.seen_before = start_from_checkpoint(
                self, Path(self.start_from), self.class_names, cache
            )

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N,) loss of each image; see `losses.classification`."""
        return classification_losses(logits, target, self.class_weights, self.label_smoothing)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One Adam step on the global batch, with labels or, where there are, soft targets.

        Views of the images, where there are (AugMix), are to be called as the images are:
        "consistency_weight" times their divergence is added to each image's loss, and logged
        without the weight as train/consistency. Accuracy is of the images; with a soft target it
        is the target's share of the class that is called.
        """
        self.begin_step()
        sums: list[Tensor] = []

        def loss_of(part: Batch) -> Tensor:
            logits, divergence = self._with_views(part)
            target = part["target"] if "target" in part else part["label"]
            losses = self.losses(logits, target)
            called = logits.detach().argmax(dim=1)
            right = (
                target.gather(1, called[:, None])[:, 0] if target.dim() == 2 else called == target
            )
            if divergence is not None:
                losses = losses + part["consistency_weight"].to(losses) * divergence
            logged = [losses.detach(), right.to(losses)]
            logged += [] if divergence is None else [divergence.detach()]
            sums.append(torch.stack(logged, dim=1).sum(dim=0))
            return losses.mean()

        optimizer: Any = self.optimizers()
        self.optimise(optimizer, self.network, batch, loss_of)
        average_buffers(self.network)
        size = len(batch["image"])
        names = ("train/loss", "train/accuracy", "train/consistency")
        means = torch.stack(sums).sum(dim=0) / size
        self.end_step(size, dict(zip(names, means, strict=False)))

    def _with_views(self, part: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits (N, K) of the images, and (N,) how much those of their views differ from them."""
        each = self.with_views(part)
        return each[0], jensen_shannon(each) if len(each) > 1 else None

    # ---- validation ----------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation's predictions."""
        self.validation = None
        self._rows: list[tuple[Tensor, Tensor, Tensor]] = [
            (
                torch.zeros(0, self.num_classes, device=self.device),
                torch.zeros(0, dtype=torch.long, device=self.device),
                torch.zeros(0, device=self.device),
            )
        ]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep a batch's probabilities, labels and losses."""
        logits = self(batch["image"]).double()
        losses = self.losses(logits, batch["label"])
        self._rows.append((logits.softmax(dim=1), batch["label"], losses))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all processes' images."""
        self.validation = gather_predictions(
            *(
                torch.cat([part.double() for part in parts])
                for parts in zip(*self._rows, strict=True)
            )
        )
        self.refuse_diverged(self.validation.losses)
        self._validated_at = None if self.trainer.sanity_checking else self.images_seen
        metrics = validation_metrics(self.validation)
        for name, value in metrics.items():
            if value is None and name not in self._undefined:
                self._undefined.add(name)
                self._print_undefined(name)
        known = {f"val/{name}": value for name, value in metrics.items() if value is not None}
        self.log_dict(known, logger=False, rank_zero_only=True)

    def record_of_state(self) -> dict[str, Any]:
        """Thresholds chosen on the validation split, where these weights were validated on it.

        So that new films can be called without any data of the training.
        """
        if self.validation is None or self._validated_at != self.images_seen:
            return {}
        found = thresholds_record(self.validation)
        return {"thresholds": found} if found else {}

    def _print_undefined(self, name: str) -> None:
        assert self.validation is not None
        there = set(self.validation.labels.tolist())
        missing = [title for label, title in enumerate(self.class_names) if label not in there]
        rank_zero_only(print)(
            f"val/{name}: is not defined and not logged, since no validation image is "
            f"{' or '.join(missing)}. Prepare more patients, or another --split-seed.",
            file=sys.stderr,
        )


def _check_classes(
    num_classes: int,
    class_names: tuple[str, ...],
    class_weights: Literal["balanced"] | list[float] | None,
) -> None:
    if num_classes < 2 or len(class_names) != num_classes:
        raise UserError(
            f"--model.num_classes is {num_classes} and --model.class_names are "
            f"{', '.join(class_names)}; expected one name for each of two or more classes."
        )
    if isinstance(class_weights, list | tuple) and (
        len(class_weights) != num_classes or min(class_weights) < 0 or max(class_weights) <= 0
    ):
        raise UserError(
            f"--model.class_weights are {class_weights}; expected {num_classes} numbers from 0 up, "
            "not all 0."
        )

"""A classifier of several findings of a film, each there or not by itself."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from lightning_modules.classification.film_network import FilmNetwork, check_settings
from lightning_modules.classification.finding_predictions import (
    FindingPredictions,
    finding_metrics,
    gather_findings,
    thresholds_record,
)
from lightning_modules.classification.finding_weights import (
    balanced_finding_weights,
    check_training_findings,
)
from lightning_modules.classifier_start import check_frozen_stages
from lightning_modules.distributed import average_buffers
from lightning_modules.start_from import start_from_checkpoint
from lightning_modules.step.settings import refuse_weight_decay
from lightning_modules.training_module import Batch
from losses.classification import finding_losses
from losses.consistency import jensen_shannon
from metrics.findings import defined_findings
from provenance import UserError


class FindingsClassifier(FilmNetwork):
    """Any network from an image to a logit for each finding; its sigmoid is the probability.

    The loss is binary cross-entropy over the findings that are known of each image. What is not
    known (not mentioned, or uncertain) gives no gradient. A mean over images of a number each, so
    that micro-batches and processes add up to the global batch exactly.

    Args:
        network: Makes the network from (image_channels, number of findings).
        finding_names: train.py takes them from the data.
        image_channels: 1 for films.
        class_weights: "balanced" weighs the images with and without each finding alike, by
            n / (2 n_with) and n / (2 n_without) of the training films of which it is known; a list
            is a factor for the images with each finding; None weighs all alike.
        label_smoothing: s: with becomes 1 - s / 2, without s / 2; 0 to below 1.
        learning_rate: Of Adam, for the head.
        layerwise_decay: See `Classifier`.
        weight_decay: Of Adam (decoupled, AdamW); 0 is plain Adam.
        start_from: Checkpoint of another run's FindingsClassifier of the same findings to go on
            from, on the same patient split.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Raises:
        UserError: Settings that contradict each other.

    Source: Rajpurkar et al. 2017, arXiv:1711.05225 (CheXNet); unknown findings as in U-Ignore of
    Irvin et al. 2019, arXiv:1901.07031.
    """

    monitor: tuple[str, str] = ("val/auroc", "max")
    learns_from_mixed_images = True

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        finding_names: tuple[str, ...] | None = None,
        image_channels: int = 1,
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
        if not finding_names:
            raise UserError(
                "FindingsClassifier: finding_names are not given; train.py takes them from the "
                "data. Give --data.findings."
            )
        refuse_weight_decay(weight_decay)
        _check_weights(finding_names, class_weights)
        check_settings(class_weights, label_smoothing, layerwise_decay)
        self.network = network(image_channels, len(finding_names))
        self.finding_names = tuple(finding_names)
        self.num_classes = len(finding_names)
        self.balanced = class_weights == "balanced"
        self.label_smoothing = label_smoothing
        self.layerwise_decay = layerwise_decay
        self.weight_decay = weight_decay
        self.start_from = start_from
        self.validation: FindingPredictions | None = None
        """All validation images' predictions, in the split's order, after a validation."""
        self._validated_at: int | None = None
        self._told_undefined = False
        given = None
        if isinstance(class_weights, list | tuple):
            given = torch.stack([torch.ones(self.num_classes), torch.tensor(class_weights)])
        self.register_buffer("finding_weights", given, persistent=False)
        self.finding_weights: Tensor | None
        self.check_stages()

    # ---- training ------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Check the training findings; take over another run's weights if it is asked for."""
        super().on_fit_start()
        trainer: Any = self.trainer
        check_frozen_stages(self.network, self.start_from)
        findings = trainer.datamodule.training_findings()
        for note in check_training_findings(findings, self.finding_names):
            rank_zero_only(print)(note, file=sys.stderr)
        if self.balanced:
            weights = balanced_finding_weights(findings, self.finding_names)
            self.finding_weights = weights.to(self.device)
        if self.start_from is not None and self.steps_done == 0:
            cache = trainer.datamodule.cache
            self.seen_before = start_from_checkpoint(
                self, Path(self.start_from), self.finding_names, cache
            )

    def losses(self, logits: Tensor, findings: Tensor) -> Tensor:
        """(N,) loss of each image; see `finding_losses`."""
        return finding_losses(logits, findings, self.finding_weights, self.label_smoothing)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One Adam step on the global batch.

        Views of the images, where there are (AugMix), are to be called as the images are: see
        `Classifier.training_step`; the divergence is the mean over findings.
        """
        self.begin_step()
        sums: list[Tensor] = []

        def loss_of(part: Batch) -> Tensor:
            logits, divergence = self._with_views(part)
            losses = self.losses(logits, part["findings"])
            if divergence is not None:
                losses = losses + part["consistency_weight"].to(losses) * divergence
            logged = [losses.detach()] + ([] if divergence is None else [divergence.detach()])
            sums.append(torch.stack(logged, dim=1).sum(dim=0))
            return losses.mean()

        optimizer: Any = self.optimizers()
        self.optimise(optimizer, self.network, batch, loss_of)
        average_buffers(self.network)
        size = len(batch["image"])
        means = torch.stack(sums).sum(dim=0) / size
        self.end_step(size, dict(zip(("train/loss", "train/consistency"), means, strict=False)))

    def _with_views(self, part: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits (N, K) of the images, and (N,) how much those of their views differ from them."""
        each = self.with_views(part)
        if len(each) == 1:
            return each[0], None
        # A sigmoid is the softmax of a logit beside 0.
        pairs = torch.stack([torch.zeros_like(each), each], dim=-1)
        return each[0], jensen_shannon(pairs).mean(dim=-1)

    # ---- validation ----------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation's predictions."""
        self.validation = None
        self._rows: list[tuple[Tensor, Tensor, Tensor]] = [
            (
                torch.zeros(0, self.num_classes, device=self.device),
                torch.zeros(0, self.num_classes, device=self.device),
                torch.zeros(0, device=self.device),
            )
        ]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep a batch's probabilities, findings and losses."""
        logits = self(batch["image"]).double()
        losses = self.losses(logits, batch["findings"])
        self._rows.append((logits.sigmoid(), batch["findings"], losses))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of all processes' images: of each finding, and their means."""
        found = gather_findings(
            *(
                torch.cat([part.double() for part in parts])
                for parts in zip(*self._rows, strict=True)
            )
        )
        self.validation = found
        self.refuse_diverged(found.losses)
        self._validated_at = None if self.trainer.sanity_checking else self.images_seen
        self._tell_undefined(found)
        metrics = finding_metrics(found, self.finding_names)
        known = {f"val/{name}": value for name, value in metrics.items() if value is not None}
        self.log_dict(known, logger=False, rank_zero_only=True)

    def record_of_state(self) -> dict[str, Any]:
        """Thresholds of each finding, where these weights were validated; see `Classifier`."""
        if self.validation is None or self._validated_at != self.images_seen:
            return {}
        found = thresholds_record(self.validation, self.finding_names)
        return {"thresholds": found} if found else {}

    def _tell_undefined(self, found: FindingPredictions) -> None:
        defined = defined_findings(found.findings)
        missing = [name for k, name in enumerate(self.finding_names) if k not in defined]
        if not missing or self._told_undefined:
            return
        self._told_undefined = True
        rank_zero_only(print)(
            f"val/auroc: is the mean over {len(defined)} of {self.num_classes} findings; of "
            f"{', '.join(missing)} no validation film is known with, or none without."
            + ("" if defined else " Prepare more patients, or another --split-seed."),
            file=sys.stderr,
        )


def _check_weights(
    finding_names: tuple[str, ...], class_weights: Literal["balanced"] | list[float] | None
) -> None:
    if isinstance(class_weights, list | tuple) and (
        len(class_weights) != len(finding_names) or not min(class_weights) > 0
    ):
        raise UserError(
            f"--model.class_weights are {class_weights}; expected {len(finding_names)} numbers "
            f"above 0, one for each of {', '.join(finding_names)}."
        )

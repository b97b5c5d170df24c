"""A checkpoint that sees corrupted images, and the scores of one pass over a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentations.corruptions import PARAMETERS, SEVERITIES, corrupt, corruption_generator
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.classification.evaluate import predictions
from lightning_modules import Segmenter
from metrics.segmentation import AbsentClass, confusion_iou, image_confusion
from provenance import UserError
from spelling import meant

ALL = "all"


@dataclass(frozen=True)
class Condition:
    """A corruption at a severity; no name: the images as they are."""

    corruption: str | None = None
    severity: int = 0


def conditions_of(names: Sequence[str]) -> list[Condition]:
    """The clean images, then every severity of the corruptions asked for, in the table's order.

    Raises:
        UserError: A name that is none, or one given twice.
    """
    unknown = [name for name in names if name not in (*PARAMETERS, ALL)]
    if unknown or not names:
        raise UserError(
            f"--corruptions {' '.join(unknown) or '(nothing)'}: expected {ALL}, or some of "
            f"{', '.join(PARAMETERS)}.{meant(unknown[0], [*PARAMETERS, ALL]) if unknown else ''}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or (ALL in names and len(names) > 1):
        raise UserError(
            f"--corruptions {' '.join(names)}: "
            + (f"names {' and '.join(twice)} twice" if twice else f"{ALL} holds the others already")
            + f". Give each once, or {ALL} alone."
        )
    chosen = [name for name in PARAMETERS if ALL in names or name in names]
    return [Condition(), *(Condition(name, each) for name in chosen for each in SEVERITIES)]


@dataclass(frozen=True)
class CorruptedCheckpoint(OpenedCheckpoint):
    """A model that sees its images corrupted, at the size at which it takes them.

    Attributes:
        condition: How.
        seed: Of the corruption's random numbers, with each image's stored pixels.
    """

    condition: Condition = Condition()
    seed: int = 0

    @classmethod
    def of(cls, opened: OpenedCheckpoint, condition: Condition, seed: int) -> "CorruptedCheckpoint":
        """The same model on the same data."""
        same = {field.name: getattr(opened, field.name) for field in fields(OpenedCheckpoint)}
        return cls(**same, condition=condition, seed=seed)

    def unit_images(self, batch: Mapping[str, Any]) -> Tensor:
        """Corrupted images of a batch: (N, C, H, W) in [-1, 1], on the device."""
        images = super().unit_images(batch)
        name, severity = self.condition.corruption, self.condition.severity
        if name is None:
            return images
        # On the CPU, so that every device sees the same corrupted images; a grey image that is
        # repeated to three channels is corrupted once, since there is one film.
        channels, stored_channels = images.shape[1], batch["image"].shape[1]
        grey = ((images[:, :stored_channels] + 1) / 2).clamp(0, 1).float().cpu()
        made = [
            corrupt(
                image,
                name,
                severity,
                corruption_generator(self.seed, stored.numpy().tobytes(), name),
            )
            for image, stored in zip(grey, batch["image"].cpu(), strict=True)
        ]
        corrupted = torch.stack(made).repeat(1, channels // stored_channels, 1, 1)
        return (corrupted * 2 - 1).to(images)


def rows_of(
    opened: OpenedCheckpoint, condition: Condition, seed: int, absent_class: AbsentClass | None
) -> list[dict[str, Any]]:
    """One row for each image of the split, in its order, with what the scores are made of.

    Returns:
        Of a classifier the rows of `predictions`; of a segmenter id, patient_id, iou_mean,
        iou_foreground (None where undefined) and the table of pixels, "confusion" (C, C).
    """
    seen = CorruptedCheckpoint.of(opened, condition, seed)
    if not isinstance(opened.module, Segmenter):
        return predictions(seen, opened.split, show_progress=False)
    rows = []
    absent = absent_class or opened.module.absent_class
    for batch in opened.datamodule.evaluation_loader(opened.split):
        predicted = seen.logits(batch).argmax(dim=1)
        tables = image_confusion(
            predicted, batch["mask"].to(opened.device).long(), opened.module.num_classes
        ).cpu()
        iou = confusion_iou(tables, absent)
        means = torch.stack([iou.nanmean(dim=1), iou[:, 1:].nanmean(dim=1)], dim=1).tolist()
        for name, patient, table, (mean, foreground) in zip(
            batch["id"], batch["patient_id"], tables.numpy(), means, strict=True
        ):
            rows.append(
                {
                    "id": name,
                    "patient_id": patient,
                    "iou_mean": None if np.isnan(mean) else mean,
                    "iou_foreground": None if np.isnan(foreground) else foreground,
                    "confusion": table,
                }
            )
    return rows

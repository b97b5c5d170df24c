"""What a network sees in the images of a set: features, logits, and how alike images are."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.images.compared_sets import ImageSet, Levels
from metrics.extractor import FeatureExtractor, features_of
from metrics.image_sets import similarity_between_patients
from metrics.inception import InceptionExtractor
from provenance import UserError


@dataclass(frozen=True)
class EmbeddedSet:
    """What is kept of a set of images."""

    features: Tensor  # (N, D) on the CPU
    logits: Tensor | None  # (N, 1008), of the Inception alone, and of grey or colour
    pixels_sha256: str  # of all images in their order


def embedded(
    network: FeatureExtractor, images: ImageSet, batches: Iterable[Sequence[int]]
) -> EmbeddedSet:
    """One pass over a set; an image is read when its batch comes."""
    device = next(network.parameters()).device
    digest = hashlib.sha256()
    features: list[Tensor] = []
    logits: list[Tensor] = []
    for batch in batches:
        levels = [images.read(index) for index in batch]
        for image in levels:
            digest.update(image.tobytes())
        with torch.inference_mode():
            unit = unit_batch(levels, device)
            if isinstance(network, InceptionExtractor) and unit.shape[1] in (1, 3):
                found, classes = network.features_and_logits(unit)
                logits.append(classes.cpu())
            else:
                found = features_of(network, unit)
        if not bool(torch.isfinite(found).all()):
            raise UserError(
                f"{network.description}: gives features that are no numbers. Its weights are "
                "damaged or of another network; nothing was written. Fetch them again."
            )
        features.append(found.cpu())
    return EmbeddedSet(
        torch.cat(features), torch.cat(logits) if logits else None, digest.hexdigest()
    )


def similarities(
    real: ImageSet, fake: ImageSet, device: torch.device, seed: int
) -> dict[str, dict[str, Any]]:
    """MS-SSIM within each set, under its name; nothing where a set has too few patients."""

    def within(images: ImageSet) -> tuple[str, dict[str, Any]] | None:
        return similarity_between_patients(
            lambda index: unit_batch([images.read(index)], device)[0], images.patients, seed=seed
        )

    ours, theirs = within(fake), within(real)
    if ours is None or theirs is None:
        return {}
    return {ours[0]: {"synthetic": ours[1], "real": theirs[1]}}


def unit_batch(images: Sequence[Levels], device: torch.device) -> Tensor:
    """(N, C, H, W) float in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).to(device).float() / 127.5 - 1

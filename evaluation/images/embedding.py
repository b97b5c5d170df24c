"""What a network sees in the images of a set: features, logits, and how alike images are."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.images.compared_sets import ImageSet, Levels
from metrics.extractor import FeatureExtractor, features_of
from metrics.image_sets import similarity_between_patients
from metrics.inception import InceptionExtractor
from metrics.kept_features import keep_features, kept_features, path_of_features
from provenance import UserError


@dataclass(frozen=True)
class EmbeddedSet:
    """What is kept of a set of images."""

    features: Tensor  # (N, D) on the CPU
    logits: Tensor | None  # (N, 1008), of the Inception alone, and of grey or colour
    pixels_sha256: str  # of all images in their order


def embedded(
    network: FeatureExtractor,
    images: ImageSet,
    batches: Iterable[Sequence[int]],
    kept_in: Path | None = None,
) -> EmbeddedSet:
    """What the network sees in a set; an image is read when its batch comes, and not held.

    Args:
        network: The extractor.
        images: The set.
        batches: All of its indices in their order; not asked for where features were kept.
        kept_in: Cache beside which features are kept, so that the next comparison with the same
            images does not compute them; None: they are not kept.
    """
    device = next(network.parameters()).device
    path = None
    if kept_in is not None:  # a pass before, over images that lie in memory-mapped files
        digest = _pixels_sha256(images)
        path = path_of_features(kept_in, network, ("pixels", digest, images.read(0).shape))
        kept = kept_features(path, len(images))
        if kept is not None:
            return EmbeddedSet(kept["features"], kept.get("logits"), digest)
    hashed = hashlib.sha256()
    features: list[Tensor] = []
    logits: list[Tensor] = []
    for batch in batches:
        levels = [images.read(index) for index in batch]
        for image in levels:
            hashed.update(image.tobytes())
        with torch.inference_mode():
            unit = unit_batch(levels, device)
            if isinstance(network, InceptionExtractor) and unit.shape[1] in (1, 3):
                seen, classes = network.features_and_logits(unit)
                logits.append(classes.cpu())
            else:
                seen = features_of(network, unit)
        if not bool(torch.isfinite(seen).all()):
            raise UserError(
                f"{network.description}: gives features that are no numbers. Its weights are "
                "damaged or of another network; nothing was written. Fetch them again."
            )
        features.append(seen.cpu())
    found = {"features": torch.cat(features)} | ({"logits": torch.cat(logits)} if logits else {})
    if path is not None:
        keep_features(path, **{name: rows.numpy() for name, rows in found.items()})
    return EmbeddedSet(found["features"], found.get("logits"), hashed.hexdigest())


def _pixels_sha256(images: ImageSet) -> str:
    """Of all images in their order."""
    digest = hashlib.sha256()
    for index in range(len(images)):
        digest.update(images.read(index).tobytes())
    return digest.hexdigest()


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

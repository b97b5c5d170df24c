"""Synthetic against real images: as two sets, and pair by pair."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.distances import (
    Features,
    frechet_distance,
    kernel_distance,
    paired_feature_distance,
    pairwise_diversity,
    real_floor,
)
from metrics.features import FeatureExtractor
from metrics.image_quality import paired_quality


def set_distances(
    extractor_name: str,
    real: Features,
    synthetic: Features,
    patient_ids: Sequence[str],
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Distances of two sets, named after the extractor.

    Args:
        extractor_name: Ends the keys: "frechet_<name>", "kernel_<name>", "diversity_<name>".
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic images.
        patient_ids: N patients of the real ones.
        seed: Of subsets and halves.

    Returns:
        Per distance: "value" between all images, and for reading it the "floor" between halves of
        the real images (by patient), "value_at_floor_size" between one such half and as many
        synthetic images, and "num_images_at_floor". Compare the last two values: all three depend
        on the number of images. The floor is None with fewer than two patients. Of diversity:
        the mean feature distance between random pairs, "synthetic" and "real".
    """

    def kernel(x: Features, y: Features) -> float:
        return kernel_distance(x, y, num_subsets=10, seed=seed)[0]

    value, deviation = kernel_distance(real, synthetic, seed=seed)
    found: dict[str, dict[str, Any]] = {
        f"frechet_{extractor_name}": {"value": frechet_distance(real, synthetic)},
        f"kernel_{extractor_name}": {"value": value, "std_over_subsets": deviation},
    }
    for entry, distance in zip(found.values(), (frechet_distance, kernel), strict=True):
        entry |= {"floor": None, "value_at_floor_size": None, "num_images_at_floor": 0}
        try:
            floor = real_floor(real, distance, patient_ids, synthetic, seed=seed)
        except ValueError:  # too few patients to split; the value stands without its floor
            continue
        entry |= {"floor": floor.value, "value_at_floor_size": floor.matched}
        entry |= {"num_images_at_floor": floor.num_images}
    found[f"diversity_{extractor_name}"] = {
        "synthetic": pairwise_diversity(synthetic, seed=seed),
        "real": pairwise_diversity(real, seed=seed),
    }
    return found


@torch.inference_mode()
def paired_scores(
    images: Tensor, references: Tensor, extractor: FeatureExtractor
) -> dict[str, list[float]]:
    """MAE, PSNR, SSIM and feature distance of pairs.

    Args:
        images: (N, 1, H, W) float in [-1, 1].
        references: Their partners.
        extractor: For "feature_distance_<name>".

    Returns:
        N numbers per key; PSNR is infinite for equal images.
    """
    scores = paired_quality(images, references)
    key = f"feature_distance_{extractor.name}"
    scores[key] = paired_feature_distance(extractor.maps(images), extractor.maps(references))
    return {name: values.tolist() for name, values in scores.items()}

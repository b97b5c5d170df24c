"""Synthetic against real images: as two sets, each set by itself, and pair by pair."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metrics.distances import (
    Features,
    feature_pair,
    frechet_distance,
    kernel_distance,
    paired_feature_distance,
    pairwise_diversity,
    real_floor,
)
from metrics.diversity import ms_ssim, name_of_scales, num_scales
from metrics.extractor import FeatureExtractor, maps_of
from metrics.image_quality import paired_quality
from metrics.inception_score import inception_score
from metrics.prdc import prdc
from metrics.score_ranges import within_range
from metrics.set_intervals import half_sample_intervals

NUM_NEIGHBOURS = 5  # of precision, recall, density and coverage
NUM_SPLITS = 10  # of the Inception Score
_PAIRS_AT_ONCE = 16
NUM_HALVES = 20  # an interval's width is then known to about a sixth of itself
INTERVAL = (
    f"95 %: value -+ 1.96 times the score's standard deviation over {NUM_HALVES} random halves of "
    "both sets (of the real one by patient; delete-half jackknife), cut off at the score's range. "
    "It is for the mean score of draws of as many images: right for means and shares, too long for "
    "Frechet distances in many dimensions, whose halves scatter up to twice as much as the score. "
    "A single other draw lies in it in 76 of 100 cases or more. It says nothing of how far the "
    "value lies from that of infinitely many images, nor of another training."
)

Scores = dict[str, dict[str, Any]]


def set_distances(
    extractor_name: str,
    real: Features,
    synthetic: Features,
    patient_ids: Sequence[str],
    seed: int = 0,
) -> Scores:
    """Distances of two sets, named after the extractor.

    Args:
        extractor_name: Ends the keys: "frechet_<name>", "kernel_<name>", "diversity_<name>". With
            "inception", the canonical weights, the first two are called "fid" and "kid".
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic images.
        patient_ids: N patients of the real ones.
        seed: Of subsets and halves.

    Returns:
        Per distance: "value" between all images, its interval "low" and "high" (see `INTERVAL`;
        None with fewer than four patients or images), and for reading it the "floor" between halves
        of the real images (by patient), "value_at_floor_size" between one such half and as many
        synthetic images, and "num_images_at_floor". Compare the last two values: all three depend
        on the number of images. The floor is None with fewer than two patients. Of diversity, the
        mean feature distance between random pairs: "synthetic" and "real", each with its interval.
    """

    def kernel(x: Features, y: Features) -> float:
        return kernel_distance(x, y, num_subsets=10, seed=seed)[0]

    first, second = feature_pair(real, synthetic)
    value, deviation = kernel_distance(first, second, seed=seed)
    values = {"frechet": frechet_distance(first, second), "kernel": value}
    margins = _margins(
        lambda x, y: {"frechet": frechet_distance(x, y), "kernel": kernel(x, y)},
        [first, second],
        [patient_ids, None],
        seed,
    )
    canonical = extractor_name == "inception"
    found: Scores = {}
    for kind, distance, short in (
        ("frechet", frechet_distance, "fid"),
        ("kernel", kernel, "kid"),
    ):
        entry = _with_interval(kind, values[kind], margins.get(kind))
        entry |= {"floor": None, "value_at_floor_size": None, "num_images_at_floor": 0}
        found[short if canonical else f"{kind}_{extractor_name}"] = entry
        try:
            floor = real_floor(first, distance, patient_ids, second, seed=seed)
        except ValueError:  # too few patients to split; the value stands without its floor
            continue
        entry |= {"floor": floor.value, "value_at_floor_size": floor.matched}
        entry |= {"num_images_at_floor": floor.num_images}
    entry["std_over_subsets"] = deviation  # of the kernel distance, the last

    def diversity(sample: Features) -> dict[str, float]:
        return {"diversity": pairwise_diversity(sample, seed=seed)}

    found[f"diversity_{extractor_name}"] = {
        "synthetic": _of_one_set(diversity, second, None, seed),
        "real": _of_one_set(diversity, first, patient_ids, seed),
    }
    return found


def set_fidelity(
    extractor_name: str,
    real: Features,
    synthetic: Features,
    patient_ids: Sequence[str],
    seed: int = 0,
) -> Scores:
    """Precision, recall, density and coverage (see `metrics.prdc`), each with its interval.

    Args:
        extractor_name: Ends the keys, as in "precision_<name>".
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic images.
        patient_ids: N patients of the real ones.
        seed: Of the halves.

    Returns:
        "value", "low" and "high" per score; nothing where a set has no more images than neighbours
        are asked for, and no interval where a half has not.
    """

    def scores(x: Features, y: Features) -> dict[str, float]:
        return prdc(x, y, NUM_NEIGHBOURS)

    first, second = feature_pair(real, synthetic)
    if min(len(first), len(second)) <= NUM_NEIGHBOURS:
        return {}
    margins = _margins(scores, [first, second], [patient_ids, None], seed)
    return {
        f"{key}_{extractor_name}": _with_interval(key, value, margins.get(key))
        for key, value in scores(first, second).items()
    }


def class_scores(
    extractor_name: str,
    real_logits: Tensor,
    synthetic_logits: Tensor,
    patient_ids: Sequence[str],
    seed: int = 0,
) -> Scores:
    """Inception Score of either set, with its interval; nothing below `NUM_SPLITS` images.

    Args:
        extractor_name: "inception" with the canonical weights; another name ends the key.
        real_logits: (N, C) of real images.
        synthetic_logits: (M, C) of synthetic images.
        patient_ids: N patients of the real ones.
        seed: Of the halves.
    """

    def score(logits: Tensor) -> dict[str, float]:
        return {"inception_score": inception_score(logits, NUM_SPLITS)[0]}

    if min(len(real_logits), len(synthetic_logits)) < NUM_SPLITS:
        return {}
    key = "inception_score" + ("" if extractor_name == "inception" else f"_{extractor_name}")
    return {
        key: {
            "synthetic": _of_one_set(score, synthetic_logits, None, seed),
            "real": _of_one_set(score, real_logits, patient_ids, seed),
        }
    }


def similarity_between_patients(
    read: Callable[[int], Tensor], patient_ids: Sequence[str], num_pairs: int = 500, seed: int = 0
) -> tuple[str, dict[str, Any]] | None:
    """Mean MS-SSIM between images of different patients; few images are in memory at a time.

    One image of each patient, drawn at random, in pairs that share no image. So pairs are
    independent of each other, and the interval is that of a mean (Student's t).

    Args:
        read: Image of an index as float (C, H, W) in [-1, 1].
        patient_ids: N patients; of synthetic images, each its own.
        num_pairs: Pairs at most.
        seed: Of the drawing.

    Returns:
        The metric's name (see `name_of_scales`), and "value", "low", "high" and "num_pairs";
        None with fewer than four patients.
    """
    from scipy.stats import t as student

    names = np.asarray(patient_ids)
    order = np.random.default_rng(seed).permutation(len(names))
    one_each = order[np.sort(np.unique(names[order], return_index=True)[1])]
    count = min(num_pairs, len(one_each) // 2)
    if count < 2:
        return None
    pairs = one_each[: 2 * count].reshape(count, 2)
    found = []
    for start in range(0, count, _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        left, right = (torch.stack([read(index) for index in side]) for side in some.T.tolist())
        found.append(ms_ssim(left, right))
    values = torch.cat(found).double().numpy()
    margin = float(student.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    name = name_of_scales(num_scales(left))
    return name, _with_interval(name, float(values.mean()), margin) | {"num_pairs": count}


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
    scores[key] = paired_feature_distance(
        maps_of(extractor, images), maps_of(extractor, references)
    )
    return {name: values.tolist() for name, values in scores.items()}


def _of_one_set(
    statistic: Callable[..., Mapping[str, float]],
    sample: Any,
    patient_ids: Sequence[str] | None,
    seed: int,
) -> dict[str, Any]:
    ((name, value),) = statistic(sample).items()
    margins = _margins(statistic, [sample], [patient_ids], seed)
    return _with_interval(name, value, margins.get(name))


def _margins(
    statistic: Callable[..., Mapping[str, float]],
    samples: Sequence[Any],
    groups: Sequence[Sequence[str] | None],
    seed: int,
) -> dict[str, float]:
    """Half the width of each score's interval; empty where the sets cannot be halved."""
    try:
        found = half_sample_intervals(statistic, samples, groups, NUM_HALVES, seed=seed)
    except ValueError:  # whole sets were scored before, so it is the halves that are too small
        return {}
    return {name: interval.high - interval.value for name, interval in found.items()}


def _with_interval(name: str, value: float, margin: float | None) -> dict[str, Any]:
    """Value, low and high, cut off at what the score can be."""
    if margin is None:
        return {"value": value, "low": None, "high": None}
    low, high = within_range(name, value - margin, value + margin)
    return {"value": value, "low": low, "high": high}

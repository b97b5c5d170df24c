"""The mixing methods of a policy, one after another, on a whole batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from augmentations.augmix import AugMix
from augmentations.mixing import CutMix, Cutout, Mixup, PerlinMix, Ricap
from augmentations.mixture import GROUP, shares_of
from provenance import UserError

Mixing = Mixup | CutMix | Ricap | PerlinMix | Cutout | AugMix

MIXING: dict[str, type[Mixing]] = {
    "mixup": Mixup,
    "cutmix": CutMix,
    "ricap": Ricap,
    "perlin_mix": PerlinMix,
    "cutout": Cutout,
    "augmix": AugMix,
}
"""The methods by their names in a policy."""

# Beside a sample's seed, so that a mixture is not drawn with the numbers of its transforms.
_STREAM = 17


def mix_batch(
    batch: dict[str, Any], methods: Sequence[Mixing], seeds: Sequence[int], num_classes: int
) -> dict[str, Any]:
    """Mix a process's share of a batch, where it lies.

    Args:
        batch: image (N, C, H, W) floating point in [-1, 1]; mask (N, H, W) and label (N,) where
            there are. Other entries are those of an image's first source.
        methods: In the order in which they act.
        seeds: N, one for each image; image i's own numbers depend on seeds[i] alone.
        num_classes: Of the labels.

    Returns:
        The batch with image and mask mixed and, where there are labels and something mixes them,
        target (N, num_classes) float32, rows of which sum to 1. Labels stay those of the first
        sources. With AugMix also views (N, V, C, H, W) and consistency_weight (N,).
    """
    mixed = dict(batch)
    for number, method in enumerate(methods):
        generators = [np.random.default_rng([seed, _STREAM, number]) for seed in seeds]
        image: Tensor = mixed["image"]
        if isinstance(method, AugMix):
            weight = image.new_full((len(image),), method.consistency_weight)
            views = method.views(image, generators)
            mixed |= {"views": views, "consistency_weight": weight}
            continue
        height, width = image.shape[-2:]
        if isinstance(method, Cutout):
            blank = method.draw(generators, height, width)
            mixed["image"] = image.masked_fill(blank.to(image.device), 0.0)
            continue
        if isinstance(method, PerlinMix):
            labels = batch["label"].cpu() if "label" in batch else None
            mixture: Any = method.draw(generators, height, width, labels)
        else:
            mixture = method.draw(generators, height, width)
        mixed["image"] = mixture.images(image)
        if "mask" in mixed:
            mixed["mask"] = mixture.masks(mixed["mask"])
        if "label" in mixed:
            shares = shares_of(mixed.get("target", mixed["label"]), num_classes)
            mixed["target"] = mixture.targets(shares)
    return mixed


def check_mixing(methods: Sequence[Mixing], has_masks: bool) -> None:
    """Refuse what has no meaning.

    Args:
        methods: In the order in which they act.
        has_masks: Whether the images have label maps.

    Raises:
        UserError: A method that has no label map, or one that comes after AugMix.
    """
    for position, method in enumerate(methods):
        name = name_of(method)
        if has_masks and not method.mixes_masks:
            why = (
                "it shows two images through one another, and a pixel then has two labels"
                if isinstance(method, Mixup)
                else "it blends an image with moved ones of itself, and a label map of that blend "
                "is not defined"
            )
            raise UserError(
                f"--data.augmentation {name}: {why}, so it cannot be used with label maps. Use "
                f"{', '.join(other for other, kind in MIXING.items() if kind.mixes_masks)}, which "
                "keep each pixel's label, or leave it out."
            )
        if isinstance(method, AugMix) and position < len(methods) - 1:
            raise UserError(
                f"--data.augmentation: {name_of(methods[position + 1])} comes after augmix, whose "
                "views are of the image as it was before. Put augmix last."
            )


def check_share(methods: Sequence[Mixing], batch_size: int, num_processes: int) -> str | None:
    """Refuse a share of a batch with nobody to mix with; say where it is not that of one process.

    Args:
        methods: Of the policy.
        batch_size: Images per step, over all processes.
        num_processes: That share them.

    Returns:
        A sentence, or None where as many processes give what one gives.

    Raises:
        UserError: One image a process.
    """
    meeting = [name_of(method) for method in methods if not isinstance(method, Cutout | AugMix)]
    share = batch_size // num_processes
    if not meeting:
        return None
    if share == 1:
        raise UserError(
            f"--data.augmentation {meeting[0]}: --data.batch_size {batch_size} on {num_processes} "
            "process(es) leaves each with one image, and nothing to mix it with. Give each 2 or "
            f"more; with a multiple of {GROUP} the result does not depend on the number of "
            "processes."
        )
    if num_processes > 1 and share % GROUP:
        return (
            f"note: images are mixed within groups of {GROUP}, and the {share} of each process "
            f"(--data.batch_size {batch_size}, {num_processes} processes) are no multiple: whom an "
            "image is mixed with is not as in one process. With a multiple it is."
        )
    return None


def name_of(method: Mixing) -> str:
    """A method's name in a policy."""
    return next(name for name, kind in MIXING.items() if isinstance(method, kind))

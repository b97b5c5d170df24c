"""Training samples, augmented as they are loaded or where their batch lies.

What is done to an image is drawn from the seed that the order of batches gives it, so it depends on
the run's seed and the steps done alone: not on the number of loading processes, nor on whether the
run was resumed. Where it is done changes nothing but the last bits of a GPU.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from augmentations.policy import Policy

Where = Literal["loader", "device"]


def augmented(
    sample: dict[str, Any],
    policy: Policy,
    seed: int,
    on_device: bool,
    to_unit: Callable[[Tensor], Tensor],
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Augment a sample, or note what is to be done to it.

    Args:
        sample: With an image (C, H, W) of integers, and a mask (H, W) or none.
        policy: What is drawn from.
        seed: Of this sample.
        on_device: Only note it, under "drawn".
        to_unit: Scales one image to float32 in [-1, 1].
        size: (H, W) of what `to_unit` gives, where it is not the image's.
    """
    if not policy.on_images:
        return sample
    image: Tensor = sample["image"]
    drawn = policy.draw(seed, size or (image.shape[-2], image.shape[-1]))
    if on_device:
        return {**sample, "drawn": drawn}
    image, mask = policy.apply(image, sample.get("mask"), drawn, to_unit)
    return {**sample, "image": image, **({} if mask is None else {"mask": mask})}


def augmented_batch(
    batch: dict[str, Any], policy: Policy, to_unit: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    """Do what was drawn for the samples of a batch, where the batch lies.

    Args:
        batch: With "drawn" for each image; one without is given back as it is.
        policy: That it was drawn from.
        to_unit: Scales one image to float32 in [-1, 1].
    """
    if "drawn" not in batch:
        return batch
    rest = {key: value for key, value in batch.items() if key != "drawn"}
    masks = batch.get("mask", [None] * len(batch["drawn"]))
    pairs = [
        policy.apply(image, mask, drawn, to_unit)
        for image, mask, drawn in zip(batch["image"], masks, batch["drawn"], strict=True)
    ]
    rest["image"] = torch.stack([image for image, _ in pairs])
    if "mask" in batch:
        rest["mask"] = torch.stack([mask for _, mask in pairs if mask is not None])
    return rest


def with_what_was_drawn(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """{"drawn": a list} for a batch of samples that note it; else {}."""
    return {"drawn": [sample["drawn"] for sample in samples]} if "drawn" in samples[0] else {}

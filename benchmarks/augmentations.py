"""Images per second of every augmentation, beside the same one of a library, in one run.

python benchmarks/augmentations.py [--size 128] [--seconds 0.4] [--device cpu] [--out FILE.json]

Each row draws and applies on one image and, where pixels move, its mask: best of three stretches,
in turn with the library's. Operations on a batch, and presets that end with one, get batches of
--batch images with labels, and masks where they take them. Both have one thread, and on a CPU the
seconds are those of its core, so that other processes count little. "-" is where torchvision, MONAI
and scikit-image have none.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[1]))

from augmentations.batch_mixing import mix_batch
from augmentations.catalogue import BATCH_OPERATIONS, OPERATIONS
from augmentations.language import read_policy
from augmentations.operation import Images, Operation
from augmentations.policy import Policy
from augmentations.presets import PRESETS
from provenance import library_versions

REPEATS = 3
_COLOUR = {"channel_shuffle", "saturation"}
_NO_MASKS = {"mixup", "augmix", "augmix_medical"}  # refused for images with label maps
_CHOICES = {"identity", "one_of", "one_at_a_level"}  # are as fast as what they choose
_NUM_CLASSES = 2
Pair = tuple[Tensor, Tensor]


def example(channels: int, size: int, device: str) -> Pair:
    """Smooth noise in [-1, 1] and a mask of three labels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, size // 4, size // 4, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")[0] * 2 - 1
    mask = (image[0] * 1.5 + 1.5).long().clamp(0, 2).to(torch.uint8)
    return image.to(device), mask.to(device)


def rate(work: Callable[[int], Any], seconds: float, device: str) -> float:
    """Calls per second of one stretch, of at least one call."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    count, started = 0, clock()
    while not count or clock() - started < seconds:
        work(count)
        count += 1
    if device != "cpu":
        torch.cuda.synchronize()
    return count / (clock() - started)


def ours(operation: Operation, pair: Pair) -> Callable[[int], Any]:
    """Draw and apply one operation."""
    image, mask = pair
    size = (image.shape[-2], image.shape[-1])

    def work(seed: int) -> Any:
        drawn = operation.draw(torch.Generator().manual_seed(seed), size)
        return image if drawn is None else operation.apply(image, mask, drawn)

    return work


def of_policy(policy: Policy, pair: Pair) -> Callable[[int], Any]:
    """Draw and apply a policy, from the grey levels that a cache holds."""
    image, mask = pair
    stored = ((image + 1) * 127.5).round().to(torch.uint8)
    size = (image.shape[-2], image.shape[-1])

    def to_unit(levels: Tensor) -> Tensor:
        return levels.float() / 127.5 - 1

    def work(seed: int) -> Any:
        image = policy.apply(stored, mask, policy.draw(seed, size), to_unit)[0]
        return image if image.is_floating_point() else to_unit(image)

    return work


def of_batches(policy: Policy, pair: Pair, count: int, masks: bool) -> Callable[[int], Any]:
    """Draw and apply a policy that ends with operations on a batch of `count` images."""
    alone = of_policy(Policy(policy.on_images), pair) if policy.on_images else None
    batch = batch_example(pair, count, masks)

    def work(seed: int) -> Any:
        mixed = batch
        if alone is not None:
            images = [alone(seed * count + row) for row in range(count)]
            mixed = {**batch, "image": torch.stack(images)}
        seeds = range(seed * count, (seed + 1) * count)
        return mix_batch(mixed, policy.on_batches, seeds, _NUM_CLASSES)

    return work


def batch_example(pair: Pair, count: int, masks: bool) -> dict[str, Any]:
    """As a datamodule gives it, in float32."""
    image, mask = pair
    labels = torch.arange(count, device=image.device) % _NUM_CLASSES
    batch = {"image": image.repeat(count, 1, 1, 1), "label": labels}
    return batch | {"mask": mask.repeat(count, 1, 1).long()} if masks else batch


def torchvision_of_batches(name: str, batch: dict[str, Any]) -> Callable[[int], Any] | None:
    """Torchvision's MixUp and CutMix on images and labels, its AugMix's two views of each image."""
    images, labels = batch["image"], batch["label"]
    if name in ("mixup", "cutmix"):
        kind = v2.MixUp if name == "mixup" else v2.CutMix
        mix = kind(num_classes=_NUM_CLASSES)
        return lambda _: mix(images, labels)
    if name == "augmix":
        levels = ((images + 1) * 127.5).round().to(torch.uint8)
        views = v2.AugMix()
        return lambda _: [views(image) for image in levels for _ in range(2)]
    return None


def torchvision_transforms() -> dict[str, tuple[Any, str]]:
    """By our name; "levels" for those that take 8-bit images alone, "image" for no mask."""
    return {
        "horizontal_flip": (v2.RandomHorizontalFlip(p=1), "mask"),
        "vertical_flip": (v2.RandomVerticalFlip(p=1), "mask"),
        "elastic": (v2.ElasticTransform(alpha=50.0, sigma=5.0), "mask"),
        "sharpening": (v2.RandomAdjustSharpness(3, p=1), "image"),
        "gaussian_blur": (v2.GaussianBlur(7, (0.1, 1.0)), "image"),
        "rotation": (v2.RandomRotation(15, v2.InterpolationMode.BILINEAR), "mask"),
        "shift": (v2.RandomAffine(0, translate=(0.1, 0.1)), "mask"),
        "zoom": (
            v2.RandomAffine(0, scale=(0.8, 1.25), interpolation=v2.InterpolationMode.BILINEAR),
            "mask",
        ),
        "shear": (
            v2.RandomAffine(0, shear=11, interpolation=v2.InterpolationMode.BILINEAR),
            "mask",
        ),
        "geometric": (
            v2.RandomAffine(
                15, (0.08, 0.08), (0.85, 1.15), interpolation=v2.InterpolationMode.BILINEAR
            ),
            "mask",
        ),
        "inversion": (v2.RandomInvert(p=1), "image"),
        "channel_shuffle": (v2.RandomChannelPermutation(), "image"),
        "noise": (v2.GaussianNoise(sigma=0.05), "image"),
        "brightness": (v2.ColorJitter(brightness=0.25), "image"),
        "contrast": (v2.ColorJitter(contrast=0.25), "image"),
        "saturation": (v2.ColorJitter(saturation=0.5), "image"),
        "solarisation": (v2.RandomSolarize(0.7, p=1), "image"),
        "posterisation": (v2.RandomPosterize(4, p=1), "levels"),
        "auto_contrast": (v2.RandomAutocontrast(p=1), "image"),
        "equalisation": (v2.RandomEqualize(p=1), "levels"),
        "blank_rectangles": (v2.RandomErasing(p=1, scale=(0.01, 0.1), value=0.5), "image"),
        "trivial": (v2.TrivialAugmentWide(), "levels"),
    }


def monai_transforms() -> dict[str, tuple[Any, str]]:
    """By our name; what torchvision has is left to it."""
    from monai import transforms as monai

    keys = ["image", "mask"]
    modes: Any = ["bilinear", "nearest"]
    low: Any = {"prob": 1, "zoom_range": (0.5, 1), "upsample_mode": "bilinear"}
    return {
        "grid_distortion": (
            monai.RandGridDistortiond(keys, 5, prob=1, distort_limit=0.3, mode=modes),
            "mask",
        ),
        "quarter_turns": (monai.RandRotate90d(keys, prob=0.75), "mask"),
        "transpose": (monai.Transposed(keys, (0, 2, 1)), "mask"),
        "gamma": (monai.RandAdjustContrast(prob=1, gamma=(0.7, 1.5)), "image"),
        "low_resolution": (monai.RandSimulateLowResolution(**low), "image"),
        "median": (monai.MedianSmooth(radius=2), "image"),
        "brightness_shift": (monai.RandStdShiftIntensity(0.5, prob=1), "image"),
    }


def of_library(name: str, pair: Pair, size: int) -> tuple[Callable[[int], Any] | None, str]:
    """The same operation of a library, and the library's name."""
    image, mask = pair
    unit = (image + 1) / 2
    if name == "crop":
        crop = v2.RandomResizedCrop(size, scale=(0.56, 1), ratio=(1, 1))
        return lambda _: crop(tv_tensors.Image(unit), tv_tensors.Mask(mask)), "torchvision"
    if name == "clahe":
        from skimage.exposure import equalize_adapthist

        pixels = unit[0].cpu().numpy().astype(np.float64)
        tile = (size // 8, size // 8)
        return lambda _: equalize_adapthist(pixels, tile, 0.01), "scikit-image"
    if name in (known := torchvision_transforms()):
        transform, kind = known[name]
        levels = (unit * 255).round().to(torch.uint8)
        given = tv_tensors.Image(levels if kind == "levels" else unit)
        labels = tv_tensors.Mask(mask)
        if kind == "mask":
            return lambda _: transform(given, labels), "torchvision"
        return lambda _: transform(given), "torchvision"
    if name in (known := monai_transforms()):
        transform, kind = known[name]
        if kind == "mask":
            return lambda _: transform({"image": unit, "mask": mask[None]}), "MONAI"
        return lambda _: transform(unit), "MONAI"
    return None, "-"


def measured(size: int, seconds: float, device: str, count: int) -> list[dict[str, Any]]:
    """A row for each operation and preset."""
    rows = []
    names = [name for name in (*OPERATIONS, *BATCH_OPERATIONS, *PRESETS) if name != "none"]
    for name in dict.fromkeys(names):
        if name in _CHOICES:
            continue
        work, library, whose, images = both_of(name, size, device, count)
        own, theirs = [], []
        work(0)
        if library is not None:
            library(0)
        for _ in range(REPEATS):
            own.append(images * rate(work, seconds, device))
            if library is not None:
                theirs.append(images * rate(library, seconds, device))
        rows.append(
            {
                "name": name,
                "images_per_second": max(own),
                "library": whose,
                "library_images_per_second": max(theirs) if theirs else None,
            }
        )
        print(as_row(rows[-1]), flush=True)
    return rows


def both_of(
    name: str, size: int, device: str, count: int
) -> tuple[Callable[[int], Any], Callable[[int], Any] | None, str, int]:
    """One of ours, the library's or None, the library's name, and images per call."""
    channels, masks = 3 if name in _COLOUR else 1, name not in _NO_MASKS
    pair = example(channels, size, device)
    kind = Images(channels, masks=masks, labels=True)
    policy = read_policy(name if name in PRESETS else [name], kind)
    if policy.on_batches:
        library = torchvision_of_batches(name, batch_example(pair, count, masks=False))
        whose = "-" if library is None else "torchvision"
        return of_batches(policy, pair, count, masks), library, whose, count
    work = ours(policy.on_images[0], pair) if name in OPERATIONS else of_policy(policy, pair)
    return work, *of_library(name, pair, size), 1


def as_row(row: dict[str, Any]) -> str:
    """A line of the table."""
    theirs = row["library_images_per_second"]
    shown = "-" if theirs is None else f"{theirs:,.0f}"
    ratio = "-" if theirs is None else f"{row['images_per_second'] / theirs:.2g}"
    own = f"{row['images_per_second']:,.0f}"
    return f"| {row['name']} | {own} | {row['library']} | {shown} | {ratio} |"


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="Side of the images in pixels.")
    parser.add_argument("--batch", type=int, default=32, help="Images in a batch, of mixing.")
    parser.add_argument("--seconds", type=float, default=0.4, help="Of each stretch.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda.")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write.")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print("| operation | images/s | library | its images/s | ratio |\n|---|---:|---|---:|---:|")
    rows = measured(given.size, given.seconds, given.device, given.batch)
    if given.out is not None:
        told = {"size": given.size, "batch": given.batch, "device": given.device}
        told |= {"machine": platform.processor()}
        versions = library_versions()
        content = {**told, "versions": versions, "rows": rows}
        given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

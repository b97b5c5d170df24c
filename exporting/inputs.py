"""Real inputs that an exported model is compared on, with what the module itself makes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.slice_cache import SliceCache
from datamodules.slice_dataset import unit_image
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import (
    check_fits,
    of_films,
    of_set,
    of_slices,
    open_source,
)
from display.numbers import count
from evaluation.checkpoint import open_checkpoint
from lightning_modules import GAN, CycleGAN, FindingsClassifier, LesionInfilling, Pix2Pix
from lightning_modules.conditional.lesion_placement import dilated, parts_of
from lightning_modules.conditional.windows import window_of
from lightning_modules.loading import data_root, load_module, path_of_data
from lightning_modules.step.seeds import derived_seed
from networks.style_generator import StyledNetwork
from provenance import UserError

_SEED = 0
_TRUNCATION = 0.7


@dataclass(frozen=True)
class Checked:
    """What is compared.

    Attributes:
        inputs: Of the graph, by name, N rows each.
        expected: Of its outputs, by name.
        what: The inputs in words.
        seed: Of what is random among them.
    """

    inputs: dict[str, NDArray[Any]]
    expected: dict[str, Tensor]
    what: str
    seed: int = _SEED


def real_inputs(
    module: Any, checkpoint: Path, root: Path | None, number: int, to: str = "target"
) -> Checked:
    """Inputs of a module: images of its validation split, their label maps, or noise by seed.

    Args:
        module: As `load_module` gives it.
        checkpoint: Its file.
        root: The cache; None for that of the training.
        number: How many at most.
        to: CycleGAN: the domain that is made.

    Raises:
        UserError: There is no such cache, or it does not fit; a generator of films has none.
    """
    if isinstance(module, GAN):
        if root is not None:
            raise UserError(f"--root {root}: a GAN makes images from noise alone. Leave it out.")
        return _of_noise(module, number)
    if isinstance(module, Pix2Pix):
        return _of_label_maps(module, checkpoint, root, number)
    if isinstance(module, CycleGAN):
        return _of_domain(module, checkpoint, root, number, to)
    if isinstance(module, LesionInfilling):
        return _of_regions(module, checkpoint, root, number)
    opened = open_checkpoint(checkpoint, root, "val", 1, 0, "cpu", on_seen="exclude")
    images: list[Tensor] = []
    for batch in opened.datamodule.evaluation_loader("val"):
        images.append(opened.unit_images(batch))
        if len(images) == number:
            break
    image = torch.cat(images)
    with torch.inference_mode():
        logits = opened.module(image)
    exact = logits.double()
    of_findings = isinstance(opened.module, FindingsClassifier)
    return Checked(
        {"image": image.numpy()},
        {
            "logits": logits,
            "probabilities": exact.sigmoid() if of_findings else exact.softmax(dim=1),
        },
        f"{count(len(image), 'image')} of the validation split",
    )


def _seeds(number: int) -> list[int]:
    """Those of the first images that generate.py makes."""
    return [derived_seed(_SEED, "generate", index) for index in range(number)]


def _of_noise(module: GAN, number: int) -> Checked:
    seeds = _seeds(number)
    latent, generator = module.latent_rows(seeds), module.averaged_generator()
    if not isinstance(generator, StyledNetwork):
        inputs = {"latent": latent.numpy()}
        return Checked(inputs, {"image": module.synthesise(seeds)}, f"{number} seeds")
    parts = generator.split_latent(latent)
    inputs = {
        "z": parts.z.numpy(),
        "noise": parts.noise.numpy(),
        "truncation": np.array([_TRUNCATION], np.float32),
    }
    image = module.synthesise(seeds, _TRUNCATION)
    return Checked(inputs, {"image": image}, f"{number} seeds at truncation {_TRUNCATION}")


def _of_label_maps(module: Pix2Pix, checkpoint: Path, root: Path | None, number: int) -> Checked:
    cache = _slices(module, checkpoint, root)
    items = (cache.select("val", foreground_only=True) or cache.select("val"))[:number]
    if not items:
        raise UserError(f"--root {cache.root}: has no label map in its validation split.")
    labels = torch.from_numpy(np.stack([cache.mask(item) for item in items])).long()
    seeds = _seeds(len(items))
    inputs = {"labels": labels.numpy()}
    noise = module.noise_rows(seeds)
    if noise.shape[1]:
        inputs["noise"] = noise.numpy()
    image = module.synthesise(labels, seeds)
    what = f"{count(len(items), 'label map')} of the validation split"
    return Checked(inputs, {"image": image}, what)


def _slices(module: Pix2Pix | LesionInfilling, checkpoint: Path, root: Path | None) -> SliceCache:
    """The cache of a generator's label maps."""
    record = load_module(checkpoint)[1]
    cache = SliceCache.open(root or data_root(checkpoint, record, "--root"))
    if cache.image_size != module.image_size or cache.class_names != record["class_names"]:
        raise UserError(
            f"--root {cache.root}: holds label maps of {cache.image_size} px with "
            f"{', '.join(cache.class_names)}; {checkpoint} takes {module.image_size} px with "
            f"{', '.join(record['class_names'])}. Give the cache that it was trained on."
        )
    return cache


def _of_domain(
    module: CycleGAN, checkpoint: Path, root: Path | None, number: int, to: str
) -> Checked:
    """Images that are translated, of films with each class in turns."""
    record = load_module(checkpoint)[1]
    settings = record["data"]["init_args"]
    name = "root" if to == "source" or settings.get("source") is None else "source"
    root = root or path_of_data(checkpoint, record, name, "--root")
    opened, for_slices = open_source(root), "clahe" not in record["preparation"]
    if isinstance(opened, SyntheticSet):
        originals, what = of_set(opened), "the synthetic set"
        are_slices = any(item.class_pixels for item in opened.items)
    else:
        chosen, what = opened.indices("val"), "the validation split"
        are_slices = isinstance(opened, SliceCache)
        originals = (
            of_slices(opened, chosen)
            if isinstance(opened, SliceCache)
            else of_films(opened, chosen, None)
        )
    check_fits(root, opened.image_size, module.image_size, for_slices, are_slices, "--root")
    originals = originals[:number]
    if not originals:
        raise UserError(f"--root {root}: has no image in {what}.")
    image = torch.from_numpy(np.stack([one.unit(module.image_channels) for one in originals]))
    inputs: dict[str, NDArray[Any]] = {"image": image.numpy()}
    labels = None
    if module.conditioned:
        maps = [one.read_mask() for one in originals if one.read_mask is not None]
        labels = (
            torch.from_numpy(np.stack(maps)).long()
            if for_slices
            else torch.arange(len(originals)) % module.num_conditions
        )
        inputs["labels"] = labels.numpy()
    made = module.translate(image, labels, to)
    return Checked(inputs, {"translated": made}, f"{count(len(image), 'image')} of {what}")


def _of_regions(
    module: LesionInfilling, checkpoint: Path, root: Path | None, number: int
) -> Checked:
    """Windows around real lesions, which are painted again and taken out in turns."""
    cache = _slices(module, checkpoint, root)
    rows: dict[str, list[Any]] = {"image": [], "labels": [], "region": [], "infilled": []}
    seeds: list[int] = []
    for item in cache.select("val"):
        labels = cache.mask(item)
        for part in parts_of(np.equal(labels, module.lesion)):
            region = dilated(part, module.margin)
            square = window_of(region, module.window)
            if region[square].sum() != region.sum() or len(seeds) == number:
                continue
            remove = len(seeds) % 2 == 1
            wish = torch.from_numpy(np.where(part & remove, module.organ, labels)).long()
            image = unit_image(torch.from_numpy(np.array(cache.image(item)))[None])
            inside = torch.from_numpy(region)
            seeds.append(_seeds(len(seeds) + 1)[-1])
            made = module.infill(image[None], wish[None], inside[None], seeds[-1:])[0]
            for name, one in zip(rows, (image, wish, inside, made), strict=True):
                rows[name].append(one[(..., *square)])
    if not seeds:
        raise UserError(
            f"--root {cache.root}: no slice of its validation split holds a "
            f"{module.class_names[module.lesion]} that fits into the window of {module.window} px. "
            "Give a cache that has one."
        )
    stacked = {name: torch.stack(those) for name, those in rows.items()}
    expected = {"infilled": stacked.pop("infilled")}
    inputs = {name: one.numpy() for name, one in stacked.items()}
    noise = module.noise_rows(seeds)
    if noise.shape[1]:
        inputs["noise"] = noise.numpy()
    name = module.class_names[module.lesion]
    return Checked(inputs, expected, f"{len(seeds)} regions with a {name} of the validation split")

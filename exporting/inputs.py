"""Real inputs that an exported model is compared on, with what the module itself makes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.slice_cache import SliceCache
from display.numbers import count
from evaluation.checkpoint import open_checkpoint
from lightning_modules import GAN, FindingsClassifier, Pix2Pix
from lightning_modules.loading import data_root
from lightning_modules.training_module import derived_seed
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


def real_inputs(module: Any, checkpoint: Path, root: Path | None, number: int) -> Checked:
    """Inputs of a module: images of its validation split, their label maps, or noise by seed.

    Args:
        module: As `load_module` gives it.
        checkpoint: Its file.
        root: The cache; None for that of the training.
        number: How many at most.

    Raises:
        UserError: There is no such cache, or it does not fit; a generator of films has none.
    """
    if isinstance(module, GAN):
        if root is not None:
            raise UserError(f"--root {root}: a GAN makes images from noise alone. Leave it out.")
        return _of_noise(module, number)
    if isinstance(module, Pix2Pix):
        return _of_label_maps(module, checkpoint, root, number)
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
    from lightning_modules.loading import load_module

    record = load_module(checkpoint)[1]
    cache = SliceCache.open(root or data_root(checkpoint, record, "--root"))
    if cache.image_size != module.image_size or cache.class_names != record["class_names"]:
        raise UserError(
            f"--root {cache.root}: holds label maps of {cache.image_size} px with "
            f"{', '.join(cache.class_names)}; {checkpoint} takes {module.image_size} px with "
            f"{', '.join(record['class_names'])}. Give the cache that it was trained on."
        )
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

"""The training loops of public repositories, run as they are from a checkout; none of it is copied.

Where they ask for a data set, they get batches from `Turns`; pictures are not written.
"""

import argparse
import importlib
import re
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import nn

from benchmarks.turns import Turns

MIXING = 0.9
"""Probability of style mixing, rosinality's and ours."""


@contextmanager
def imported_from(folder: Path, **stand_ins: Any) -> Iterator[None]:
    """Inside, modules are found in a checkout; afterwards they are forgotten.

    Args:
        folder: Comes first where Python looks.
        stand_ins: Modules that are not there or not needed, by name.
    """
    before = set(sys.modules)
    for name, members in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if name in stand_ins or path.startswith(str(folder)):
                del sys.modules[name]


# ---- eriklindernoren/PyTorch-GAN: pix2pix --------------------------------------------------------


def pix2pix_networks(checkout: Path) -> tuple[nn.Module, nn.Module]:
    """Its generator and discriminator, with its initial weights."""
    with imported_from(checkout / "implementations" / "pix2pix"):
        models: Any = importlib.import_module("models")
    generator, discriminator = models.GeneratorUNet(), models.Discriminator()
    for network in (generator, discriminator):
        network.apply(models.weights_init_normal)
    return generator, discriminator


def train_pix2pix(checkout: Path, turns: Turns, size: int, batch_size: int) -> None:
    """Its script, from the first line to where it is asked to stop."""
    with ExitStack() as while_it_starts:

        class NoImages:
            def __init__(self, *_: Any, mode: str = "train", **__: Any) -> None:
                self.mode = mode

        def loader(images: NoImages, **_: Any) -> Any:
            while_it_starts.close()
            return turns if images.mode == "train" else [turns.batch()]

        folder = checkout / "implementations" / "pix2pix"
        words = f"--batch_size {batch_size} --img_height {size} --img_width {size} --n_cpu 0"
        members = {"ImageDataset": NoImages, "Image": Image}
        while_it_starts.enter_context(imported_from(folder, datasets=members))
        replaced: Any = torch.utils.data
        while_it_starts.enter_context(mock.patch.object(replaced, "DataLoader", loader))
        while_it_starts.enter_context(mock.patch.object(sys, "argv", ["", *words.split()]))
        runpy.run_path(str(folder / "pix2pix.py"), run_name="__main__")


# ---- akanimax/BMSG-GAN ---------------------------------------------------------------------------


def bmsg(checkout: Path, size: int, width: int) -> Any:
    """Its GAN object, which holds both networks and trains them."""
    with imported_from(checkout / "sourcecode"):
        module: Any = importlib.import_module("MSG_GAN.GAN")
        gan = module.MSG_GAN(depth=size.bit_length() - 2, latent_size=width)
    return gan


def train_bmsg(checkout: Path, gan: Any, turns: Turns) -> None:
    """Its method `train`, with the settings of its script and the relativistic hinge loss."""
    with imported_from(checkout / "sourcecode"):
        losses: Any = importlib.import_module("MSG_GAN.Losses")
    adams = [
        torch.optim.Adam(network.parameters(), lr=0.003, betas=(0.0, 0.99))
        for network in (gan.gen, gan.dis)
    ]
    gan.create_grid = lambda *_: None
    gan.train(turns, *adams, losses.RelativisticAverageHingeGAN(gan.dis), feedback_factor=1)


# ---- rosinality/stylegan2-pytorch ----------------------------------------------------------------


@contextmanager
def _rosinality(checkout: Path) -> Iterator[None]:
    """Inside, its modules are found, with the operations in PyTorch that it takes on a CPU."""
    with mock.patch("torch.utils.cpp_extension.load"), imported_from(checkout, lmdb={}):
        yield


def stylegan2_networks(checkout: Path, size: int, width: int) -> list[nn.Module]:
    """Its generator, discriminator and average; `width` in place of 512 channels up to 32 px."""
    with _rosinality(checkout):
        model: Any = importlib.import_module("model")
        source = (checkout / "model.py").read_text()
        narrow, found = re.subn(r"\b(4|8|16|32): 512\b", rf"\1: {width}", source)
        assert found == 8, f"{checkout}/model.py names its channels in another way"
        exec(compile(narrow, "model.py", "exec"), vars(model))
    generator, discriminator = model.Generator(size, width, 8), model.Discriminator(size)
    average = model.Generator(size, width, 8).eval()
    average.load_state_dict(generator.state_dict())
    return [generator, discriminator, average]


def train_stylegan2(
    checkout: Path, networks: Sequence[nn.Module], turns: Turns, width: int, batch_size: int
) -> None:
    """Its function `train`, with its defaults, but for path lengths of the whole batch as ours."""
    with _rosinality(checkout):
        script: Any = importlib.import_module("train")
    script.utils = SimpleNamespace(save_image=lambda *_, **__: None)
    args = argparse.Namespace(
        iter=10**6, start_iter=1, distributed=False, augment=False, augment_p=0, n_sample=1,
        latent=width, batch=batch_size, mixing=MIXING, r1=10, d_reg_every=16, g_reg_every=4,
        path_regularize=2, path_batch_shrink=1, wandb=False,
    )  # fmt: skip
    adams = []
    for network, every in zip(networks, (args.g_reg_every, args.d_reg_every), strict=False):
        share = every / (every + 1)
        betas = (0.0**share, 0.99**share)
        adams.append(torch.optim.Adam(network.parameters(), lr=0.002 * share, betas=betas))
    generator, discriminator, average = networks
    script.train(args, turns, generator, discriminator, *adams, average, torch.device("cpu"))


def count(network: nn.Module) -> int:
    """Numbers that a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())

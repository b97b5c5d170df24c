"""Our training step beside the training loops of public code, taking turns in one run.

    OMP_NUM_THREADS=1 python benchmarks/public_code.py --pix2pix PyTorch-GAN --multi-scale BMSG-GAN
        --stylegan2 stylegan2-pytorch [--rounds 7] [--out FILE.json]

Give paths to checkouts of eriklindernoren/PyTorch-GAN, akanimax/BMSG-GAN and
rosinality/stylegan2-pytorch, or to some of them. Their own loops run, with batches that lie in
memory; ours train as Lightning modules under a trainer ("trained") and without one ("step").
Pix2Pix trains their networks in both; the other two train networks of their own with as many
weights, which is checked. Each ratio is our speed over theirs in the same round; its spread is that
of the rounds.
Steps of compiled networks and in bfloat16 have rows of their own.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from benchmarks import public_loops
from benchmarks.training_step import Timer
from benchmarks.turns import Turns
from lightning_modules import GAN, Pix2Pix
from lightning_modules.gan_settings import Penalties
from lightning_modules.training_module import TrainingModule

Batch = dict[str, Tensor]
Make = Callable[[], L.LightningModule]


class Conditional(nn.Module):
    """Their generator as Pix2Pix calls one. It draws its dropout by itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def draw_noise(self, num_images: int, generator: torch.Generator) -> Tensor:
        """None: (num_images, 0)."""
        return torch.empty(num_images, 0)

    def forward(self, labels: Tensor, noise: Tensor | None = None, dropout: bool = True) -> Tensor:
        """Images of one-hot label maps."""
        return self.network(labels)


class Scored(nn.Module):
    """Their discriminator as Pix2Pix calls one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pair: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """Logits of label map and image, one after the other in the channels."""
        return [(self.network(*pair.chunk(2, dim=1)), [])]


def pix2pix(checkout: Path, size: int, batch_size: int) -> dict[str, Any]:
    """Their networks in both loops, 3 label classes, least squares and L1 as in their script."""
    image = torch.rand(batch_size, 3, size, size) * 2 - 1
    mask = torch.randint(0, 3, (batch_size, size, size))
    pair = {"A": image, "B": torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2).float()}

    def ours() -> Pix2Pix:
        generator, discriminator = public_loops.pix2pix_networks(checkout)
        return Pix2Pix(
            lambda *_: Conditional(generator), lambda *_: Scored(discriminator), size, 3, 3,
            adversarial_loss="lsgan", decay_from=1.0,
        )  # fmt: skip

    theirs = public_loops.pix2pix_networks(checkout)
    _check_weights(ours(), theirs[0], theirs[1])
    return {
        "public": Turns(
            lambda turns: public_loops.train_pix2pix(checkout, turns, size, batch_size),
            lambda: dict(pair),
        ),
        "make": ours,
        "batch": {"image": image, "mask": mask},
        "lazy": 1,
    }


def multi_scale(checkout: Path, size: int, batch_size: int, width: int) -> dict[str, Any]:
    """Networks without attention, 3 channels, relativistic average hinge without penalties."""
    image = torch.rand(batch_size, 3, size, size) * 2 - 1
    theirs = public_loops.bmsg(checkout, size, width)

    def ours() -> GAN:
        return GAN(
            partial(networks.MultiScaleGenerator, width=width, latent_size=width, attention="none"),
            partial(networks.MultiScaleDiscriminator, width=width, attention="none"),
            size, 3, "ra_hinge",
        )  # fmt: skip

    # Ours has a bias for each of the 16 pixels of the first layer, theirs one for all of them.
    _check_weights(ours(), theirs.gen, theirs.dis, more=15 * width)
    return {
        "public": Turns(
            lambda turns: public_loops.train_bmsg(checkout, theirs, turns), image.clone
        ),
        "make": ours,
        "batch": {"image": image},
        "lazy": 1,
    }


def stylegan2(checkout: Path, size: int, batch_size: int, width: int) -> dict[str, Any]:
    """Networks of equal weights, non-saturating loss, R1 every 16 and path length every 4 steps."""
    image = torch.rand(batch_size, 3, size, size) * 2 - 1
    theirs = public_loops.stylegan2_networks(checkout, size, width)

    def ours() -> GAN:
        return GAN(
            partial(networks.StyleGAN2Generator, width=width, style_size=width),
            partial(networks.StyleGAN2Discriminator, width=width),
            size, 3, "non_saturating", Penalties(r1=10.0, r1_every=16, path_length=2.0),
        )  # fmt: skip

    _check_weights(ours(), theirs[0], theirs[1])
    return {
        "public": Turns(
            lambda turns: public_loops.train_stylegan2(checkout, theirs, turns, width, batch_size),
            image.clone,
        ),
        "make": ours,
        "batch": {"image": image},
        "lazy": 16,
    }


def _check_weights(
    ours: Any, generator: nn.Module, discriminator: nn.Module, more: int = 0
) -> None:
    for own, other, allowed in (
        (ours.generator, generator, more), (ours.discriminator, discriminator, 0),
    ):  # fmt: skip
        here, there = public_loops.count(own), public_loops.count(other)
        assert here == there + allowed, f"ours has {here} weights, theirs {there}"


# ---- ours, to be asked for a step ----------------------------------------------------------------


def trained(make: Make, batch: Batch) -> Turns:
    """Under Lightning's trainer, without loggers, pictures and checkpoints."""

    def loop(turns: Turns) -> None:
        trainer = L.Trainer(
            accelerator="cpu", devices=1, max_epochs=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(make(), train_dataloaders=turns)

    return Turns(loop, lambda: dict(batch), keeps_memory=True)


def stepped(
    make: Callable[[], TrainingModule],
    batch: Batch,
    precision: str = "fp32",
    compiled: bool = False,
) -> Turns:
    """`training_step` alone."""

    def loop(turns: Turns) -> None:
        timer = Timer(make(), precision, torch.device("cpu"), compiled=compiled)
        for given in turns:
            timer.step(given)

    return Turns(loop, lambda: dict(batch), keeps_memory=True)


def measured(case: dict[str, Any], rounds: int, steps: int, variants: bool) -> dict[str, Any]:
    """Seconds of each round by row, of all loops in turn."""
    make, batch = case["make"], case["batch"]
    loops = {
        "public loop": case["public"],
        "ours, trained": trained(make, batch),
        "ours, step": stepped(make, batch),
    }
    if variants:
        loops["ours, step, bf16"] = stepped(make, batch, "bf16")
        loops["ours, step, compiled"] = stepped(make, batch, compiled=True)
    steps = (
        -(-steps // case["lazy"]) * case["lazy"]
    )  # all that is lazy is due as often as it should
    for loop in loops.values():
        loop.seconds(max(2, case["lazy"]))
    found: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds):
        order = list(loops) if turn % 2 == 0 else list(loops)[::-1]
        for name in order:
            found[name].append(loops[name].seconds(steps) / steps)
    return {"steps": steps, "batch_size": len(batch["image"]), "seconds": found}


def commit_of(checkout: Path) -> str:
    """The commit that is checked out."""
    words = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def told(name: str, result: dict[str, Any]) -> None:
    """Print a table of one case."""
    say = partial(print, file=sys.__stdout__, flush=True)
    theirs = result["seconds"]["public loop"]
    say(f"\n{name}, batch {result['batch_size']}, {result['commit'][:10]}")
    say(f"{'':24}{'ms a step':>10}{'ratio':>7}  of the rounds")
    for row, seconds in result["seconds"].items():
        ratios = [other / own for other, own in zip(theirs, seconds, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        middle = 1000 * statistics.median(seconds)
        say(f"{row:24}{middle:10.1f}{statistics.median(ratios):7.2f}  {spread}")


def main() -> None:
    """Time every case whose checkout is given, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pix2pix", type=Path, help="checkout of eriklindernoren/PyTorch-GAN")
    parser.add_argument("--multi-scale", type=Path, help="checkout of akanimax/BMSG-GAN")
    parser.add_argument("--stylegan2", type=Path, help="of rosinality/stylegan2-pytorch")
    parser.add_argument("--sizes", type=int, nargs=3, default=[256, 64, 32], help="in pixels")
    parser.add_argument("--batch-sizes", type=int, nargs=3, default=[1, 16, 16])
    parser.add_argument("--width", type=int, default=64, help="of the last two's networks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="of a loop in a round, at least")
    parser.add_argument("--variants", action="store_true", help="compiled and in bfloat16 too")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out and given.out.resolve()
    cases: list[tuple[str, Path | None, Callable[..., dict[str, Any]]]] = [
        ("Pix2Pix", given.pix2pix, pix2pix),
        ("multi-scale", given.multi_scale, partial(multi_scale, width=given.width)),
        ("StyleGAN2", given.stylegan2, partial(stylegan2, width=given.width)),
    ]
    versions = {"torch": torch.__version__, "lightning": L.__version__}
    machine = f"{_processor()}, {torch.get_num_threads()} threads"
    print(f"{machine}, {versions}")
    results: dict[str, Any] = {"machine": machine, **versions}
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        for (name, checkout, make), size, batch_size in zip(
            cases, given.sizes, given.batch_sizes, strict=True
        ):
            if checkout is None:
                continue
            folder = checkout.resolve()
            os.chdir(scratch)  # theirs make folders where they are
            torch.manual_seed(0)
            # What theirs print at every step is a part of them, but nobody wants to read it.
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                case = make(folder, size, batch_size)
                found = measured(case, given.rounds, given.steps, given.variants)
            title = f"{name}, {size} px"
            results[title] = {**found, "commit": commit_of(folder)}
            told(title, results[title])
    if out:
        out.write_text(json.dumps(results, indent=1) + "\n")


def _processor() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(": ")[2] if names else platform.machine()


if __name__ == "__main__":
    main()

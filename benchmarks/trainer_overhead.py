"""What the trainer adds to a step of our modules, beside Lightning's manual step of nothing.

OMP_NUM_THREADS=1 python benchmarks/trainer_overhead.py [--rounds 7] [--only "multi-scale, 32 px"]

Where one difference is small beside the noise, more rounds of one case and the interval of their
median tell more than few rounds of all.
"""

import argparse
import contextlib
import io
import logging
import math
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from benchmarks.public_code import stepped, trained
from lightning_modules import GAN, Pix2Pix
from lightning_modules.training_module import TrainingModule


class Empty(L.LightningModule):
    """A manual step that does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer = torch.nn.Linear(1, 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One that is never used."""
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing."""


def dcgan(width: int, size: int) -> GAN:
    """The smallest of the film GANs."""
    return GAN(
        partial(networks.DCGANGenerator, width=width),
        partial(networks.DCGANDiscriminator, width=width),
        size, 1, "non_saturating",
    )  # fmt: skip


def multi_scale(width: int, size: int) -> GAN:
    """With squeeze and excitation, as shipped."""
    return GAN(
        partial(networks.MultiScaleGenerator, width=width, latent_size=width),
        partial(networks.MultiScaleDiscriminator, width=width),
        size, 1, "ra_hinge",
    )  # fmt: skip


def pix2pix(width: int, size: int) -> Pix2Pix:
    """With the paper's settings."""
    return Pix2Pix(
        partial(networks.Pix2PixGenerator, width=width),
        partial(networks.MultiScalePatchDiscriminator, width=width), size, 3, 1,
    )  # fmt: skip


CASES: dict[str, tuple[Callable[[], TrainingModule], int]] = {
    "DCGAN, 32 px, width 8": (partial(dcgan, 8, 32), 32),
    "multi-scale, 32 px, width 8": (partial(multi_scale, 8, 32), 32),
    "multi-scale, 32 px, width 16": (partial(multi_scale, 16, 32), 32),
    "multi-scale, 64 px, width 32": (partial(multi_scale, 32, 64), 64),
    "Pix2Pix, 128 px, width 16": (partial(pix2pix, 16, 128), 128),
}


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median of six or more rounds, by their order: two of the values."""
    ordered, count = sorted(values), len(values)
    chances = [math.comb(count, number) / 2**count for number in range(count + 1)]
    below = max(k for k in range(count // 2 + 1) if sum(chances[: k + 1]) <= 0.025)
    return ordered[below], ordered[count - 1 - below]


def main() -> None:
    """Print milliseconds of each, medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=12, help="of each in a round")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", default="", help="what the names of cases begin with")
    given = parser.parse_args()
    if given.rounds < 6:
        parser.error("--rounds: 6 or more are needed for an interval")
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    say = partial(print, file=sys.__stdout__, flush=True)
    say(f"{'ms a step':32}{'bare':>8}{'trained':>9}{'more':>7}{'share':>8}{'empty':>7}  95 %")
    for name, (make, size) in CASES.items():
        if not name.startswith(given.only):
            continue
        shape = (given.batch_size, size, size)
        batch = {"image": torch.rand(given.batch_size, 1, size, size) * 2 - 1}
        batch["mask"] = torch.randint(0, 3, shape)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            loops = {
                "bare": stepped(make, batch),
                "trained": trained(make, batch),
                "empty": trained(Empty, batch),
            }
            found: dict[str, list[float]] = {loop: [] for loop in loops}
            for turn in range(given.rounds + 1):
                # Each as often after another one as before it: who comes later finds other caches.
                for loop, turns in list(loops.items())[:: 1 if turn % 2 else -1]:
                    seconds = turns.seconds(given.steps) / given.steps
                    if turn:  # the first warms up
                        found[loop].append(1000 * seconds)
        differences = [
            one - other for one, other in zip(found["trained"], found["bare"], strict=True)
        ]
        more, (low, high) = statistics.median(differences), interval_of_median(differences)
        bare, with_trainer, empty = (
            statistics.median(found[loop]) for loop in ("bare", "trained", "empty")
        )
        say(
            f"{name:32}{bare:8.2f}{with_trainer:9.2f}{more:7.2f}{more / bare:8.1%}{empty:7.2f}"
            f"  {low:.2f} to {high:.2f}"
        )


if __name__ == "__main__":
    main()

"""Images per second and peak memory of each film GAN's training step, in one run.

python benchmarks/gan_step.py [--sizes 32 64] [--width 32] [--batch-size 16] [--data data/nih]

Rows: the five methods with their losses and penalties, at several sizes, in float32 and bfloat16.
With --data, the share of time that loading would take in the training process itself
(--data.num_workers 0) stands beside; workers hide it. Each is the best of several repeats after a
warm-up. Run it on an idle machine: threads that wait for a busy core make every number meaningless.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from benchmarks.training_step import Timer
from callbacks.record import peak_memory_mb
from datamodules import ChestXrayDataModule
from lightning_modules import GAN, GrowingGAN
from lightning_modules.gan_settings import Penalties
from networks.growth import Growth


def se_msg_pggan(size: int, width: int) -> GAN:
    return GAN(
        partial(networks.MultiScaleGenerator, width=width, latent_size=width),
        partial(networks.MultiScaleDiscriminator, width=width),
        image_size=size,
        loss="ra_hinge",
        penalties=Penalties(r1=1.0, r1_every=8),
    )


def fully_grown(**settings: Any) -> GAN:
    """Where a growing GAN costs most."""
    module = GrowingGAN(**settings)
    module.growth = Growth(module.image_size)
    return module


def pggan(size: int, width: int) -> GAN:
    return fully_grown(
        generator=partial(networks.PGGANGenerator, width=width, latent_size=width),
        discriminator=partial(networks.PGGANDiscriminator, width=width),
        image_size=size,
        loss="wgan_gp",
        penalties=Penalties(drift=0.001),
    )


def stylegan1(size: int, width: int) -> GAN:
    return fully_grown(
        generator=partial(networks.StyleGANGenerator, width=width, style_size=width),
        discriminator=partial(networks.StyleGANDiscriminator, width=width),
        image_size=size,
        loss="non_saturating",
        penalties=Penalties(r1=10.0),
    )


def stylegan(size: int, width: int) -> GAN:
    return GAN(
        partial(networks.StyleGAN2Generator, width=width, style_size=width),
        partial(networks.StyleGAN2Discriminator, width=width),
        image_size=size,
        loss="non_saturating",
        penalties=Penalties(r1=10.0, r1_every=16, path_length=2.0, path_length_every=4),
    )


def dcgan(size: int, width: int) -> GAN:
    return GAN(
        partial(networks.DCGANGenerator, width=width),
        partial(networks.DCGANDiscriminator, width=width),
        image_size=size,
        loss="non_saturating",
    )


METHODS: dict[str, Callable[[int, int], GAN]] = {
    "dcgan": dcgan,
    "pggan": pggan,
    "stylegan1": stylegan1,
    "stylegan": stylegan,
    "se_msg_pggan": se_msg_pggan,
}


def loading_seconds(root: str, size: int, batch_size: int, device: torch.device) -> float:
    """Seconds to load and scale one image, in the training process."""
    data = ChestXrayDataModule(root, batch_size, label_column="none", resolution=size)
    films = data.training_set()
    films.cache.image(0)
    indices = [number % len(films) for number in range(4 * batch_size)]
    seconds = []
    for _ in range(2):  # the first turn compares hashes
        started = time.perf_counter()
        for start in range(0, len(indices), batch_size):
            samples = [films[index]["image"] for index in indices[start : start + batch_size]]
            data.to_unit({"image": torch.stack(samples).to(device)})
        seconds.append(time.perf_counter() - started)
    return seconds[1] / len(indices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--width", type=int, default=32, help="of the networks")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=16, help="steps; lazy penalties among them")
    parser.add_argument("--data", default=None, help="a film cache, for the share of loading")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(
        f"{platform.processor() or platform.machine()}, {device}, batch {options.batch_size}, "
        f"width {options.width}, {torch.get_num_threads()} threads, mean of {options.repeats} steps"
    )
    print(f"{'method':14}{'size':>5}{'precision':>11}{'images/s':>10}{'peak MiB':>9}{'loading':>9}")
    rows = []
    for size in options.sizes:
        batch = {"image": torch.rand(options.batch_size, 1, size, size, device=device) * 2 - 1}
        loading = None
        if options.data is not None:
            loading = loading_seconds(options.data, size, options.batch_size, device)
        for name, make in METHODS.items():
            for precision in ("fp32", "bf16"):
                torch.manual_seed(0)
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                timer = Timer(make(size, options.width), precision, device)
                speed = timer.mean_images_per_second(batch, options.repeats)
                share = None if loading is None else loading / (loading + 1 / speed)
                row = {
                    "method": name,
                    "size": size,
                    "precision": precision,
                    "images_per_second": speed,
                    # A process's resident set never falls, so on a CPU it is the run's so far.
                    "peak_memory_mb": peak_memory_mb(device),
                    "share_of_loading": share,
                }
                rows.append(row)
                print(
                    f"{name:14}{size:5}{precision:>11}{speed:10.1f}{row['peak_memory_mb']:9.0f}"
                    + ("" if share is None else f"{100 * share:8.1f}%"),
                    flush=True,
                )
    if options.out:
        options.out.write_text(json.dumps({"device": str(device), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()

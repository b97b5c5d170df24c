"""What would many GPUs make of a training, and what would the large studies cost?

    python benchmarks/scaling.py [--check 2 4] [--rounds 15] > tables.md

From the steps that one GPU took (docs/results/gpu/h200.json), the bytes of the networks' gradients,
and the rates of links, by the arithmetic of `scaling_model.py`. Nothing here was run on more than
one GPU. With --check, so many processes on this machine are foretold by the same arithmetic and
measured. docs/scaling.md has the tables, and names what is assumed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu_speed import methods
from benchmarks.scaling_check import METHODS, Checked, check
from benchmarks.scaling_model import (
    Cluster,
    Link,
    Method,
    Range,
    added,
    binds_first,
    exchange,
    hours,
    throughput,
)

MEASURED = Path(__file__).parents[1] / "docs/results/gpu/h200.json"
_WIDTH, _SIZE, _BATCH = 512, 256, 16  # of the rows of that page

# Rates in one direction that a collective gets: 0.75 of what vendors and standards name. NVLink of
# an H200 900 GB/s both ways, PCIe 5.0 x16 128 GB/s both ways, networks by their bits.
_SHARE_OF_RATE = 0.75
NVLINK = Link("NVLink", _SHARE_OF_RATE * 450e9, 10e-6)
PCIE = Link("PCIe 5.0", _SHARE_OF_RATE * 64e9, 15e-6)
NETWORKS = tuple(
    Link(f"{bits} Gbit/s", _SHARE_OF_RATE * bits * 1e9 / 8, 30e-6) for bits in (25, 100, 400)
)
MEMORY_RATE = 4273e9
"""Measured there: a copy, read and written."""

LOADER_RATE = Range(8 * 400.0, 8 * 700.0)
"""Images a second of 256 px that eight loader processes of a GPU augment (geometric, one core: 632
measured)."""

SCALARS = {"se_msg_pggan": 7}
"""All-reduces of a mean in a step of the relativistic loss, 4 for the discriminator and 3 for the
generator: counted by tests/lightning_modules/test_processes.py, docs/results/exact.md."""

GPUS = (1, 8, 64)


@dataclass(frozen=True)
class Training:
    """Of a study at 512 px, on one GPU.

    Attributes:
        name: In words.
        method: Of the GPU's page.
        steps: All of the study's.
        larger: How much more arithmetic a step is than the timed one.
    """

    name: str
    method: str
    steps: float
    larger: float


KITS19 = (
    Training("Pix2Pix, batch 4", "pix2pix", 1_650_000, 1.0),
    Training("U-Net light, batch 8", "unet_light", 2_680_000, 2.0),
    Training("U-Net heavy, batch 8", "unet_heavy", 2_680_000, 2.0),
    Training("FPN, batch 8", "fpn", 2_680_000, 2.0),
)
"""Steps of docs/full_size.md, 210 patients; 512 px have four times the pixels of 256."""

_SHOWN = 40_940 * 150  # films of the paper, epochs of its Table 1
KO_2020 = (
    Training("DCGAN, batch 64", "dcgan", _SHOWN / 64, 4 * 64 / 16),
    Training("PGGAN, batch 16", "pggan", _SHOWN / 16, 1.3 / 1.0127),
    Training("multi-scale, SE, batch 16", "se_msg_pggan", _SHOWN / 16, 0.8 / 0.6014),
)
"""Arithmetic of an image at 512 px by docs/full_size.md, at 256 by the GPU's page."""

STYLEGAN_TO_PGGAN = Range(1.0, 1.4)
"""StyleGAN was not timed by itself; trainings at 32 px took 1.36 times as long as PGGAN's."""

DISTANCES = Range(0.0, 0.1)
"""Share of an epoch for its distance: 10 % is what a training here may take."""


def timed(path: Path = MEASURED) -> dict[str, Method]:
    """The methods that were timed in bfloat16, with the gradients that their networks send."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    made, found = methods(_WIDTH), {}
    for row in rows:
        wanted = row.get("variant") == "bf16" and row.get("size") == _SIZE
        if wanted and row["state"] == "measured" and row["batch"] == _BATCH:
            name = row["method"]
            sizes, buffers = gradient_bytes(made[name]), buffer_bytes(made[name])
            seconds, scalars = row["ms_per_step"] / 1000, SCALARS.get(name, 0)
            found[name] = Method(name, _BATCH, seconds, sizes, scalars, buffers)
    return found


def gradient_bytes(make: Callable[[int], Any]) -> tuple[int, ...]:
    """Four bytes a parameter, of each network that steps; nothing is computed."""
    with torch.device("meta"):
        module = make(_SIZE)
    parts = ("discriminator", "generator", "network")
    networks = [getattr(module, part) for part in parts if hasattr(module, part)]
    return tuple(4 * sum(one.numel() for one in network.parameters()) for network in networks)


def buffer_bytes(make: Callable[[int], Any]) -> int:
    """Of what `average_buffers` makes the same after each step; nothing is computed."""
    with torch.device("meta"):
        module = make(_SIZE)
    layers = getattr(module, "network", module).modules()
    buffers = [one for layer in layers if layer.training for one in layer.buffers(recurse=False)]
    return sum(one.nbytes for one in buffers if one.is_floating_point())


def cost(training: Training, found: dict[str, Method]) -> Range:
    """GPU hours: between a step that takes as long as the timed one and one in proportion."""
    seconds = found[training.method].seconds
    low, high = sorted((seconds, seconds * training.larger))
    return hours(training.steps, Range(low, high))


def throughput_table(found: dict[str, Method], keep_global: bool) -> list[str]:
    """Images a second on 1, 8 and 64 GPUs: NVLink in a node, networks between nodes."""
    lines = [
        "| method | gradients, MB | 1 GPU | 8, NVLink | 8, PCIe | 64, 25 Gbit/s | 64, 100 | "
        "64, 400 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method in found.values():
        cells = [f"{throughput(method, 1, _cluster(), MEMORY_RATE, False).images.low:,.0f}"]
        for gpus, cluster in _settings():
            if keep_global and gpus > method.batch:
                cells.append("-")
                continue
            one = throughput(method, gpus, cluster, MEMORY_RATE, keep_global)
            bind = binds_first(method, gpus, cluster, MEMORY_RATE, keep_global, LOADER_RATE.high)
            cells.append(f"{_shown(one.images)} ({100 * one.share:.0f} %, {bind})")
        size = sum(method.gradients) / 1e6
        lines.append(f"| {method.name} | {size:,.0f} | {' | '.join(cells)} |")
    return lines


def _settings() -> list[tuple[int, Cluster]]:
    inside = [(8, _cluster(NVLINK)), (8, _cluster(PCIE))]
    return inside + [(64, Cluster(NVLINK, network)) for network in NETWORKS]


def _cluster(inside: Link = NVLINK) -> Cluster:
    return Cluster(inside, NETWORKS[-1])


def exchange_table(found: dict[str, Method]) -> list[str]:
    """Milliseconds of a step in which gradients are sent."""
    lines = [
        "| method | step, ms | 8, NVLink | 8, PCIe | 64, 25 Gbit/s | 64, 100 | 64, 400 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for method in found.values():
        sent = [1000 * exchange(method, n, c, MEMORY_RATE) for n, c in _settings()]
        cells = " | ".join(f"{one:,.1f}" for one in sent)
        lines.append(f"| {method.name} | {1000 * method.seconds:,.0f} | {cells} |")
    return lines


def cost_table(title: str, trainings: Sequence[Training], found: dict[str, Method]) -> list[str]:
    """GPU hours of a study."""
    lines = [f"| {title} | steps | GPU hours |", "|---|---:|---:|"]
    parts = [cost(one, found) for one in trainings]
    lines += [
        f"| {one.name} | {one.steps:,.0f} | {_shown(part)} |"
        for one, part in zip(trainings, parts, strict=True)
    ]
    if trainings is KO_2020:
        pggan = parts[1]
        style = Range(pggan.low * STYLEGAN_TO_PGGAN.low, pggan.high * STYLEGAN_TO_PGGAN.high)
        name = "StyleGAN, batch 16, by PGGAN's time"
        lines.append(f"| {name} | {_SHOWN / 16:,.0f} | {_shown(style)} |")
        parts.append(style)
        whole = added(parts)
        parts = [whole, Range(whole.low * DISTANCES.low, whole.high * DISTANCES.high)]
        lines.append(f"| distance after every epoch | | {_shown(parts[1])} |")
    return [*lines, f"| together | | {_shown(added(parts))} |"]


def _shown(one: Range) -> str:
    low, high = (f"{end:,.1f}" if 0 < end < 9.95 else f"{end:,.0f}" for end in (one.low, one.high))
    return low if low == high else f"{low} to {high}"


def check_table(checked: Sequence[Checked]) -> list[str]:
    """What was foretold of processes on this machine beside what was measured."""
    lines = [
        "| method | processes | sent a step, bytes | parameters x 4 | small all-reduces | "
        "alone, ms | exchange, ms | foretold, ms | measured, ms | measured to foretold |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in checked:
        times = (one.alone, one.exchange, one.foretold, one.measured)
        lines.append(
            f"| {one.method} | {one.processes} | {one.sent:,} | {4 * one.parameters:,} | "
            f"{one.small} | {' | '.join(f'{1000 * each:,.1f}' for each in times)} | "
            f"{one.measured / one.foretold:.2f} |"
        )
    return lines


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=int, nargs="*", default=[], help="Processes to measure.")
    parser.add_argument("--rounds", type=int, default=15, help="Of each, in turns.")
    options = parser.parse_args()
    found = timed()
    print("Images a second, 16 images a GPU:", *throughput_table(found, False), sep="\n")
    print("\n16 images in all:", *throughput_table(found, True), sep="\n")
    print("\nExchange, ms a step:", *exchange_table(found), sep="\n")
    print("", *cost_table("KiTS19, 210 patients, 57 trainings", KITS19, found), sep="\n")
    print("", *cost_table("Ko et al. 2020, Table 1", KO_2020, found), sep="\n")
    checked = [check(name, count, options.rounds) for count in options.check for name in METHODS]
    if checked:
        print("", *check_table(checked), sep="\n")


if __name__ == "__main__":
    main()

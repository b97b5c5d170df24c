"""Steps of several processes on this machine, foretold from their parts and measured.

Each round, in turns, so that other work on the machine meets all alike: steps of every process for
itself, at the same time; all-reduces of gradients of other sizes; and steps that exchange. What the
first two foretell of the third is what `scaling_model.py` says of GPUs: one process's work, then
each network's gradients once, and a wait for each mean over the global batch and for the buffers.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks import gan_step
from benchmarks.training_step import CLASS_NAMES, Timer, pix2pix

FLAT_SIZES = (1024, 100_000, 400_000, 1_600_000)
"""Numbers in the all-reduces from which time is foretold; no network has so many parameters."""


@dataclass(frozen=True)
class Checked:
    """Of one method with several processes; seconds of a step.

    Attributes:
        method: Its name.
        processes: How many.
        parameters: Of the networks that are sent.
        sent: Bytes that a step gave to all-reduces, counted there.
        small: All-reduces of a step of 64 bytes or less: means over the global batch, and a GAN's
            scalar buffers, which are sent together.
        alone: Of a process for itself, while the others work too.
        exchange: Foretold of all that is sent.
        measured: Of a step that exchanges.
    """

    method: str
    processes: int
    parameters: int
    sent: int
    small: int
    alone: float
    exchange: float
    measured: float

    @property
    def foretold(self) -> float:
        """By the model."""
        return self.alone + self.exchange


METHODS: dict[str, tuple[Callable[[], Any], int, int]] = {
    "Pix2Pix, 64 px": (lambda: pix2pix(64, 16, fine=False), 64, 8),
    "multi-scale GAN, 32 px": (lambda: gan_step.se_msg_pggan(32, 64), 32, 16),
}
"""By name: the module, pixels and images of the global batch."""


def check(method: str, processes: int, rounds: int) -> Checked:
    """Measure one method."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_work, (method, processes, rounds, folder), nprocs=processes)
        return Checked(**torch.load(Path(folder) / "found.pt", weights_only=True))


def _work(rank: int, method: str, processes: int, rounds: int, folder: str) -> None:
    from lightning_modules.distributed import as_one_process, broadcast_state

    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    make, size, images = METHODS[method]
    torch.manual_seed(0)
    module = make()
    broadcast_state(module)
    timer = Timer(module, "fp32", torch.device("cpu"))
    shape = (images // processes, size, size)
    batch = {
        "image": torch.rand(shape[0], 1, size, size) * 2 - 1,
        "mask": torch.randint(0, len(CLASS_NAMES), shape),
    }
    flat = {count: torch.zeros(count) for count in FLAT_SIZES}

    def steps(exchanging: bool) -> float:
        with nullcontext() if exchanging else as_one_process():
            return _longest(lambda: timer.seconds(batch, 1))

    module.steps_done = 1  # past the step in which lazy penalties are due
    steps(True)
    sizes = _sent(timer, batch)
    alone, measured = [], []
    reduced: dict[int, list[float]] = {count: [] for count in FLAT_SIZES}
    for _ in range(rounds):
        module.steps_done = 1
        alone.append(steps(False))
        for count, tensor in flat.items():
            reduced[count].append(_longest(lambda one=tensor: _flat(one)))  # type: ignore[misc]
        module.steps_done = 1
        measured.append(steps(True))
    if rank == 0:
        found = {count: statistics.median(times) for count, times in reduced.items()}
        torch.save(
            {
                "method": method,
                "processes": processes,
                "parameters": sum(
                    one.numel()
                    for network in (module.generator, module.discriminator)
                    for one in network.parameters()
                ),
                "sent": sum(sizes),
                "small": sum(one <= 64 for one in sizes),
                "alone": statistics.median(alone),
                "exchange": foretold(found, sizes),
                "measured": statistics.median(measured),
            },
            f"{folder}/found.pt",
        )
    dist.barrier()
    dist.destroy_process_group()


def foretold(reduced: dict[int, float], sizes: list[int]) -> float:
    """Seconds of all-reduces of so many bytes, by a line through those of other sizes.

    Args:
        reduced: Seconds by numbers of four bytes.
        sizes: Bytes of each all-reduce.
    """
    counts = np.array(list(reduced))
    slope, start = np.polyfit(4 * counts, np.array(list(reduced.values())), 1, w=1 / counts**0.5)
    return float(sum(max(start, 0.0) + slope * size for size in sizes))


def _flat(tensor: torch.Tensor) -> float:
    started = time.perf_counter()
    dist.all_reduce(tensor)
    tensor /= dist.get_world_size()
    return time.perf_counter() - started


def _longest(work: Callable[[], float]) -> float:
    """Of all processes, begun together: who waits for the slowest is not faster."""
    dist.barrier()
    seconds = torch.tensor(work())
    dist.all_reduce(seconds, op=dist.ReduceOp.MAX)
    return float(seconds)


def _sent(timer: Timer, batch: dict[str, torch.Tensor]) -> list[int]:
    """Bytes of each all-reduce of a step."""
    sizes: list[int] = []
    all_reduce = dist.all_reduce

    def counted(tensor: torch.Tensor, *given: Any, **named: Any) -> Any:
        sizes.append(tensor.numel() * tensor.element_size())
        return all_reduce(tensor, *given, **named)

    dist.all_reduce = counted
    try:
        timer.step(batch)
    finally:
        dist.all_reduce = all_reduce
    return sizes

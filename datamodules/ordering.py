"""The order in which training sees the data: a pure function of the seed and the steps done.

A sampler that keeps a position of its own loses it when the run is killed, or repeats what was
seen. This one has none: asked again after k steps, it continues with step k, whatever happened in
between, and every process takes its share of the same global batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from provenance import UserError


@dataclass(frozen=True)
class Draw:
    """One item of a batch: which, and the seed of its augmentation."""

    index: int
    seed: int


class OrderedBatches(Sampler[list[Draw]]):
    """Batch sampler of one process.

    Epoch e's order is a permutation (or, with weights, a draw with replacement) that depends on
    (seed, e) only. Global batch b of the epoch is places b*B to (b+1)*B of it; rank r takes the
    r-th equal part. The last, incomplete global batch is left out; which items that concerns
    differs from epoch to epoch. Fewer items than one batch: the order is repeated to fill it.

    Args:
        num_items: Size of the data set.
        global_batch_size: Images per optimiser step over all processes.
        seed: Of order and augmentation.
        steps_done: Tells how many steps the training has done; asked at the start of every epoch.
        rank: This process.
        num_processes: All processes; must divide the batch.
        weights: (num_items,) relative frequency of each item; None for a plain permutation.
    """

    def __init__(
        self,
        num_items: int,
        global_batch_size: int,
        seed: int,
        steps_done: Callable[[], int],
        rank: int = 0,
        num_processes: int = 1,
        weights: np.ndarray | None = None,
    ) -> None:
        if global_batch_size % num_processes:
            raise UserError(
                f"--data.batch_size {global_batch_size} is the number of images per step over all "
                f"processes and cannot be shared equally among {num_processes}. "
                f"Use a multiple of {num_processes}."
            )
        self.num_items = num_items
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.steps_done = steps_done
        self.rank = rank
        self.num_processes = num_processes
        self.weights = None if weights is None else weights / weights.sum()

    def __len__(self) -> int:
        """Steps per epoch."""
        return max(1, self.num_items // self.global_batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield the remaining batches of the current epoch, this process's share of each."""
        epoch, first = divmod(self.steps_done(), len(self))
        order, seeds = self._epoch(epoch)
        share = self.global_batch_size // self.num_processes
        for batch in range(first, len(self)):
            start = batch * self.global_batch_size + self.rank * share
            places = range(start, start + share)
            yield [Draw(int(order[place]), int(seeds[place])) for place in places]

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(num_places,) item indices and augmentation seeds of one epoch."""
        random = np.random.default_rng([self.seed, epoch])
        if self.weights is not None:
            order = random.choice(self.num_items, size=self.num_items, p=self.weights)
        else:
            order = random.permutation(self.num_items)
        places = max(len(self) * self.global_batch_size, self.num_items)
        order = np.resize(order, places)
        return order, random.integers(0, 2**62, size=places)

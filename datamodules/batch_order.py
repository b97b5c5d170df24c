"""The order in which training sees the data: a pure function of the seed and the steps done.

A sampler that keeps a position of its own loses it when the run is killed, or repeats what was
seen. This one has none: asked again after k steps, it continues with step k, whatever happened in
between, and every process takes its share of the same global batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from device import refuse_unequal_shares


@dataclass(frozen=True)
class Draw:
    """One item of a batch: which, and the seed of its augmentation."""

    index: int
    seed: int


class OrderedBatches(Sampler[list[Draw]]):
    """Batch sampler of one process.

    The order is an endless row of rounds. Each round is a permutation of all items (or, with
    weights, as many draws with replacement), a function of (seed, round) only. Step s takes
    positions s*B to (s+1)*B of the row, and rank r the r-th equal part of these. So every item is
    seen equally often, nothing is dropped, and an epoch is just a number of steps.

    Args:
        num_items: Size of the data set.
        global_batch_size: Images per optimiser step over all processes.
        seed: Of order and augmentation.
        steps_done: Tells how many steps the training has done; asked at the start of every epoch.
        rank: This process.
        num_processes: All processes; must divide the batch.
        weights: (num_items,) relative frequency of each item; None for plain permutations.
        images_per_epoch: Length of an epoch; None for the size of the data set. Rounded down to
            whole batches, one at least.
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
        images_per_epoch: int | None = None,
    ) -> None:
        refuse_unequal_shares(global_batch_size, num_processes)
        self.num_items = num_items
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.steps_done = steps_done
        self.rank = rank
        self.num_processes = num_processes
        self.weights = None if weights is None else weights / weights.sum()
        self.steps_per_epoch = max(1, (images_per_epoch or num_items) // global_batch_size)
        self._round: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Steps per epoch."""
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield an epoch's worth of this process's batches from the step that is due.

        After a resume in the middle of an epoch the trainer takes only what that epoch lacks.
        """
        share = self.global_batch_size // self.num_processes
        first = self.steps_done()
        for step in range(first, first + len(self)):
            start = step * self.global_batch_size + self.rank * share
            yield [self._draw(position) for position in range(start, start + share)]

    def count_below(self, index: int, steps: int) -> int:
        """How often the first steps, of all processes together, show an item below an index."""
        rounds, rest = divmod(steps * self.global_batch_size, self.num_items)
        if self.weights is None:  # a whole round shows each once
            shown = rounds * min(index, self.num_items)
        else:
            shown = sum(int((self._order(number) < index).sum()) for number in range(rounds))
        return shown + int((self._order(rounds)[:rest] < index).sum())

    def _order(self, number: int) -> np.ndarray:
        """(num_items,) what a round shows."""
        self._fill_round(number)
        assert self._round is not None
        return self._round[1]

    def _draw(self, position: int) -> Draw:
        """What stands at a position of the endless row."""
        number, offset = divmod(position, self.num_items)
        self._fill_round(number)
        assert self._round is not None
        _, order, seeds = self._round
        return Draw(int(order[offset]), int(seeds[offset]))

    def _fill_round(self, number: int) -> None:
        if self._round is None or self._round[0] != number:
            random = np.random.default_rng([self.seed, number])
            if self.weights is not None:
                order = random.choice(self.num_items, size=self.num_items, p=self.weights)
            else:
                order = random.permutation(self.num_items)
            self._round = number, order, random.integers(0, 2**62, size=self.num_items)

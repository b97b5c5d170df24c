"""Samples and batches of two domains side by side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from datamodules.batch_order import Draw, OrderedBatches

DOMAINS = ("source", "target")


class Pairs(Dataset[dict[str, Any]]):
    """Samples of both domains side by side; of the shorter one, from the start again."""

    def __init__(self, source: Any, target: Any) -> None:
        self.both = {"source": source, "target": target}

    def __len__(self) -> int:
        lengths = [len(each) for each in self.both.values()]
        return max(lengths) if min(lengths) else 0

    def __getitem__(self, asked: int | tuple[Draw, Draw]) -> dict[str, Any]:
        sample: dict[str, Any] = {}
        for domain, dataset in self.both.items():
            index: Any = asked
            if isinstance(asked, tuple):
                index = asked[DOMAINS.index(domain)]
            else:
                index = asked % len(dataset)
            own = dataset[index]
            sample |= {f"{domain}_{key}": value for key, value in own.items()}
            sample[f"{domain}_once"] = isinstance(asked, tuple) or asked < len(dataset)
        return sample


class PairedBatches(Sampler[list[tuple[Draw, Draw]]]):
    """Two orders, step by step side by side."""

    def __init__(self, source: OrderedBatches, target: OrderedBatches) -> None:
        self.orders = source, target

    def __len__(self) -> int:
        return len(self.orders[1])

    def __iter__(self) -> Iterator[list[tuple[Draw, Draw]]]:
        for source, target in zip(*self.orders, strict=True):
            yield list(zip(source, target, strict=True))


class Chosen(Dataset[dict[str, Any]]):
    """Some samples of a set, unaugmented."""

    def __init__(self, dataset: Any, chosen: NDArray[np.int64]) -> None:
        self.dataset, self.chosen = dataset, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample: dict[str, Any] = self.dataset[int(self.chosen[index])]
        return sample

    def kinds(self) -> list[Any]:
        """(len,) what each sample shows, as the set says it."""
        every = self.dataset.kinds()
        return [every[index] for index in self.chosen.tolist()]


def of_domain(batch: dict[str, Any], domain: str) -> dict[str, Any]:
    """What a domain has in a batch, by the names that its own datamodule knows."""
    start = f"{domain}_"
    return {key.removeprefix(start): value for key, value in batch.items() if key.startswith(start)}

"""Nearest neighbours, exactly, in blocks."""

import torch
from torch import Tensor

_BLOCK_ENTRIES = 2**24
"""Cosines held at once: 64 MiB in float32, whatever the number of images."""


def nearest(queries: Tensor, references: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The references with the largest cosines to each query.

    Args:
        queries: (N, D) of length 1.
        references: (M, D) of length 1, on the same device.
        count: How many, M at most.

    Returns:
        cosines: (N, count), falling.
        indices: (N, count) of the references.
    """
    count = min(count, len(references))
    height = max(1, _BLOCK_ENTRIES // max(1, len(references)))
    cosines, indices = [], []
    for block in queries.split(height):
        found = torch.topk(block @ references.T, count, dim=1)
        cosines.append(found.values)
        indices.append(found.indices)
    if not cosines:
        empty = queries.new_empty(0, count)
        return empty, empty.long()
    return torch.cat(cosines), torch.cat(indices)

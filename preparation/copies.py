"""The same pixels under two names: how they are recognised, and who then stays together."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Begins what is hashed, so that these hashes are comparable with each other and with no others.
_PIXELS = "understudy pixels 1"


def pixel_hash(pixels: NDArray[Any]) -> str | None:
    """Return the SHA-256 of an image's shape, depth and pixels; None where all pixels are equal.

    No salt is in it: the same image has the same hash in every cache, whoever made it. So whoever
    holds an image can find out whether it is in a cache whose records he has.

    Args:
        pixels: Any shape, as decoded from the source, before windowing or resizing.
    """
    if not pixels.size or pixels.min() == pixels.max():
        return None
    digest = hashlib.sha256(f"{_PIXELS} {pixels.shape} {pixels.dtype.name}\n".encode())
    digest.update(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def joined(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the groups of two or more names that pairs connect, sorted (union-find)."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = name = parent[above]
        return name

    for first, second in pairs:
        low, high = sorted((find(first), find(second)))
        parent[high] = low
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(parent):
        groups[find(name)].append(name)
    return [group for _, group in sorted(groups.items()) if len(group) > 1]

"""Features of real images, kept beside the data: a function of all that they depend on."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.extractor import FeatureExtractor
from provenance import check_unpacked_size, whole_file


def path_of_features(root: Path, network: FeatureExtractor, depends_on: Sequence[Any]) -> Path:
    """Where the features of some images lie.

    Args:
        root: The cache that holds the images.
        network: Its description names the weights by their content.
        depends_on: Plain values that say which images, in which order, and of what size.
    """
    content = json.dumps([network.description, *depends_on])
    digest = hashlib.sha256(content.encode()).hexdigest()[:24]
    return Path(root) / "features" / f"{network.name}_{digest}.npz"


def keep_features(path: Path, **arrays: NDArray[np.float32]) -> None:
    """Write arrays (N, ...) by name; beside data that cannot be written to they are not kept."""
    try:
        with whole_file(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError:
        return


def kept_features(path: Path, num_rows: int) -> dict[str, Tensor] | None:
    """Arrays (N, D) that were kept, by name; None where there are none, or a damaged file.

    The file has a checksum of each array, so that a changed byte is noticed. Caches may come from
    others: nothing in the file is run, and no more is read than the file holds.
    """
    try:
        check_unpacked_size(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception:  # numpy and zipfile raise many kinds for a file that is not their own
        return None
    fit = (a.ndim == 2 and a.dtype == np.float32 and len(a) == num_rows for a in arrays.values())
    if "features" not in arrays or not all(fit):
        return None
    return {name: torch.from_numpy(array) for name, array in arrays.items()}

"""Features of real films, kept beside the data: a function of all that they depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.extractor import FeatureExtractor
from provenance import whole_file


def path_of_features(network: FeatureExtractor, data: Any, ids: NDArray[np.str_]) -> Path:
    """Where the features of these films lie.

    Args:
        network: Its description names the weights by their content.
        data: The datamodule; its cache's content and what it does to films count.
        ids: The films, in their order.
    """
    content = json.dumps(
        [
            network.description,
            data.cache.manifest["sha256_items"],
            data.image_size,
            data.channels,
            hashlib.sha256("\n".join(ids.tolist()).encode()).hexdigest(),
        ]
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:24]
    return Path(data.cache.root) / "features" / f"{network.name}_{digest}.npy"


def keep_features(path: Path, features: NDArray[np.float32]) -> None:
    """Write (N, D) features; beside data that cannot be written to they are not kept."""
    try:
        with whole_file(path) as stream:
            np.save(stream, features, allow_pickle=False)
    except OSError:
        return


def kept_features(path: Path, num_rows: int) -> Tensor | None:
    """Features that were kept; None where there are none, or a damaged file."""
    try:
        # Mapped first: a header in a cache from others may promise more than the file holds.
        features = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # numpy raises many kinds for a file that is not its own
        return None
    if features.ndim != 2 or features.dtype != np.float32 or len(features) != num_rows:
        return None
    return torch.from_numpy(np.array(features))

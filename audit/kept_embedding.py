"""Trained embeddings, kept beside the images that they were trained on.

A network that was trained on patients' images stays where these are: it is never part of a set or
of a report.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from audit.embedding import RECIPE, CopyEmbedding, train_embedding
from provenance import whole_file


def path_of_embedding(folder: Path, images: Tensor, seed: int) -> Path:
    """Where an embedding for these images lies: a function of their pixels, and of its recipe."""
    digest = hashlib.sha256(f"{RECIPE} {list(images.shape)} ".encode())
    digest.update(images.cpu().numpy().tobytes())
    return folder / "audit" / f"embedding_{digest.hexdigest()[:24]}_seed{seed}.safetensors"


def kept_or_trained(
    folder: Path, images: Tensor, seed: int, on_step: Callable[[], object] = lambda: None
) -> CopyEmbedding:
    """The embedding of these images; trained where there is none, or a damaged one.

    Args:
        folder: Their cache. Beside data that cannot be written to it is not kept.
        images: (N, 1, S, S) uint8 on the device to train on.
        seed: See `train_embedding`.
        on_step: See `train_embedding`; not called where one was kept.
    """
    path = path_of_embedding(folder, images, seed)
    kept = _kept(path)
    if kept is not None:
        return kept.to(images.device)
    network = train_embedding(images, seed, on_step=on_step)
    try:
        with whole_file(path) as stream:
            stream.write(save({key: value.cpu() for key, value in network.state_dict().items()}))
    except OSError:
        pass
    return network


def _kept(path: Path) -> CopyEmbedding | None:
    network = CopyEmbedding()
    try:
        network.load_state_dict(load_file(path))
    except Exception:  # no file, or one of many kinds of damage
        return None
    finite = all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
    return network.eval() if finite else None

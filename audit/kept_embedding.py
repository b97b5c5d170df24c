"""Trained embeddings, kept beside the images that they were trained on.

A network that was trained on patients' images stays where these are: it is never part of a set or
of a report.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm import tqdm

from audit.embedding import RECIPE, STEPS, CopyEmbedding, train_embedding
from display.numbers import count, duration
from provenance import whole_file

NUMBER = 2
"""Of embeddings, whose likenesses are averaged."""

_TIMED_STEPS = 10


def path_of_embedding(folder: Path, images: Tensor, seed: int) -> Path:
    """Where an embedding for these images lies: a function of their pixels, and of its recipe."""
    digest = hashlib.sha256(f"{RECIPE} {list(images.shape)} ".encode())
    digest.update(images.cpu().numpy().tobytes())
    return folder / "audit" / f"embedding_{digest.hexdigest()[:24]}_seed{seed}.safetensors"


def both_embeddings(
    folder: Path, images: Tensor, seed: int, show_progress: bool
) -> list[CopyEmbedding]:
    """The embeddings of these images, kept or trained.

    Where they are trained, sentences on stderr say why those that are kept do not do, how long it
    takes, by the first steps, and what the next audit need not train again.

    Args:
        folder: See `kept_or_trained`.
        images: See `kept_or_trained`.
        seed: The networks' are twice it, and one more.
        show_progress: A bar with the time left, and the sentences.
    """
    paths = [path_of_embedding(folder, images, NUMBER * seed + one) for one in range(NUMBER)]
    why = why_anew(paths)
    begun: list[float] = []  # the time of each step so far
    with tqdm(
        total=NUMBER * STEPS, desc="embeddings", unit="step", disable=not show_progress
    ) as bar:

        def tell(text: str) -> None:
            if show_progress:
                bar.write(text, file=sys.stderr)

        def on_step() -> None:
            bar.update()
            begun.append(time.perf_counter())
            if len(begun) != _TIMED_STEPS:
                return
            a_step = (begun[-1] - begun[0]) / (_TIMED_STEPS - 1)
            left = a_step * (bar.total - done_before - _TIMED_STEPS)
            tell(
                f"embeddings: {why}they are trained on {count(len(images), 'image')}, about "
                f"{duration(left)} more at the pace so far. They are then kept in the cache's "
                "folder audit/: an audit that searches the same images does not train them again."
            )

        networks = []
        for number, path in enumerate(paths):
            done_before = number * STEPS if not begun else 0
            networks.append(kept_or_trained(folder, images, NUMBER * seed + number, on_step))
            bar.update((number + 1) * STEPS - bar.n)  # one that was kept takes no steps
            if begun and not path.is_file():
                tell(f"embeddings: {path.parent} cannot be written to, so they are not kept.")
        return networks


def why_anew(paths: list[Path]) -> str:
    """Why networks that are kept in the same folder do not do; empty where none is kept there.

    Args:
        paths: Of those that are wanted.
    """
    if any(path.exists() for path in paths):
        return "one that is kept is missing or damaged; "
    kept = list(paths[0].parent.glob("embedding_*.safetensors"))
    if not kept:
        return ""
    same = paths[0].name.split("_seed")[0]
    if any(path.name.startswith(f"{same}_seed") for path in kept):
        return "those that are kept for these images are of another --seed; "
    return (
        f"the {len(kept)} that are kept in the cache were trained on other images than are "
        "searched now (other patients or classes that the generator knew, or another size); "
    )


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

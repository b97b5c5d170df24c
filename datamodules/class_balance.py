"""How many films of each class are trained on, and which are taken away to make it so."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.fewer_patients import patient_ranks
from datamodules.film_cache import FilmCache
from provenance import UserError


def imbalanced_counts(
    there: NDArray[np.int64], ratio: float, class_names: list[str], where: str
) -> NDArray[np.int64]:
    """Films of each class to keep so that all are `ratio` times rarer than the largest.

    Args:
        there: (num_classes,) films that there are.
        ratio: >= 1; the largest class keeps all, every other round(largest / ratio), at least 1.
        class_names: For the sentence.
        where: What is counted, for the sentence.

    Raises:
        UserError: A class is rarer already; says how rare.
    """
    largest, rarest = int(there.argmax()), int(there.argmin())
    wanted = np.full(len(there), max(1, round(there[largest] / ratio)))
    wanted[largest] = there[largest]
    if (there < wanted).any():
        present = f"{there[largest] / there[rarest]:.4g} times" if there[rarest] else "infinitely"
        raise UserError(
            f"--data.imbalance {ratio:g}: in {where} {class_names[rarest]} ({there[rarest]} films) "
            f"is already {present} rarer than {class_names[largest]} ({there[largest]}). Films are "
            "only taken away: give a larger ratio, or none."
        )
    return wanted


def keep_per_class(
    cache: FilmCache,
    indices: NDArray[np.int64],
    labels: NDArray[np.integer[Any]],
    counts: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Keep so many films of each class, patient after patient in an order that the seed draws.

    A smaller count keeps a part of what a larger one keeps, and a patient's rank in the order
    depends on nobody else. No random state is used or changed.

    Args:
        cache: Knows the patients.
        indices: (N,) films to choose from.
        labels: (N,) their classes.
        counts: (num_classes,) films to keep; a class that has no more keeps all.
        seed: Of the order.

    Returns:
        The films kept, in the order of `indices`.
    """
    patients, owner = np.unique(cache.patient_ids[indices], return_inverse=True)
    rank = patient_ranks(patients.tolist(), seed)
    order = np.argsort(rank[owner], kind="stable")
    kept = [order[labels[order] == label][:count] for label, count in enumerate(counts)]
    return indices[np.sort(np.concatenate(kept))]


def counts_to_balance(
    labels: NDArray[np.integer[Any]], num_classes: int, balance: str
) -> NDArray[np.int64]:
    """Films of each class, of which at least two have some.

    Args:
        labels: (N,) classes of the training films.
        num_classes: K.
        balance: The flag's value, for the sentence.

    Returns:
        (K,) counts.

    Raises:
        UserError: All films are of one class.
    """
    counts = np.bincount(labels, minlength=num_classes)
    if (counts > 0).sum() < 2:
        raise UserError(
            f"data.balance {balance}: all {counts.sum()} training films are of one class, so "
            "there is nothing to balance. Leave it out of the flags and of the --config files."
        )
    return counts

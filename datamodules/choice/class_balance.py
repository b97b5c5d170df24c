"""How many films of each class are trained on, and which are taken away to make it so."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.choice.fewer_patients import patient_ranks
from datamodules.film_cache import UNLABELLED, FilmCache
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


@dataclass(frozen=True)
class ClassChoice:
    """Which films of each class a run uses.

    Attributes:
        cache: Of the films.
        column: The label column that has the classes; None: films without labels.
        only_label: See `ChestXrayDataModule`, as for the next four.
        imbalance: As there.
        imbalance_seed: As there.
        balance: As there.
        seed: As there.
    """

    cache: FilmCache
    column: str | None
    only_label: str | None
    imbalance: float | None
    imbalance_seed: int
    balance: str
    seed: int

    @property
    def _names(self) -> list[str]:
        return [] if self.column is None else self.cache.class_names(self.column)

    def check(self, beside_synthetic: bool) -> None:
        """Refuse settings that need labels where there are none, or a class that is not there.

        Args:
            beside_synthetic: Whether a synthetic set joins the training.

        Raises:
            UserError: Names the flag.
        """
        root = self.cache.root
        for name, value, unused in (
            ("only_label", self.only_label, None),
            ("imbalance", self.imbalance, None),
            ("balance", self.balance, "none"),
        ):
            if value != unused and self.column is None:
                raise UserError(
                    f"--data.{name} {value}: needs labels, and this run has none (label columns of "
                    f"{root}: {', '.join(self.cache.label_columns) or 'none'})."
                )
        if self.only_label is not None and self.only_label not in self._names:
            raise UserError(
                f"--data.only_label {self.only_label}: {root} has the classes "
                f"{', '.join(self._names)}."
            )
        if self.only_label is not None and beside_synthetic:
            raise UserError(
                "--data.only_label is for training a generator on real films of one class; leave "
                "out --data.synthetic."
            )

    def films(self, indices: NDArray[np.int64], training: bool) -> NDArray[np.int64]:
        """Those of these films that have a label, and in training so many of each class.

        Args:
            indices: (N,) films of the cache.
            training: Whether they are of the training split, which alone is made unequal or equal.

        Raises:
            UserError: A class is rarer than `imbalance` would make it, or there is only one.
        """
        if self.column is None:
            return indices
        labels, names = self.cache.labels(self.column), self._names
        indices = indices[labels[indices] != UNLABELLED]
        if training and self.imbalance is not None and len(indices):
            there = np.bincount(labels[indices], minlength=len(names))
            where = f"the training split of {self.cache.root}"
            counts = imbalanced_counts(there, self.imbalance, names, where)
            seed = self.imbalance_seed
            indices = keep_per_class(self.cache, indices, labels[indices], counts, seed)
        if self.only_label is not None:
            indices = indices[labels[indices] == names.index(self.only_label)]
        if training and self.balance == "undersample" and len(indices):
            there = counts_to_balance(labels[indices], len(names), self.balance)
            counts = np.minimum(there, there[there > 0].min())
            indices = keep_per_class(self.cache, indices, labels[indices], counts, self.seed)
        return indices

    def counts(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """(num_classes,) films of each class; without labels (1,), all of them."""
        if self.column is None:
            return np.array([len(indices)])
        labels = self.cache.labels(self.column)[indices]
        return np.bincount(labels[labels != UNLABELLED], minlength=len(self._names))

    def equal_weights(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N,) weights of films with these classes by which all classes are drawn equally often."""
        counts = counts_to_balance(labels, len(self._names), self.balance)
        return 1.0 / counts[labels]

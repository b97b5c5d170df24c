"""Shares of classes in two domains: compared, and made equal by how often each image is drawn.

A translator learns the whole distribution of its target. If every second target image shows a
disease and every tenth source image does, a perfect one puts disease into healthy images: Cohen,
Luck and Honari 2018, arXiv:1805.08841.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance import UserError

_ALIKE = 0.02  # shares that differ by less are called alike


@dataclass(frozen=True)
class Shares:
    """How often each class comes in the two domains.

    Attributes:
        source: Share of each class, by name, of the source's images.
        target: The same of the target's.
    """

    source: dict[str, float]
    target: dict[str, float]

    @classmethod
    def of(cls, source: Sequence[str], target: Sequence[str]) -> "Shares":
        """Count the classes, one name for each image."""
        return cls(_shares(source), _shares(target))

    @property
    def largest_difference(self) -> float:
        """Between the two domains, over the classes; 0 to 1."""
        return max(
            abs(self.source.get(name, 0.0) - self.target.get(name, 0.0)) for name in self.names
        )

    @property
    def differ(self) -> bool:
        """Whether a translator would be taught to change how often a class comes."""
        return self.largest_difference >= _ALIKE

    @property
    def names(self) -> list[str]:
        """Of all classes of both."""
        return sorted({*self.source, *self.target})

    @property
    def in_words(self) -> str:
        """Each class with its share in both."""
        return "; ".join(
            f"{name}: {100 * self.source.get(name, 0):.1f} % of the source, "
            f"{100 * self.target.get(name, 0):.1f} % of the target"
            for name in self.names
        )

    @property
    def in_both(self) -> list[str]:
        """Classes that both domains have."""
        return sorted({*self.source} & {*self.target})

    @property
    def only_one_has(self) -> list[str]:
        """Classes that one domain lacks."""
        return sorted({*self.source} ^ {*self.target})


def _shares(names: Sequence[str]) -> dict[str, float]:
    return {name: number / len(names) for name, number in sorted(Counter(names).items())}


def matching_weights(
    source: Sequence[str], target: Sequence[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """How often to draw each image, so that both domains show the classes equally often.

    Classes that both have are shown with the shares that they have among themselves in the target;
    a class that one lacks is not shown at all. Within a class and domain all images come equally
    often.

    Args:
        source: Name of each source image's class.
        target: The same of the target images.

    Returns:
        (n,) weights of the source, and of the target; None where all images come equally often.

    Raises:
        UserError: They have no class in common.
    """
    counts = Counter(source), Counter(target)
    common = {*counts[0]} & {*counts[1]}
    if not common:
        raise UserError(
            "--data.class_shares matched: the two domains have no class in common (source: "
            f"{', '.join(sorted(counts[0]))}; target: {', '.join(sorted(counts[1]))}). If classes "
            "have other names there, --data.source_classes says which is which. To translate one "
            "class into another, name both: --data.source_label and --data.target_label."
        )
    weights = []
    for names, own in zip((source, target), counts, strict=True):
        wanted = {name: counts[1][name] / own[name] for name in common}
        each = np.array([wanted.get(name, 0.0) for name in names])
        weights.append(None if np.ptp(each) == 0 else each)
    return weights[0], weights[1]


def matching_subset(
    source: Sequence[str], target: Sequence[str], shown: Collection[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images that compare two domains class by class: as many of each class from both.

    Of the domain that has more of a class, evenly spread ones are taken.

    Args:
        source: Name of each source image's class.
        target: The same of the target images.
        shown: Classes that are compared.

    Returns:
        Indices of source and of target images, sorted, equally many; none where no class of
        `shown` is in both.
    """
    places: tuple[list[int], list[int]] = [], []
    for name in sorted(shown):
        own = [[i for i, one in enumerate(names) if one == name] for names in (source, target)]
        number = min(map(len, own))
        for chosen, indices in zip(places, own, strict=True):
            chosen += [indices[k * len(indices) // number] for k in range(number)]
    first, second = (np.array(sorted(chosen), np.int64) for chosen in places)
    return first, second

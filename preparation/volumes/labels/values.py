"""What the values of a source's masks mean, and what a person says they shall become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.pixel_checks import check_labels
from preparation.volumes.volume import KIDNEY_AND_TUMOUR, SkipVolume
from provenance import UserError


@dataclass(frozen=True)
class MaskValues:
    """The classes of a cache, and which values of the source's masks become them.

    Attributes:
        class_names: Names of the labels 0, 1, ...
        changes: (value in the source, label); other values stay as they are.
        declared: Name of each value that a mask may hold, where the source or a person has said
            them all; None: the labels themselves, and the values of `changes`.
    """

    class_names: tuple[str, ...] = KIDNEY_AND_TUMOUR
    changes: tuple[tuple[int, int], ...] = ()
    declared: tuple[tuple[int, str], ...] | None = None

    @classmethod
    def of(
        cls, label_map: Mapping[str, str], labels: Mapping[int, str] | None = None
    ) -> "MaskValues":
        """Read a label map: `3=0`, `3=kidney`, or `3=cyst` for a class of its own.

        Args:
            label_map: What values become.
            labels: The name of each value that masks hold, such as nnU-Net's dataset.json tells;
                None: 1 is kidney and 2 is tumour. Values of one name are one class, and a name
                that the map takes from all its values is none.

        Raises:
            UserError: A value is no whole number, a label has no name, or two values of `labels`
                have one name that no map gives them.
        """
        if labels is not None:
            return _declared(labels, _pairs(label_map))
        names, changes = list(KIDNEY_AND_TUMOUR), []
        for value, label in _pairs(label_map).items():
            if label.isdecimal() and int(label) >= len(names):
                raise UserError(
                    f"--label-map {value}={label}: label {label} has no name. Give the name of a "
                    f"class: {', '.join(names)}, or a new one, such as {value}=cyst."
                )
            name = names[int(label)] if label.isdecimal() else label.lower()
            name = "tumour" if name == "tumor" else name
            if name not in names:
                names.append(name)
            changes.append((value, names.index(name)))
        return cls(tuple(names), tuple(changes))

    def options(self) -> dict[str, Any]:
        """What a job's reader needs of it, as plain values."""
        return {"changes": self.changes, "declared": self.declared}


def _pairs(label_map: Mapping[str, str]) -> dict[int, str]:
    """A map as it was written, with its values as numbers."""
    pairs = {}
    for value, label in label_map.items():
        pair = f"--label-map {value}={label}"
        if not value.removeprefix("-").isdecimal():
            raise UserError(
                f"{pair}: {value!r} is no whole number; expected a value of the masks, such as "
                "3=0, 3=kidney or 3=cyst."
            )
        if not label or (not label.isdecimal() and not label.replace("_", "").isalnum()):
            raise UserError(f"{pair}: expected a label or a name of letters and digits.")
        pairs[int(value)] = label
    return pairs


def _declared(labels: Mapping[int, str], pairs: Mapping[int, str]) -> MaskValues:
    """The classes where the name of every value is known, and a map changes some."""
    names = dict(labels)
    for value, label in pairs.items():
        if label.isdecimal() and int(label) not in labels:
            raise UserError(
                f"--label-map {value}={label}: label {label} has no name. Give one that has: "
                f"{_in_words(labels)}; or a name."
            )
        names[value] = labels[int(label)] if label.isdecimal() else label.lower()
    if names[0] != labels[0]:
        raise UserError(f"--label-map 0={pairs[0]}: 0 is the background, and stays it.")
    for value, name in labels.items():
        others = [other for other in labels if other < value and labels[other] == name]
        if others and value not in pairs and others[0] not in pairs:
            raise UserError(
                f"the values {others[0]} and {value} are both called {name}. If they are one "
                f"class, say so with --label-map {value}={name}; else give one another name, as "
                f"in --label-map {value}={name}_2."
            )
    classes = tuple(dict.fromkeys(names[value] for value in sorted(names)))
    if len(classes) < 2:
        raise UserError("--label-map: makes everything background, so there is nothing to find.")
    changes = ((value, classes.index(name)) for value, name in sorted(names.items()))
    return MaskValues(
        classes,
        tuple((value, label) for value, label in changes if value != label),
        tuple(sorted(names.items())),
    )


def _in_words(labels: Mapping[int, str]) -> str:
    return ", ".join(f"{value} ({name})" for value, name in sorted(labels.items()))


def labels_of(
    mask: NDArray[Any],
    name: str,
    class_names: Sequence[str],
    options: Mapping[str, Any],
    held: set[int],
    said: str = "",
) -> NDArray[Any]:
    """The labels that the values of a mask mean.

    Args:
        mask: Of any shape, whole numbers.
        name: Of its file.
        class_names: Names of the labels 0, 1, ...
        options: See `MaskValues.options`.
        held: Takes in those of the changed values that the mask holds.
        said: What to say of how the values were read.

    Raises:
        SkipVolume: A value means nothing; names it.
    """
    declared = options["declared"]
    if declared is not None:
        names = dict(declared)
        if sum(np.count_nonzero(mask == value) for value in names) < mask.size:
            wrong = [int(value) for value in np.unique(mask) if value not in names][:5]
            raise SkipVolume(
                name,
                f"has label values {wrong}{said}, which nothing declares: expected only "
                f"{_in_words(names)}. Left out; say what each means with --label-map "
                f"{wrong[0]}={class_names[-1]} (or 0, or a new name), into another --out.",
            )
    labels = changed(mask, options["changes"], held)
    if declared is None:
        check_labels(labels, name, class_names, said)
    return labels


def changed(
    mask: NDArray[Any], changes: tuple[tuple[int, int], ...], held: set[int]
) -> NDArray[Any]:
    """Return a mask with its values changed, all at once: `1=2,2=1` swaps them.

    Args:
        mask: Of any shape.
        changes: See `MaskValues`.
        held: Takes in those of these values that the mask holds.
    """
    if not changes:
        return mask
    result = np.array(mask)
    for value, label in changes:
        there = mask == value
        if there.any():
            held.add(value)
            result[there] = label
    return result

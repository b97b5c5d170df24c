"""What the values of a source's masks mean, and what a person says they shall become."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.volume import KIDNEY_AND_TUMOUR
from provenance import UserError


@dataclass(frozen=True)
class MaskValues:
    """The classes of a cache, and which values of the source's masks become them.

    Attributes:
        class_names: Names of the labels 0, 1, ...
        changes: (value in the source, label); other values stay as they are.
    """

    class_names: tuple[str, ...] = KIDNEY_AND_TUMOUR
    changes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, label_map: Mapping[str, str]) -> "MaskValues":
        """Read a label map: `3=0`, `3=kidney`, or `3=cyst` for a class of its own.

        Raises:
            UserError: A value is no whole number, or a label has no name.
        """
        names, changes = list(KIDNEY_AND_TUMOUR), []
        for value, label in label_map.items():
            pair = f"--label-map {value}={label}"
            if not value.removeprefix("-").isdecimal():
                raise UserError(
                    f"{pair}: {value!r} is no whole number; expected a value of the masks, such as "
                    "3=0, 3=kidney or 3=cyst."
                )
            if label.isdecimal() and int(label) >= len(names):
                raise UserError(
                    f"{pair}: label {label} has no name. Give the name of a class: "
                    f"{', '.join(names)}, or a new one, such as {value}=cyst."
                )
            if not label or (not label.isdecimal() and not label.replace("_", "").isalnum()):
                raise UserError(f"{pair}: expected a label or a name of letters and digits.")
            name = names[int(label)] if label.isdecimal() else label.lower()
            name = "tumour" if name == "tumor" else name
            if name not in names:
                names.append(name)
            changes.append((int(value), names.index(name)))
        return cls(tuple(names), tuple(changes))

    def options(self) -> dict[str, Any]:
        """What a job's reader needs of it, as plain values."""
        return {"changes": self.changes}


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


def kidneys_alone_note(class_pixels: Iterable[Sequence[int]]) -> list[str]:
    """A sentence where masks mark one thing alone, which need not be the kidney.

    Args:
        class_pixels: Pixels of each label, of every slice of a cache without a label map.
    """
    counts = [sum(of_label) for of_label in zip(*class_pixels, strict=True)]
    if not counts[1] or any(counts[2:]):
        return []
    return [
        "no mask holds 2 (tumour), so all that is marked counts as kidney. If it marks tumours, "
        "pass --label-map 1=tumour, into another --out."
    ]


def account(label_map: Mapping[str, str], held: Collection[int]) -> list[str]:
    """Sentences: which classes a map has made, and which of its values no mask holds.

    Args:
        label_map: As given, without errors.
        held: Those of its values that masks hold.
    """
    lost = [value for value in label_map if int(value) not in held]
    new = enumerate(MaskValues.of(label_map).class_names)
    own = [f"{label} is {name}" for label, name in new if name not in KIDNEY_AND_TUMOUR]
    sentences = []
    if own:
        sentences.append(f"--label-map: new classes beside kidney and tumour: {', '.join(own)}.")
    if lost:
        pairs = ",".join(f"{value}={label_map[value]}" for value in lost)
        sentences.append(
            f"--label-map {pairs}: no mask that is used holds the value {' or '.join(lost)}; is it "
            "misspelt?"
        )
    return sentences

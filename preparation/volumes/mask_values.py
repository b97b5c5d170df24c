"""What the values of a source's masks mean, and what a person says they shall become."""

from collections.abc import Mapping
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


def changed(mask: NDArray[Any], changes: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """Return a mask with its values changed, all at once: `1=2,2=1` swaps them."""
    if not changes:
        return mask
    result = np.array(mask)
    for value, label in changes:
        result[mask == value] = label
    return result

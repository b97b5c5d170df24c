"""Whom and what weights, or images made with them, have learnt from.

No test image may be among it. So it goes from a cache into the checkpoint that was trained on it,
from there into the manifest of a synthetic set, and on into whatever is trained with the set.
Patients are compared by their names, images by hashes of their source's pixels, which do not
depend on names or salts.

Every room may import it.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patient_names import PatientNames
from provenance import UserError

PixelBits = NDArray[np.uint64]
"""First 64 bits of SHA-256 hashes of pixels; 0 stands for none.

By chance one of n images agrees with one of m others with probability n m / 2^64: 100,000 with
100,000 others once in 2 billion comparisons of such sets.
"""


def _none() -> PixelBits:
    return np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Whom and what something has learnt from.

    Attributes:
        patients: Their names.
        items: Ids of images, where images were split and not patients; None where it is not told.
        names: The ways in which the patients are named: several, where several caches taught it.
        pixels: (n,) sorted, of images and whole volumes; see `PixelBits`.
        has_all_pixels: False where some of it comes from data without hashes.
    """

    patients: frozenset[str] = frozenset()
    items: frozenset[str] | None = None
    names: frozenset[PatientNames] = frozenset()
    pixels: PixelBits = field(default_factory=_none)
    has_all_pixels: bool = True

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Knowledge":
        """Back from `plain`. Of an earlier version's it holds names alone."""
        patients = frozenset(plain.get("training_patients") or ())
        items = plain.get("training_items")
        told = plain.get("patient_names")
        names = [PatientNames.guessed(patients)] if patients else []
        if told is not None:
            names = [PatientNames.of_plain(one) for one in told]
        return cls(
            patients,
            None if items is None else frozenset(items),
            frozenset(names),
            unpacked(plain.get("pixels", "")),
            not plain.get("without_pixels", bool(patients or items) and told is None),
        )

    def plain(self) -> dict[str, Any]:
        """Plain values, for a manifest or a checkpoint: eleven characters an image, and names."""
        plain: dict[str, Any] = {"training_patients": sorted(self.patients)}
        if self.items is not None:
            plain["training_items"] = sorted(self.items)
        if self.names:
            plain["patient_names"] = [one.plain() for one in sorted(self.names, key=repr)]
        if len(self.pixels):
            plain["pixels"] = packed(self.pixels)
        if not self.has_all_pixels:
            plain["without_pixels"] = True
        return plain

    def __or__(self, other: "Knowledge") -> "Knowledge":
        """What both know together."""
        told = [one.items for one in (self, other) if one.items is not None]
        return Knowledge(
            self.patients | other.patients,
            frozenset().union(*told) if told else None,
            self.names | other.names,
            np.union1d(self.pixels, other.pixels),
            self.has_all_pixels and other.has_all_pixels,
        )

    def without(self, other: "Knowledge") -> "Knowledge":
        """What the other one does not know."""
        patients = self.patients - other.patients
        items = None if other.items is None else (self.items or frozenset()) - other.items
        nobody = not patients and not items
        return Knowledge(
            patients,
            items,
            frozenset() if nobody else self.names,
            np.setdiff1d(self.pixels, other.pixels),
            self.has_all_pixels or nobody,
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """Of the patients; see `keys_of`."""
        return frozenset(keys_of(self.patients, self.names))

    def knows_patients(self, patients: NDArray[np.str_], named: PatientNames) -> NDArray[np.bool_]:
        """(n,) whether each of these names is that of a known patient."""
        different, inverse = np.unique(patients, return_inverse=True)
        known = [key in self.keys for key in keys_of(different.tolist(), [named])]
        return np.array(known, bool)[inverse]

    def knows_items(self, ids: NDArray[np.str_]) -> NDArray[np.bool_]:
        """(n,) whether each of these images is known, by its id."""
        return np.isin(ids, sorted(self.items or ()))

    def knows_pixels(self, pixels: PixelBits) -> NDArray[np.bool_]:
        """(n,) whether any of the (n, K) hashes of each image is known."""
        known: NDArray[np.bool_] = np.isin(pixels, self.pixels) & (pixels > 0)
        return np.logical_or.reduce(known, axis=1)

    def not_compared(
        self, what: str, where: str, named: PatientNames, has_all_pixels: bool, in_common: bool
    ) -> str | None:
        """A sentence about what cannot be compared with a cache; None where both can.

        Args:
            what: What has this knowledge, as the person named it.
            where: The cache.
            named: How the cache names its patients.
            has_all_pixels: Whether it has hashes of all its pixels.
            in_common: Whether some name of it is known, so that names are surely comparable.
        """
        strange = [one for one in self.names if not one.comparable(named)]
        missing = [
            name
            for name, there in ((what, self.has_all_pixels), (where, has_all_pixels))
            if not there
        ]
        by_name = None if in_common or not strange else _why(strange[0], named)
        by_pixels = f"{' and '.join(missing)} {'has' if len(missing) == 1 else 'have'} no hashes"
        if by_name is None and not missing:
            return None
        if not missing:
            return (
                f"{what}: was compared with {where} by pixels alone, since {by_name}. Copies that "
                "were scaled, windowed or compressed with loss are not found. With one "
                "--patient-salt for both, patients are compared too."
            )
        if by_name is None:
            return (
                f"{what}: was compared with {where} by the names of patients alone, since "
                f"{by_pixels} of pixels. The same image under another name is not found. Prepare "
                "the data with this version, into another --out, to compare pixels too."
            )
        return (
            f"{what}: could not be compared with {where}: {by_name}, and {by_pixels} of pixels. "
            "Whether they share patients or images is not known, and a leak would not be seen. "
            "Prepare the data of both with this version, into another --out, and train again; or "
            "be sure from elsewhere that they are other people."
        )


def _why(theirs: PatientNames, ours: PatientNames) -> str:
    """Why names of two kinds cannot be compared."""
    if theirs.named_by != ours.named_by:
        return "one names patients as their source does, and the other by a salt of its own"
    if theirs.salt_check is None or ours.salt_check is None:
        return "which --patient-salt made the names of patients is not recorded"
    return "their patients are named with different salts (--patient-salt)"


def keys_of(names: Iterable[str], named: Iterable[PatientNames]) -> list[str]:
    """For each name what is equal for equal people; see `PatientNames.key`."""
    ways = sorted(named, key=lambda one: (one.named_by != "source", one.ids))
    way = ways[0] if ways else PatientNames("source")
    return [way.key(name) for name in names]


def packed(pixels: PixelBits) -> str:
    """Hashes as text: sorted, 8 bytes each, base64."""
    return base64.b64encode(np.unique(pixels[pixels > 0]).astype("<u8").tobytes()).decode()


def unpacked(text: str) -> PixelBits:
    """Back from `packed`.

    Raises:
        UserError: It is no such text.
    """
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)
    except (binascii.Error, ValueError, TypeError) as error:
        raise UserError(
            f"The list of known pixels is damaged ({error}). Use the file as it was written."
        ) from error

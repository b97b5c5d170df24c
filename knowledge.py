"""Whom and what weights, or images made with them, have learnt from.

No test image may be among it. So it goes from a cache into the checkpoint that was trained on it,
from there into the manifest of a synthetic set, and on into whatever is trained with the set.
Patients are compared by their names, images by hashes of their source's pixels, which do not
depend on names or salts.

Every room may import it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patient_names import PatientNames, key_of, why_not_comparable
from pixel_bits import PixelBits, packed, unpacked
from provenance import UserError


def _none() -> PixelBits:
    return np.empty(0, np.uint64)


class NamedImages(Protocol):
    """What a prepared cache tells of its N images."""

    root: Path
    ids: NDArray[np.str_]
    patient_ids: NDArray[np.str_]

    @property
    def patient_names(self) -> PatientNames:
        """How its patients are named."""
        ...

    @property
    def pixel_hashes(self) -> PixelBits | None:
        """(N, K) hashes of each image; None where there are none."""
        ...

    @property
    def has_all_pixels(self) -> bool:
        """Whether every image has its hashes."""
        ...


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Whom and what something has learnt from.

    Attributes:
        patients: Their names.
        items: Ids of images, where images were split and not patients; None where it is not told of
            all.
        names: The ways in which the patients are named: several, where several caches taught it.
        pixels: (n,) sorted, of images and whole volumes; see `PixelBits`.
        has_all_pixels: False where some of it comes from data without hashes.
        of_unknown: Some of it was learnt from nobody knows whom, through a synthetic set whose
            generator's training data are not known.
    """

    patients: frozenset[str] = frozenset()
    items: frozenset[str] | None = frozenset()
    names: frozenset[PatientNames] = frozenset()
    pixels: PixelBits = field(default_factory=_none)
    has_all_pixels: bool = True
    of_unknown: bool = False

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Knowledge":
        """Back from `plain`. Of an earlier version's it holds names alone.

        Raises:
            UserError: It is nothing that `plain` gives, so that nobody can say who is known.
        """
        if not isinstance(plain, Mapping):
            raise _damaged("whom it has learnt from", plain)
        patients = frozenset(_texts(plain.get("training_patients"), "training_patients"))
        items = plain.get("training_items", None if patients else ())
        if items is not None:
            items = _texts(items, "training_items")
        told = plain.get("patient_names")
        if told is not None and not isinstance(told, list | tuple):
            raise _damaged("patient_names", told)
        names = [PatientNames.guessed(patients)] if patients else []
        if told is not None:
            names = [PatientNames.of_plain(one) for one in told]
        return cls(
            patients,
            None if items is None else frozenset(items),
            frozenset(names),
            unpacked(plain.get("pixels", "")),
            not plain.get("without_pixels", bool(patients) and told is None),
            bool(plain.get("of_unknown", False)),
        )

    def plain(self) -> dict[str, Any]:
        """Plain values, for a manifest or a checkpoint: eleven characters an image, and names."""
        plain: dict[str, Any] = {"training_patients": sorted(self.patients)}
        if self.items or (self.items is not None and self.patients):
            plain["training_items"] = sorted(self.items)
        if self.names:
            plain["patient_names"] = [one.plain() for one in sorted(self.names, key=repr)]
        if len(self.pixels):
            plain["pixels"] = packed(self.pixels)
        if not self.has_all_pixels:
            plain["without_pixels"] = True
        if self.of_unknown:
            plain["of_unknown"] = True
        return plain

    def __or__(self, other: "Knowledge") -> "Knowledge":
        """What both know together."""
        return Knowledge(
            self.patients | other.patients,
            None if self.items is None or other.items is None else self.items | other.items,
            self.names | other.names,
            np.union1d(self.pixels, other.pixels),
            self.has_all_pixels and other.has_all_pixels,
            self.of_unknown or other.of_unknown,
        )

    def without(self, other: "Knowledge") -> "Knowledge":
        """What the other one does not know."""
        patients = self.patients - other.patients
        items = (self.items or frozenset()) - (other.items or frozenset())
        nobody = not patients and not items
        return Knowledge(
            patients,
            None if self.items is None and not nobody else items,
            frozenset() if nobody else self.names,
            np.setdiff1d(self.pixels, other.pixels),
            self.has_all_pixels or nobody,
            self.of_unknown,
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """Of the patients; see `key_of`."""
        return frozenset(map(key_of, self.patients))

    def overlap(self, cache: NamedImages, by_item: bool = False) -> "Overlap":
        """Which images of a cache are known.

        Args:
            cache: To compare with.
            by_item: Compare images by their ids, and not patients.
        """
        if by_item:
            by_name = np.isin(cache.ids, sorted(self.items or ()))
        else:
            different, inverse = np.unique(cache.patient_ids, return_inverse=True)
            keys = map(key_of, different.tolist())
            by_name = np.array([key in self.keys for key in keys], bool)[inverse]
        pixels = cache.pixel_hashes
        by_pixels: NDArray[np.bool_] = np.zeros(len(by_name), bool)
        if pixels is not None and len(self.pixels):
            by_pixels = np.any(np.isin(pixels, self.pixels) & (pixels > 0), axis=1)
        both: NDArray[np.bool_] = by_name | by_pixels
        if not by_item:
            both = np.isin(cache.patient_ids, np.unique(cache.patient_ids[both]))
        return Overlap(by_name, by_pixels, both)

    def not_compared(self, what: str, cache: NamedImages) -> "Gap | None":
        """What of this cannot be compared with a cache.

        None where both names and pixels can, or where the cache names everybody who is known.

        Args:
            what: What has this knowledge, as the person named it.
            cache: To compare with.
        """
        if self.of_unknown:
            return Gap(
                False,
                False,
                f"{what}: has learnt from images of which nobody has said whose they are (a "
                "synthetic set that was prepared with --trained-on unknown). Whether it knows "
                f"patients or images of {cache.root} is not known, and a leak would not be "
                "detected. Find out what the set's generator was trained on, and say so with "
                "--trained-on.",
            )
        theirs = {*map(key_of, np.unique(cache.patient_ids).tolist())}
        if self.keys <= theirs:
            return None
        strange = [one for one in self.names if not one.comparable(cache.patient_names)]
        one_salt = bool(self.keys & theirs)  # also one that nobody recorded: it made the same name
        if one_salt:
            strange = [one for one in strange if not one.same_ids(cache.patient_names)]
        missing = [
            str(one)
            for one, has_all in ((what, self.has_all_pixels), (cache.root, cache.has_all_pixels))
            if not has_all
        ]
        if not strange and not missing:
            return None
        by_name = why_not_comparable(strange, cache.patient_names, one_salt) if strange else None
        return Gap(not strange, not missing, _on_a_gap(what, cache.root, by_name, missing))


@dataclass(frozen=True)
class Gap:
    """What could not be compared.

    Attributes:
        by_name: Patients were compared by their names.
        by_pixels: Images were compared by their pixels.
        sentence: What was not, why, and what to do.
    """

    by_name: bool
    by_pixels: bool
    sentence: str


@dataclass(frozen=True, eq=False)
class Overlap:
    """Which images of a cache somebody knows; (N,) each, in the order of the cache.

    Attributes:
        by_name: The patient, or the image, has a known name.
        by_pixels: The image, or its volume, has known pixels.
        known: One of the two; where patients are compared, every image of such a patient.
    """

    by_name: NDArray[np.bool_]
    by_pixels: NDArray[np.bool_]
    known: NDArray[np.bool_]


def _on_a_gap(
    what: str, root: Path, by_name: tuple[str, str] | None, without_pixels: Sequence[str]
) -> str:
    """A sentence on what was not compared, why, and what to do.

    Args:
        what: What has the knowledge, as the person named it.
        root: Of the cache that it was compared with.
        by_name: See `why_not_comparable`; None: the names were compared.
        without_pixels: Which of the two have no hashes of pixels.
    """
    has = "has" if len(without_pixels) == 1 else "have"
    no_hashes = f"{' and '.join(without_pixels)} {has} no hashes of pixels"
    if by_name is None:
        return (
            f"{what}: was compared with {root} by the names of patients alone, since {no_hashes}. "
            "The same image under another name is not found. Prepare the data with this version, "
            "into another --out, to compare pixels too."
        )
    reason, remedy = by_name
    if without_pixels:
        return (
            f"{what}: could not be compared with {root}: {reason}, and {no_hashes}. Whether they "
            "share patients or images is not known, and a leak would not be detected. Prepare the "
            "data of both with this version, into another --out, and train again; or be sure from "
            "elsewhere that they are other people."
        )
    return (
        f"{what}: was compared with {root} by pixels alone, since {reason}. Copies that were "
        f"scaled, windowed or compressed with loss are not found. {remedy}"
    )


def _texts(value: Any, name: str) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise _damaged(name, value)
    texts = list(value)
    if not all(isinstance(one, str) for one in texts):
        raise _damaged(name, value)
    return texts


def _damaged(name: str, value: Any) -> UserError:
    return UserError(
        f"The list of known patients is damaged: {name} is a {type(value).__name__}, expected what "
        "a training or generate.py wrote. Use the file as it was written."
    )

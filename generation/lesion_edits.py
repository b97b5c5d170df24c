"""What is done to a slice to put a lesion in, or to take all of its lesions out."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.slice_cache import SliceCache, SliceItem
from generation.slices import usable_label_maps
from lightning_modules import LesionInfilling
from lightning_modules.conditional.lesion_placement import (
    Labels,
    Pixels,
    dilated,
    healthy_parts,
    parts_of,
    shapes_of,
)
from lightning_modules.conditional.windows import window_of
from lightning_modules.loading import held_out_of
from lightning_modules.step.seeds import derived_seed
from provenance import UserError

Wish = Literal["put", "remove"]
Into = Literal["healthy", "any"]
_TRIES = 20  # places that are drawn for a lesion in a slice


@dataclass(frozen=True)
class Edit:
    """What is done to a slice.

    Attributes:
        item: The slice.
        regions: (H, W) each; they are painted one after the other.
        wish: (H, W) its new label map.
        lender: Whose lesion's shape was put in; None where lesions were taken out.
    """

    item: SliceItem
    regions: tuple[Pixels, ...]
    wish: Labels
    lender: SliceItem | None = None

    @property
    def changed(self) -> Pixels:
        """(H, W) where the slice may change."""
        changed: Pixels = np.any(np.stack(self.regions), axis=0)
        return changed


@dataclass(frozen=True)
class Lenders:
    """Shapes of lesions, and the slice that each is from."""

    cache: SliceCache
    shapes: Sequence[tuple[Pixels, SliceItem]]

    @classmethod
    def find(
        cls,
        own: SliceCache,
        labels: Path | None,
        module: LesionInfilling,
        record: dict[str, Any],
        patients: frozenset[str],
    ) -> "Lenders":
        """Lesions of a cache, never of a patient who is held out from the generator.

        Args:
            own: The generator's own data.
            labels: Another cache; None takes the own training slices.
            module: The generator.
            record: Of its checkpoint.
            patients: Of the own training slices that may be used.

        Raises:
            UserError: Other classes, or no shape.
        """
        name = module.class_names[module.lesion]
        source = own if labels is None else SliceCache.open(labels)
        if source.class_names != list(module.class_names):
            raise UserError(
                f"{source.root}: its labels are {', '.join(source.class_names)}, but the generator "
                f"was trained on {', '.join(module.class_names)}. Give label maps of these classes."
            )
        held_out = None if labels is None else held_out_of(record)
        if held_out is not None and (gap := held_out.not_compared("the held-out data", source)):
            print(gap.sentence, file=sys.stderr)
        usable = usable_label_maps(source, held_out, record["split"]["by"], name)
        if labels is None:
            usable = [item for item in usable if item.patient_id in patients]
        shapes = [
            (shape, item)
            for item in usable
            for shape in shapes_of([source.mask(item)], module.lesion)
        ]
        if not shapes:
            raise UserError(
                f"{source.root}: no {name} is of a dozen pixels or more, so none has a shape. "
                "Prepare larger images, or give other --labels."
            )
        return cls(source, shapes)


class Edits:
    """Draws what is done to a slice, from its seed alone.

    Args:
        cache: Of the slices.
        module: The generator.
        patients: Whose training slices may be used.
        lenders: Of shapes that are put in; None: lesions are taken out.
        into: "healthy" slices, which hold no lesion, or "any".
    """

    def __init__(
        self,
        cache: SliceCache,
        module: LesionInfilling,
        patients: frozenset[str],
        lenders: Lenders | None,
        into: Into,
    ) -> None:
        self._cache, self._module, self._patients = cache, module, patients
        self._lenders, self._into = lenders, into

    def usable(self) -> list[SliceItem]:
        """Training slices to which it can be done.

        Raises:
            UserError: There are none.
        """
        module = self._module
        name, organ = module.class_names[module.lesion], module.class_names[module.organ]
        items = self._cache.select("train", foreground_only=True)
        items = [item for item in items if item.patient_id in self._patients]
        if self._lenders is None:
            items = [item for item in items if item.class_pixels[module.lesion]]
            kind, why = f"with {name}", "has all of it"
        elif self._into == "healthy":
            items = [item for item in items if not item.class_pixels[module.lesion]]
            kind, why = f"without {name}", f"has a part of the {organ} that a {name} fits into"
        else:
            kind, why = "of any kind", f"has a healthy part of the {organ} that a {name} fits into"
        usable = [item for item in items if self._drawn(item, 0) is not None]
        within = f"{why} within the generator's window of {module.window} px"
        if not usable:
            into = " --into any takes slices with one elsewhere too." if "without" in kind else ""
            raise UserError(
                f"{self._cache.root}: of {len(items)} training slices {kind}, none {within}.{into}"
            )
        if left := len(items) - len(usable):
            print(
                f"note: {left} of {len(items)} training slices {kind} are left out: none of them "
                f"{within}.",
                file=sys.stderr,
            )
        return usable

    def edit(self, item: SliceItem, seed: int) -> Edit:
        """What is done to a usable slice; where its seed finds no place, a seed that does."""
        found = self._drawn(item, seed) or self._drawn(item, 0)
        assert found is not None  # or it were not usable
        return found

    def _drawn(self, item: SliceItem, seed: int) -> Edit | None:
        labels, module = self._cache.mask(item), self._module
        if self._lenders is None:
            lesion = np.equal(labels, module.lesion)
            regions = tuple(dilated(part, module.margin) for part in parts_of(lesion, smallest=1))
            wish = np.where(lesion, module.organ, labels).astype(np.uint8)
            return Edit(item, regions, wish) if all(map(self._fits, regions)) else None
        random = np.random.default_rng(derived_seed(seed, "lesion", item.id))
        parts = healthy_parts(labels, module.organ, module.lesion)
        others = [one for one in self._lenders.shapes if one[1].patient_id != item.patient_id]
        for _ in range(_TRIES if parts and others else 0):
            shape, lender = others[int(random.integers(len(others)))]
            put = module.put(parts, random, [shape])
            if put is not None and self._fits(region := dilated(put, module.margin)):
                wish = np.where(put, module.lesion, labels).astype(np.uint8)
                return Edit(item, (region,), wish, lender)
        return None

    def _fits(self, region: Pixels) -> bool:
        return bool(region[window_of(region, self._module.window)].sum() == region.sum())

"""A frozen classifier or segmenter that is asked for the labels of images, and what it finds.

A classifier finds the class that it thinks most probable. A segmenter finds a structure where the
Dice of what it marks with the label map reaches a bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import Original
from lightning_modules import Classifier, Segmenter
from lightning_modules.loading import load_module
from provenance import UserError


@dataclass(frozen=True)
class AskedModel:
    """A model that is asked, on its device.

    Attributes:
        module: A Classifier or a Segmenter, frozen.
        record: Of its checkpoint.
        class_names: What it tells apart; of a segmenter the background first.
        device: Where it computes.
    """

    module: Any
    record: dict[str, Any]
    class_names: list[str]
    device: torch.device

    @classmethod
    def open(cls, checkpoint: Path, made: SyntheticSet, device: torch.device) -> "AskedModel":
        """The model of a checkpoint, for the images of a set.

        Raises:
            UserError: Another kind of model, or one of another size, kind of images or classes.
        """
        module, record = load_module(Path(checkpoint))
        if not isinstance(module, Classifier | Segmenter):
            raise UserError(
                f"{checkpoint}: holds a {type(module).__name__}, expected a Classifier or a "
                "Segmenter."
            )
        names = [str(name) for name in record.get("class_names") or ()]
        asked = cls(module.to(device), record, names, device)
        asked._check_fits(made, checkpoint)
        return asked

    @property
    def kind(self) -> str:
        """What it is, in a sentence."""
        return "segmenter" if self.segments else "classifier"

    @property
    def segments(self) -> bool:
        """Whether it marks structures in slices; else it tells classes of films."""
        return isinstance(self.module, Segmenter)

    def says(self, images: Sequence[Original]) -> NDArray[np.int64]:
        """Its classes: (N,) of films, (N, H, W) of slices."""
        channels = 1
        if not self.segments:
            channels = int(self.record["data"]["init_args"].get("channels", 1))
        batch = torch.stack([torch.from_numpy(one.unit(channels)) for one in images])
        with torch.inference_mode():
            logits = self.module(batch.to(self.device))
        said: NDArray[np.int64] = logits.argmax(dim=1).cpu().numpy()
        return said

    def found(self, said: NDArray[Any], image: Original, found_at: float | None) -> dict[str, Any]:
        """What it finds of an image's labels, by keys such as `found:tumour`.

        Args:
            said: What it says of the image.
            image: The image, with its labels.
            found_at: Smallest Dice at which a structure of a slice counts as found; None of films.

        Returns:
            1, 0, or None where the image does not count. `added:...`: whether a class is said, or
            a structure marked, that is not there. Of a slice also `dice:...`.
        """
        if not self.segments:
            return found_in_film(image.label, self.class_names[int(said)], self.class_names)
        # Of slices, as `open` and `Asking.dice_from` saw to.
        assert image.read_mask is not None
        assert found_at is not None
        return found_in_slice(image.read_mask(), said, self.class_names, found_at)

    def _check_fits(self, made: SyntheticSet, checkpoint: Path) -> None:
        size, names = self.record.get("image_size"), self.class_names
        if size is not None and size != made.image_size:
            raise UserError(
                f"{checkpoint}: was trained at {size} px, and {made.root} has {made.image_size} "
                "px. Give a model of that size."
            )
        with_masks = all(item.class_pixels for item in made.items)
        if self.segments != with_masks:
            kinds = {True: "slices", False: "films"}
            raise UserError(
                f"{checkpoint}: is for {kinds[self.segments]}, and {made.root} holds "
                f"{kinds[with_masks]}. Give another model."
            )
        theirs = [str(name) for name in made.manifest.get("class_names") or ()]
        labels = {item.label for item in made.items if item.label is not None}
        if (self.segments and theirs != names) or not labels <= {*names}:
            raise UserError(
                f"{checkpoint}: tells apart {', '.join(names)}, but {made.root} is labelled "
                f"{', '.join(theirs if self.segments else sorted(labels))}. Give a model of these "
                "classes."
            )


def found_in_film(label: str | None, said: str, names: Sequence[str]) -> dict[str, Any]:
    """What a classifier finds, and adds, in a film of this class; see `AskedModel.found`.

    Args:
        label: The film's class; None without.
        said: What it says.
        names: Of the classes.
    """
    found: dict[str, Any] = {}
    for name in names:
        found[f"found:{name}"] = int(said == name) if label == name else None
        found[f"added:{name}"] = None if label in (name, None) else int(said == name)
    return found


def found_in_slice(
    mask: NDArray[Any], marked: NDArray[Any], names: Sequence[str], found_at: float
) -> dict[str, Any]:
    """What a segmenter finds, and adds, in a slice with this label map; see `AskedModel.found`.

    Args:
        mask: (H, W) labels, 0 for the background.
        marked: (H, W) what it marks.
        names: Of the labels.
        found_at: Smallest Dice.
    """
    found: dict[str, Any] = {}
    for label, name in enumerate(names[1:], start=1):
        there, marks = mask == label, marked == label
        agreement, here = dice(there, marks), bool(there.any())
        found[f"dice:{name}"] = round(agreement, 4) if here else None
        found[f"found:{name}"] = int(agreement >= found_at) if here else None
        found[f"added:{name}"] = None if here else int(marks.any())
    return found


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice of two masks; 0 where both are empty."""
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 0.0

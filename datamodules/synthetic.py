"""Synthetic sets on disk, and the check that one may join a training split.

A set is a folder: `images/<id>.png` (8-bit grey), `masks/<id>.png` (8-bit labels), `manifest.json`
(per image: seed, where its label map came from; per set: the generator's checkpoint and the
patients it was trained on) and a card, `README.md`, which says that no image is a patient's.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.cache import Cache
from provenance import UserError, read_json, write_json_atomic, write_text_atomic

FORMAT = "understudy-synthetic"


@dataclass(frozen=True)
class SyntheticItem:
    """One synthetic image.

    Attributes:
        id: File name without its ending.
        seed: Of the noise that made it.
        label_item_id: The cache item whose label map was the condition.
        label_patient_id: That label map's patient.
        class_pixels: Pixels of each class in the label map.
    """

    id: str
    seed: int
    label_item_id: str
    label_patient_id: str
    class_pixels: tuple[int, ...]


class SyntheticSet:
    """A finished synthetic set, opened for reading.

    Attributes:
        root: Its folder.
        manifest: The parsed `manifest.json`.
        items: Its images.
    """

    def __init__(self, root: Path, manifest: dict[str, Any]) -> None:
        self.root = root
        self.manifest = manifest
        self.items = [
            SyntheticItem(**{**entry, "class_pixels": tuple(entry["class_pixels"])})
            for entry in manifest["items"]
        ]

    @classmethod
    def open(cls, root: str | Path) -> "SyntheticSet":
        """Open a set.

        Raises:
            UserError: No finished synthetic set there.
        """
        root = Path(root)
        if not (root / "manifest.json").is_file():
            raise UserError(
                f"{root}: is not a finished synthetic set (no manifest.json). Make one with "
                "generate.py; an interrupted generate.py goes on when it is started again."
            )
        manifest = read_json(root / "manifest.json")
        if manifest.get("format") != FORMAT:
            raise UserError(f"{root}: its manifest.json is not that of a synthetic set.")
        return cls(root, manifest)

    def image(self, item: SyntheticItem) -> np.ndarray:
        """(H, W) uint8 grey, on the scale of the cache that the generator learnt from."""
        return _read_png(self.root / "images" / f"{item.id}.png")

    def mask(self, item: SyntheticItem) -> np.ndarray:
        """(H, W) uint8 labels."""
        return _read_png(self.root / "masks" / f"{item.id}.png")


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error}). The synthetic set is damaged; make it again with "
            "the command in its README.md."
        ) from error


def check_no_leak(synthetic: SyntheticSet, cache: Cache) -> None:
    """Refuse a set that carries knowledge of a validation or test patient into training.

    Two ways in: the generator was trained on such a patient, or the label map was drawn on one.

    Raises:
        UserError: Names the patients, or says that the set's origin is unknown.
    """
    split = cache.manifest["split"]
    by_slice = split["by"] == "slice"
    origin = synthetic.manifest.get("generator", {})
    trained_on = origin.get("training_items" if by_slice else "training_patients")
    if trained_on is None:
        raise UserError(
            f"{synthetic.root}: does not say what its generator was trained on"
            + (" by slice, while this cache is split by slice" if by_slice else "")
            + ". It cannot be shown to be free of test data, so it does not join the training."
        )
    held_out = {
        (item.id if by_slice else item.patient_id)
        for item in cache.items
        if item.split in ("val", "test")
    }
    labels = {
        (item.label_item_id if by_slice else item.label_patient_id) for item in synthetic.items
    }
    unit = "slice" if by_slice else "patient"
    for leaked, how in (
        (held_out & set(trained_on), f"its generator was trained on this {unit}"),
        (held_out & labels, f"its label maps were drawn on this {unit}"),
    ):
        if leaked:
            named = ", ".join(sorted(leaked)[:5]) + (", ..." if len(leaked) > 5 else "")
            raise UserError(
                f"{synthetic.root}: leaks {len(leaked)} {unit}(s) of the validation or test split "
                f"of {cache.root} ({how}: {named}). The run stops, because its test result would "
                "be worthless. Train the generator on this cache's training split, and generate "
                "from label maps of other patients."
            )


def finish_synthetic_set(
    root: Path, items: list[SyntheticItem], manifest: dict[str, Any], command: str
) -> None:
    """Write the card and, last, the manifest that makes the set complete."""
    origin = manifest["generator"]
    write_text_atomic(
        root / "README.md",
        f"""# Synthetic images: {len(items)} of {manifest["dataset"]}

**Every image here was made by a neural network. None is a picture of a patient.**

| | |
|---|---|
| images | {len(items)}, {manifest["image_size"]}x{manifest["image_size"]}, 8-bit grey |
| labels | {", ".join(f"{i} {name}" for i, name in enumerate(manifest["class_names"]))} |
| generator | checkpoint SHA-256 `{origin["checkpoint_sha256"]}` |
| trained on | {len(origin["training_patients"])} patients, {origin["images_seen"]} images seen |
| label maps | {len({item.label_item_id for item in items})} of \
{len({item.label_patient_id for item in items})} patients |
| seed | {manifest["seed"]} |
| software | Understudy {manifest["versions"]["understudy"]} |

Made by

```
{command}
```

Use: to join the *training* split of a model whose validation and test patients the generator
never saw (`train.py` checks it). Not for diagnosis, not as evidence about any person or disease.
A generator can reproduce images that it was trained on; whether this one does was not measured
here, so treat the set with the same care as the data behind it.
""",
    )
    write_json_atomic(
        root / "manifest.json",
        {"format": FORMAT, **manifest, "items": [asdict(item) for item in items]},
    )

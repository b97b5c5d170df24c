"""Whether a segmenter finds the lesions that a generator painted, and misses those it took out.

The segmenter was trained on real slices. What it finds in a painted lesion means little by itself:
so the same pixels of the slices before are looked at too, and real lesions of held-out patients.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.slice_cache import SliceCache
from datamodules.slice_dataset import unit_image
from datamodules.synthetic import SyntheticSet
from device import Device, chosen_device
from display.colours import overlay
from display.png import save_png
from display.sheet import sheet
from evaluation.before_after import before_after
from evaluation.figures import figures_of
from evaluation.folder import RESULT, write_csv
from gates.judge import judged
from gates.names import OF_LESIONS
from gates.rules import parse_rules
from lightning_modules import Segmenter
from lightning_modules.loading import data_root, load_module
from metrics.intervals import patient_interval
from output_folder import check_folder
from provenance import UserError, library_versions, sha256_of, write_json_atomic

_FILES = ("images.csv", "found.png")
_BATCH, _SHOWN, _FEWEST = 8, 8, 12
Row = dict[str, Any]


def evaluate_lesions(
    checkpoint: Path,
    synthetic: Path,
    out: Path,
    root: Path | None = None,
    device: Device = "auto",
    require: str | None = None,
) -> dict[str, Any]:
    """Measure whether a segmenter finds the lesions that generate.py painted into slices.

    Also for sets in which lesions were removed. Writes evaluation.json, images.csv (a row for each
    image) and found.png, which shows slices of patients.

    Args:
        checkpoint: Checkpoint of a segmenter that was trained on real slices only.
        synthetic: A synthetic set of a LesionInfilling.
        out: Folder for the results.
        root: The cache of the slices. Default: the one on which the segmenter was trained.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        require: Rules for the numbers, such as "lesion_found>=0.5".

    Returns:
        The content of evaluation.json. Shares of a lesion's pixels that the segmenter calls one, as
        means over images with intervals over patients: lesion_found in the painted image,
        lesion_found_before of the same pixels of the slice, lesion_found_change the first minus
        the second, image by image, lesion_found_real of held-out
        patients' real lesions. Of a set without lesions the first one should be small.

    Raises:
        UserError: No segmenter, another kind of set, or slices of another cache.
    """
    rules = parse_rules(require, OF_LESIONS)
    module, record = load_module(Path(checkpoint))
    if not isinstance(module, Segmenter):
        raise UserError(f"{checkpoint}: holds a {type(module).__name__}; give a segmenter's.")
    made = SyntheticSet.open(synthetic)
    painted = made.manifest.get("painted")
    if painted is None:
        raise UserError(
            f"{synthetic}: no lesion was painted into real slices of it. Give a set that "
            "generate.py made with a LesionInfilling; others are compared by evaluate.py images."
        )
    if "also_seen" in record and record["also_seen"].get("training_patients"):
        print(
            f"note: {checkpoint}: was trained with synthetic images too, so what it finds is not "
            "what one of real slices would find.",
            file=sys.stderr,
        )
    cache = SliceCache.open(root or data_root(Path(checkpoint), record, "--root"))
    if cache.class_names != list(module.class_names) or cache.image_size != made.image_size:
        raise UserError(
            f"{cache.root}: slices of {cache.image_size} px with {', '.join(cache.class_names)}, "
            f"the set's have {made.image_size} px, and the segmenter tells apart "
            f"{', '.join(module.class_names)}. Give the cache and a segmenter of the set's slices."
        )
    identity = {
        "task": "lesions",
        "checkpoint_sha256": sha256_of(Path(checkpoint)),
        "synthetic_sha256": made.content_sha256,
        "split_id": cache.split_id,
    }
    check_folder(Path(out), RESULT, identity, "evaluation", _FILES)
    target = chosen_device(device)
    asked = _Asked(module.to(target).eval(), target, cache.class_names.index(painted["lesion"]))
    rows = list(asked.of_set(made, cache))
    real = list(asked.of_real(cache, rows))
    shares = {
        "lesion_found": [row["found"] for row in rows],
        "lesion_found_before": [row["found_before"] for row in rows],
        "lesion_found_real": [row["found"] for row in real],
    }
    painted_patients = [row["patient_id"] for row in rows]
    found, found_before, change = before_after(
        shares["lesion_found"], shares["lesion_found_before"], painted_patients, share=True
    )
    found_real = patient_interval(
        shares["lesion_found_real"], [row["patient_id"] for row in real], share=True
    )
    summary = {
        "lesion_found": found.as_dict(),
        "lesion_found_before": found_before.as_dict(),
        "lesion_found_real": found_real.as_dict(),
        "lesion_found_change": change.as_dict(),
    }
    result: dict[str, Any] = {
        **identity,
        "checkpoint": str(checkpoint),
        "synthetic": str(synthetic),
        "painted": painted,
        "num_images": len(rows),
        "num_patients": len({row["patient_id"] for row in rows}),
        "num_real_lesions": len(real),
        "half_found": {name: _half(part) for name, part in shares.items()},
        "summary": summary,
        "notes": [
            "The painted slices are of patients whom the segmenter was trained on, so it knows the "
            "slices before; real lesions are of its validation and test patients, of a size "
            "between the smallest and the largest painted one."
        ],
        "images": rows,
        "real_lesions": real,
        "versions": library_versions(),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    Path(out).mkdir(parents=True, exist_ok=True)
    write_json_atomic(Path(out) / RESULT, result)
    write_csv(Path(out) / _FILES[0], rows)
    save_png(Path(out) / _FILES[1], asked.picture(made, cache))
    return result


class _Asked:
    """A segmenter that is asked where lesions are."""

    def __init__(self, segmenter: Segmenter, device: torch.device, lesion: int) -> None:
        self._segmenter, self._device, self._lesion = segmenter, device, lesion

    @torch.no_grad()
    def labels(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
        """Predicted label maps (N, H, W) of images (H, W)."""
        found = []
        for start in range(0, len(images), _BATCH):
            stacked = torch.from_numpy(np.stack(images[start : start + _BATCH])[:, None])
            found.append(self._segmenter(unit_image(stacked).to(self._device)).argmax(dim=1).cpu())
        labels: NDArray[np.int64] = torch.cat(found).numpy()
        return labels

    def of_set(self, made: SyntheticSet, cache: SliceCache) -> Iterator[Row]:
        """What is found of the lesions that are new or gone, after and before."""
        slices = {item.id: item for item in cache.items}
        unknown = [one.label_item_id for one in made.items if one.label_item_id not in slices]
        if unknown:
            raise UserError(
                f"{cache.root}: holds no slice {unknown[0]}, which {made.root} is made of. Give "
                "the cache that its generator was trained on with --root."
            )
        sources = [slices[str(one.label_item_id)] for one in made.items]
        after = self.labels([made.image(one) for one in made.items])
        before = self.labels([cache.image(source) for source in sources])
        for item, source, now, then in zip(made.items, sources, after, before, strict=True):
            changed = (made.mask(item) == self._lesion) ^ (cache.mask(source) == self._lesion)
            yield {
                "id": item.id,
                "patient_id": source.patient_id,
                "pixels": int(changed.sum()),
                "found": float((now[changed] == self._lesion).mean()),
                "found_before": float((then[changed] == self._lesion).mean()),
            }

    def of_real(self, cache: SliceCache, rows: Sequence[Row]) -> Iterator[Row]:
        """What is found of real lesions of held-out patients, of the painted ones' sizes."""
        from scipy import ndimage

        smallest, largest = (end(row["pixels"] for row in rows) for end in (min, max))
        items = [
            item
            for split in ("val", "test")
            for item in cache.select(split)
            if item.class_pixels[self._lesion]
        ]
        if not items:
            return
        for item, predicted in zip(
            items, self.labels([cache.image(item) for item in items]), strict=True
        ):
            parts, count = ndimage.label(cache.mask(item) == self._lesion, np.ones((3, 3)))
            for part in range(1, count + 1):
                pixels = parts == part
                if max(smallest, _FEWEST) <= pixels.sum() <= largest:
                    yield {
                        "id": f"{item.id}#{part}",
                        "patient_id": item.patient_id,
                        "pixels": int(pixels.sum()),
                        "found": float((predicted[pixels] == self._lesion).mean()),
                    }

    def picture(self, made: SyntheticSet, cache: SliceCache) -> NDArray[np.uint8]:
        """The first images: painted, its label map over it, and what the segmenter sees."""
        items = made.items[:_SHOWN]
        slices = {item.id: item for item in cache.items}
        images = [made.image(item) for item in items]
        sources = [cache.image(slices[str(item.label_item_id)]) for item in items]
        masks = [made.mask(item) for item in items]
        predicted = [list(self.labels(pictures)) for pictures in (sources, images)]
        rows = [
            [overlay(*pair) for pair in zip(sources, predicted[0], strict=True)],
            images,
            [overlay(*pair) for pair in zip(images, masks, strict=True)],
            [overlay(*pair) for pair in zip(images, predicted[1], strict=True)],
        ]
        titles = ["found before", "painted", "label map", "found after"]
        return sheet(rows, row_titles=titles, cell_size=160, legend=cache.class_names)


def _half(shares: Sequence[float]) -> dict[str, int]:
    """In how many lesions at least half of the pixels are found."""
    return {"found": sum(share >= 0.5 for share in shares), "of": len(shares)}

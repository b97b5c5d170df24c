"""How close a synthetic set is to the real images of a cache."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from callbacks.pictures import colour_mask, save_png, sheet
from datamodules.cache import Cache, CacheItem
from datamodules.synthetic import SyntheticItem, SyntheticSet
from metrics.features import FeatureExtractor, build_extractor
from metrics.image_sets import paired_scores, set_distances
from metrics.intervals import patient_bootstrap
from provenance import UserError, library_versions, sha256_of, write_json_atomic
from studies.evaluation_folder import RESULT, Device, Split, chosen_device, claim_folder, write_csv

_FILES = ("pairs.csv", "sheet.png")
_FEWEST = 4  # two halves of two images
_COLUMNS = 8  # of the sheet

Pair = tuple[SyntheticItem, CacheItem]


def evaluate_images(
    synthetic: Path,
    root: Path,
    out: Path,
    split: Split = "val",
    extractor: str = "random_vgg",
    weights: Path | None = None,
    batch_size: int = 16,
    device: Device = "auto",
    seed: int = 0,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Compare a synthetic set with the real images of a cache.

    Frechet and kernel distance of the two sets, with the number of images and the floor between
    halves of the real ones; diversity; and MAE, PSNR, SSIM and feature distance of the synthetic
    images whose label map belongs to a real slice. Writes evaluation.json, pairs.csv, sheet.png.

    Args:
        synthetic: A synthetic set, as generate.py wrote it.
        root: The cache with the real images; --data.root is understood too.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        split: Split of the real images in the distances. Slices with foreground are used, since a
            synthetic set has no others. Pairs come from every split and are reported apart.
        extractor: "random_vgg" (no download), or "timm:<model>" with --weights. The distances
            carry its name.
        weights: State dict of the timm model, .safetensors or .pth.
        batch_size: Images at once; the scores do not depend on it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        seed: Of the random subsets and halves.
        show_progress: Progress bars with the time left.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    started = time.perf_counter()
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be 1 or more.")
    out, place = Path(out), chosen_device(device)
    network = build_extractor(extractor, weights)
    fakes, cache = SyntheticSet.open(synthetic), Cache.open(root)
    real = cache.select(split, foreground_only=True)
    _check_sets(fakes, cache, len(real), split)
    identity = {
        "task": "images",
        "synthetic_sha256": sha256_of(fakes.root / "manifest.json"),
        "split": split,
        "split_id": cache.split_id,
        "extractor": network.description,
        "seed": seed,
    }
    claim_folder(out, identity, _FILES)
    network = network.to(place)
    patients = [item.patient_id for item in real]

    def in_batches(items: Sequence[Any], what: str) -> Iterator[Sequence[Any]]:
        starts = range(0, len(items), batch_size)
        for start in tqdm(starts, what, unit="batch", disable=not show_progress):
            yield items[start : start + batch_size]

    distances = set_distances(
        network.name,
        _features(network, cache.image, in_batches(real, "real images")),
        _features(network, fakes.image, in_batches(fakes.items, "synthetic images")),
        patients,
        seed,
    )
    pairs, differing = _find_pairs(fakes, cache)
    rows = _score_pairs(in_batches(pairs, "pairs"), fakes, cache, network)
    result = {
        **identity,
        "synthetic": str(synthetic),
        "data_root": str(root),
        "num_real": len(real),
        "num_real_patients": len(set(patients)),
        "num_synthetic": len(fakes.items),
        "distances": distances,
        "pairs": {
            name: _summary([row for row in rows if row["split"] == name])
            for name in sorted({row["split"] for row in rows})
        },
        "pairs_with_changed_label_map": differing,
        "versions": library_versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json_atomic(out / RESULT, result)
    write_csv(out / _FILES[0], rows)
    save_png(out / _FILES[1], _sheet(pairs, fakes, cache, real))
    return result


def _check_sets(fakes: SyntheticSet, cache: Cache, num_real: int, split: str) -> None:
    for what, count in (
        (f"{cache.root}: the {split} split", num_real),
        (f"{fakes.root}: the set", len(fakes.items)),
    ):
        if count < _FEWEST:
            raise UserError(
                f"{what} has {count} images with foreground; a distance needs at least {_FEWEST}, "
                "and hundreds to mean much. Choose another --split, or make more images."
            )
    if fakes.manifest["image_size"] != cache.image_size:
        raise UserError(
            f"{fakes.root}: images of {fakes.manifest['image_size']} px, but {cache.root} holds "
            f"{cache.image_size} px. Compare sets of one size."
        )


def _features(
    network: FeatureExtractor,
    read: Callable[[Any], NDArray[np.uint8]],
    batches: Iterable[Sequence[Any]],
) -> Tensor:
    """(N, D) on the CPU; images are read when their batch comes."""
    found = []
    for batch in batches:
        with torch.inference_mode():
            found.append(network(_to_unit([read(item) for item in batch], network)).cpu())
    return torch.cat(found)


def _find_pairs(fakes: SyntheticSet, cache: Cache) -> tuple[list[Pair], int]:
    """Synthetic images with the real slice of their label map, and how many had a changed map."""
    by_id = {item.id: item for item in cache.items} if cache.has_images else {}
    candidates = [
        (fake, by_id[fake.label_item_id]) for fake in fakes.items if fake.label_item_id in by_id
    ]
    pairs = [
        (fake, item)
        for fake, item in candidates
        if np.array_equal(fakes.mask(fake), cache.mask(item))
    ]
    return pairs, len(candidates) - len(pairs)


def _score_pairs(
    batches: Iterable[Sequence[Pair]],
    fakes: SyntheticSet,
    cache: Cache,
    network: FeatureExtractor,
) -> list[dict[str, Any]]:
    rows = []
    for batch in batches:
        scores = paired_scores(
            _to_unit([fakes.image(fake) for fake, _ in batch], network),
            _to_unit([cache.image(item) for _, item in batch], network),
            network,
        )
        for place, (fake, item) in enumerate(batch):
            rows.append(
                {
                    "id": fake.id,
                    "real_id": item.id,
                    "patient_id": item.patient_id,
                    "split": item.split,
                }
                | {
                    key: values[place] if math.isfinite(values[place]) else None
                    for key, values in scores.items()
                }
            )
    return rows


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals over patients, of the pairs of one split."""
    named = ("id", "real_id", "patient_id", "split")
    patients = [row["patient_id"] for row in rows]
    return {
        key: patient_bootstrap([row[key] for row in rows], patients).as_dict()
        for key in rows[0]
        if key not in named
    }


def _sheet(
    pairs: Sequence[Pair], fakes: SyntheticSet, cache: Cache, real: Sequence[CacheItem]
) -> NDArray[np.uint8]:
    """Columns of label map, synthetic image and real image; of one slice each where it is known."""
    size = max(128, min(192, cache.image_size))
    if pairs:
        some = [pairs[i] for i in _spread(len(pairs))]
        columns = [(fakes.mask(f), fakes.image(f), cache.image(item)) for f, item in some]
        title = "real slice of that label map"
    else:
        others = [real[i] for i in _spread(len(real))]
        some_fakes = [fakes.items[i] for i in _spread(len(fakes.items))]
        columns = [
            (fakes.mask(f), fakes.image(f), cache.image(item))
            for f, item in zip(some_fakes, others, strict=False)
        ]
        title = "other real slices"
    rows = [
        [colour_mask(mask) for mask, _, _ in columns],
        [fake for _, fake, _ in columns],
        [image for _, _, image in columns],
    ]
    return sheet(
        rows,
        ["label map", "synthetic", title.replace(" of ", "\nof ")],
        cell_size=size,
        caption=f"{len(columns)} of {len(fakes.items)} synthetic images, evenly spread.",
        legend=cache.class_names,
    )


def _spread(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(_COLUMNS, count)).round().astype(int)).tolist()


def _to_unit(images: Sequence[NDArray[np.uint8]], network: FeatureExtractor) -> Tensor:
    """(N, 1, H, W) float in [-1, 1] where the network lies."""
    place = next(network.parameters()).device
    return torch.from_numpy(np.stack(images))[:, None].to(place).float() / 127.5 - 1

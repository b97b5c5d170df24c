"""How close a synthetic set is to the real images of a cache."""

import hashlib
import importlib.metadata
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.synthetic import SyntheticSet
from display.sheet import Picture, save_png, sheet
from evaluation.folder import RESULT, Split, write_csv
from evaluation.images.compared_sets import (
    FEWEST,
    ImageSet,
    Levels,
    compared_sets,
    generators_patients,
    spread,
)
from evaluation.images.fid_card import fid_card
from evaluation.images.pairs import find_pairs, score_pairs, sheet_of_slices, summaries
from lightning_modules.device import Device, chosen_device
from metrics.extractor import FeatureExtractor
from metrics.features import build_extractor
from metrics.image_sets import class_scores, set_distances, set_fidelity, similarity_of_strangers
from metrics.inception import InceptionExtractor, inception_weights
from output_folder import is_begun
from provenance import (
    UserError,
    library_versions,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)

_CARD, _SHEET, _PAIRS = "fid_card.md", "sheet.png", "pairs.csv"
_COLUMNS, _CELL_SIZE = 8, 128  # of the sheet of films; pixels


def evaluate_images(
    synthetic: Path,
    root: Path,
    out: Path,
    split: Split = "val",
    extractor: str = "random_vgg",
    weights: Path | None = None,
    download: bool = False,
    num_images: int | None = None,
    batch_size: int = 16,
    device: Device = "auto",
    seed: int = 0,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Compare a synthetic set with the real images of a cache, of films or of CT slices.

    Frechet and kernel distance of the two sets, with the floor between halves of the real images;
    precision, recall, density and coverage; the diversity of either set; with "inception" the
    Inception Score; and MAE, PSNR, SSIM and feature distance of the synthetic slices whose label
    map belongs to a real one. Each with its interval. Writes evaluation.json, fid_card.md,
    sheet.png, and of slices pairs.csv. Images are read once for all features, and not kept.

    Args:
        synthetic: A synthetic set, as generate.py wrote it.
        root: The cache with the real images; --real and --data.root are understood too.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        split: Split of the real images. Of slices those with foreground are used, since a
            synthetic set has no others. Pairs come from every split and are reported apart.
        extractor: "random_vgg" (no download), "inception", the one of FID, or "timm:<model>"; the
            last two with --weights. Distances carry its name, and are called FID and KID only with
            the Inception's canonical weights.
        weights: State dict of the timm model, .safetensors or .pth, or of the Inception;
            --inception-weights is understood too.
        download: Fetch the Inception's weights where none are given.
        num_images: At most so many images of each set, evenly spread; None takes all. For equal
            numbers on both sides, and for sets of more than some ten thousand.
        batch_size: Images at once; the scores do not depend on it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        seed: Of the random subsets, halves and pairs.
        show_progress: Progress bars with the time left.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    started = time.perf_counter()
    _check_flags(extractor, weights, download, num_images, batch_size)
    out, place = Path(out), chosen_device(device)
    file = inception_weights(weights, download) if extractor == "inception" else weights
    network = build_extractor(extractor, file)
    fakes, cache = SyntheticSet.open(synthetic), open_cache(Path(root))
    real, fake = compared_sets(fakes, cache, split, num_images)
    identity = {
        "task": "images",
        "synthetic_sha256": fake.sha256,
        "real_sha256": real.sha256,
        "split": split,
        "split_id": cache.split_id,
        "extractor": network.description,
        "num_images": num_images,
        "seed": seed,
    }
    of_films = isinstance(cache, FilmCache)
    is_begun(out, RESULT, identity, "evaluation", [_CARD, _SHEET] + [_PAIRS] * (not of_films))
    network = network.to(place)

    def batches(items: Sequence[Any], what: str) -> Any:
        starts = range(0, len(items), batch_size)
        bar = tqdm(starts, what, unit="batch", disable=not show_progress)
        return (items[start : start + batch_size] for start in bar)

    x = _embedded(network, real, batches(range(len(real)), "real images"))
    y = _embedded(network, fake, batches(range(len(fake)), "synthetic images"))
    if show_progress:  # minutes with thousands of images and 2048 features
        print("Scores, floors and intervals ...", file=sys.stderr)
    distances = set_distances(network.name, x.features, y.features, real.patients, seed)
    scores = set_fidelity(network.name, x.features, y.features, real.patients, seed)
    if x.logits is not None and y.logits is not None:
        scores |= class_scores(network.name, x.logits, y.logits, real.patients, seed)
    scores |= _similarities(real, fake, place, seed)
    rows: list[dict[str, Any]] = []
    differing = 0
    if isinstance(cache, FilmCache):
        picture = _sheet_of_films(real, fake)
    else:
        pairs, differing = find_pairs(fakes, cache)
        in_batches = batches(pairs, "pairs")
        rows = score_pairs(in_batches, fakes, cache, network, lambda b: _to_unit(b, place))
        picture = sheet_of_slices(pairs, fakes, cache, split)
    result = {
        **identity,
        "synthetic": str(synthetic),
        "data_root": str(root),
        "num_real": len(real),
        "num_real_patients": len(set(real.patients)),
        "num_synthetic": len(fake),
        "real_patients_trained_on": generators_patients(fakes, cache, real),
        "real_set": real.facts | {"pixels_sha256": x.pixels_sha256},
        "synthetic_set": fake.facts | {"pixels_sha256": y.pixels_sha256},
        "weights_sha256": sha256_of(Path(file)) if file is not None else None,
        "distances": distances,
        "scores": scores,
        "pairs": summaries(rows),
        "pairs_with_changed_label_map": differing,
        "device": str(place) if place.type == "cpu" else torch.cuda.get_device_name(place),
        "versions": _versions(extractor),
        "command": _command(synthetic, root, out, split, extractor, file, num_images, seed),
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json_atomic(out / RESULT, result)
    if not of_films:
        write_csv(out / _PAIRS, rows)
    save_png(out / _SHEET, picture)
    write_text_atomic(out / _CARD, fid_card(result))
    return result


def _check_flags(
    extractor: str, weights: Path | None, download: bool, num_images: int | None, batch_size: int
) -> None:
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be 1 or more.")
    if num_images is not None and num_images < FEWEST:
        raise UserError(
            f"--num-images is {num_images}; a distance needs at least {FEWEST} images of each set, "
            "and hundreds to mean much. Give more, or leave it out for all."
        )
    if extractor == "random_vgg" and (weights is not None or download):
        raise UserError(
            f"{'--download' if weights is None else '--weights'}: --extractor random_vgg uses no "
            "weights file. Add --extractor inception or timm:<model>, or leave the flag out."
        )


@dataclass(frozen=True)
class _Embedded:
    """What is kept of a set of images."""

    features: Tensor  # (N, D) on the CPU
    logits: Tensor | None  # (N, 1008), of the Inception alone
    pixels_sha256: str  # of all images in their order


def _embedded(network: FeatureExtractor, images: ImageSet, batches: Any) -> _Embedded:
    """One pass over a set; an image is read when its batch comes."""
    place = next(network.parameters()).device
    digest = hashlib.sha256()
    features: list[Tensor] = []
    logits: list[Tensor] = []
    for batch in batches:
        levels = [images.read(index) for index in batch]
        for image in levels:
            digest.update(image.tobytes())
        with torch.inference_mode():
            unit = _to_unit(levels, place)
            if isinstance(network, InceptionExtractor):
                found, classes = network.features_and_logits(unit)
                logits.append(classes.cpu())
            else:
                found = network(unit)
        if not bool(torch.isfinite(found).all()):
            raise UserError(
                f"{network.description}: gives features that are no numbers. Its weights are "
                "damaged or of another network; nothing was written. Fetch them again."
            )
        features.append(found.cpu())
    return _Embedded(torch.cat(features), torch.cat(logits) if logits else None, digest.hexdigest())


def _similarities(
    real: ImageSet, fake: ImageSet, place: torch.device, seed: int
) -> dict[str, dict[str, Any]]:
    """MS-SSIM within each set, under its name; nothing where a set has too few patients."""

    def within(images: ImageSet) -> tuple[str, dict[str, Any]] | None:
        return similarity_of_strangers(
            lambda index: _to_unit([images.read(index)], place)[0], images.patients, seed=seed
        )

    ours, theirs = within(fake), within(real)
    if ours is None or theirs is None:
        return {}
    return {ours[0]: {"synthetic": ours[1], "real": theirs[1]}}


def _sheet_of_films(real: ImageSet, fake: ImageSet) -> Picture:
    """Two rows of real and two of synthetic films, evenly spread over their sets."""
    rows = []
    for images in (real, fake):
        some = [images.read(i).transpose(1, 2, 0) for i in spread(len(images), 2 * _COLUMNS)]
        some = [np.ascontiguousarray(image.squeeze()) for image in some]
        rows += [some[:_COLUMNS], some[_COLUMNS:]]
    titles = ["real", "", "synthetic", ""]
    kept = [(row, title) for row, title in zip(rows, titles, strict=True) if row]
    return sheet(
        [row for row, _ in kept],
        [title for _, title in kept],
        cell_size=_CELL_SIZE,
        caption=f"Of {len(real)} real and {len(fake)} synthetic films, evenly spread. The real "
        "ones show patients: treat this picture as you treat the data.",
    )


def _to_unit(images: Sequence[Levels], place: torch.device) -> Tensor:
    """(N, C, H, W) float in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).to(place).float() / 127.5 - 1


def _versions(extractor: str) -> dict[str, str]:
    more = ["torch-fidelity"] if extractor == "inception" else []
    return library_versions() | {name: importlib.metadata.version(name) for name in more}


def _command(
    synthetic: Path,
    root: Path,
    out: Path,
    split: str,
    extractor: str,
    weights: Path | None,
    num_images: int | None,
    seed: int,
) -> str:
    """What to type for the same numbers."""
    words = ["--real", root, "--split", split, "--synthetic", synthetic, "--extractor", extractor]
    words += ["--weights", weights] if weights is not None else []
    words += ["--num-images", num_images] if num_images is not None else []
    words += ["--seed", seed, "--out", out]
    return shlex.join(["python", "evaluate.py", "images", *map(str, words)])

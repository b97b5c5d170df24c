"""How close a synthetic set is to the real images of a cache.

The flags of evaluate.py images are the function's arguments: nothing heavy is imported before it is
called.
"""

import importlib.metadata
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from device import Device, chosen_device
from evaluation.folder import RESULT, Split, write_csv
from gates.names import OF_SETS
from gates.rules import parse_rules
from output_folder import check_folder
from private_paths import command_for_others
from provenance import UserError, library_versions, sha256_of, write_json_atomic, write_text_atomic

_CARD, _SHEET, _PAIRS = "fid_card.md", "sheet.png", "pairs.csv"


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
    require: str | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Compare a synthetic set with the real images of a cache, of films or of CT slices.

    Frechet and kernel distance of the two sets, with the floor between halves of the real images;
    precision, recall, density and coverage; the diversity of either set; with "inception" the
    Inception Score; and MAE, PSNR, SSIM and feature distance of the synthetic slices whose label
    map belongs to a real one. Each with its interval. Writes evaluation.json, fid_card.md,
    sheet.png, and of slices pairs.csv. Features of the real images are kept beside the cache, by
    content, for the next comparison with them.

    Args:
        synthetic: A synthetic set, as generate.py wrote it.
        root: The cache with the real images; --real and --data.root mean the same.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        split: Split of the real images. Only slices with a foreground are used, since a synthetic
            set has no others. Pairs are taken from every split and reported separately.
        extractor: Feature extractor: "random_vgg" (no download), "inception" (that of FID) or
            "timm:<model>"; the last two with --weights. Distances are named after it; only those
            with the canonical Inception weights are called FID and KID.
        weights: File with the weights of the timm model (.safetensors or .pth) or of the Inception;
            --inception-weights means the same.
        download: Download the Inception weights if no file is given.
        num_images: Largest number of images of each set, evenly spread; None: all. For equal
            numbers of both sets, and for sets of more than some ten thousand images.
        batch_size: Images at once; the scores do not depend on it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        seed: Seed of the random subsets, halves and pairs.
        show_progress: Progress bars with the time left.
        require: Rules for the scores, such as "coverage>=0.6". If a score has a confidence
            interval, its unfavourable end is used. Exit status 0: all rules hold; 3: one does not;
            4: one cannot be decided, for example with too few images. The evaluation is written in
            any case.
        notes: Sentences for the reader, such as that plain folders were compared.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    import torch
    from tqdm import tqdm

    from datamodules.film_cache import FilmCache
    from datamodules.open_cache import open_cache
    from datamodules.synthetic import SyntheticSet
    from display.png import save_png
    from evaluation.figures import figures_of
    from evaluation.images.compared_sets import (
        compared_sets,
        describe_training_overlap,
        sheet_of_films,
    )
    from evaluation.images.embedding import embedded, similarities
    from evaluation.images.fid_card import fid_card
    from evaluation.images.pairs import find_pairs, score_pairs, sheet_of_slices, summaries
    from gates.judge import judged
    from metrics.features import build_extractor
    from metrics.image_sets import class_scores, set_distances, set_fidelity
    from metrics.inception import inception_weights

    started = time.perf_counter()
    rules = parse_rules(require, OF_SETS)
    _check_flags(extractor, weights, download, num_images, batch_size)
    out, chosen = Path(out), chosen_device(device)
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
    check_folder(out, RESULT, identity, "evaluation", [_CARD, _SHEET] + [_PAIRS] * (not of_films))
    network = network.to(chosen)

    def batches(items: Sequence[Any], what: str) -> Any:
        starts = range(0, len(items), batch_size)
        for start in tqdm(starts, what, unit="batch", disable=not show_progress):
            yield items[start : start + batch_size]

    x = embedded(network, real, batches(range(len(real)), "real images"), kept_in=cache.root)
    y = embedded(network, fake, batches(range(len(fake)), "synthetic images"))
    if show_progress:  # minutes with thousands of images and 2048 features
        print("Scores, floors and intervals ...", file=sys.stderr)
    distances = set_distances(network.name, x.features, y.features, real.patients, seed)
    scores = set_fidelity(network.name, x.features, y.features, real.patients, seed)
    if x.logits is not None and y.logits is not None:
        scores |= class_scores(network.name, x.logits, y.logits, real.patients, seed)
    scores |= similarities(real, fake, chosen, seed)
    rows: list[dict[str, Any]] = []
    differing = 0
    if isinstance(cache, FilmCache):
        drawn = sheet_of_films(real, fake)
    else:
        pairs, differing = find_pairs(fakes, cache)
        rows = score_pairs(batches(pairs, "pairs"), fakes, cache, network)
        drawn = sheet_of_slices(pairs, fakes, cache, split)
    result: dict[str, Any] = {
        **identity,
        "num_real": len(real),
        "num_real_patients": len(set(real.patients)),
        "num_synthetic": len(fake),
        "real_patients_trained_on": describe_training_overlap(fakes, cache, real),
        "real_set": real.facts | {"pixels_sha256": x.pixels_sha256},
        "synthetic_set": fake.facts | {"pixels_sha256": y.pixels_sha256},
        "weights_sha256": sha256_of(Path(file)) if file is not None else None,
        "distances": distances,
        "scores": scores,
        "pairs": summaries(rows),
        "pairs_with_changed_label_map": differing,
        "notes": list(notes),
        "device": str(chosen) if chosen.type == "cpu" else torch.cuda.get_device_name(chosen),
        "versions": _versions(extractor),
        # The result is handed on, and folders may be called by a patient's name.
        "command": command_for_others(
            _command(synthetic, root, out, split, extractor, file, num_images, seed, require)
        ),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    write_json_atomic(out / RESULT, result)
    if not of_films:
        write_csv(out / _PAIRS, rows)
    save_png(out / _SHEET, drawn)
    write_text_atomic(out / _CARD, fid_card(result))
    return result


def _check_flags(
    extractor: str, weights: Path | None, download: bool, num_images: int | None, batch_size: int
) -> None:
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}; it must be 1 or more.")
    from evaluation.images.compared_sets import FEWEST

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
    require: str | None,
) -> str:
    """What to type for the same numbers."""
    words = ["--real", root, "--split", split, "--synthetic", synthetic, "--extractor", extractor]
    words += ["--weights", weights] if weights is not None else []
    words += ["--num-images", num_images] if num_images is not None else []
    words += ["--require", require] if require is not None else []
    words += ["--seed", seed, "--out", out]
    return shlex.join(["python", "evaluate.py", "images", *map(str, words)])

"""Images of the report: synthetic beside real slices, and predictions over test images."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.film_cache import FilmCache
from datamodules.named_files import inside
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError

NUM_COLUMNS = 6
WIDEST_PIXELS = 1200
# Of WebP: pages hold one picture for each scenario, and the files themselves lie beside the page.
_QUALITY = 80
# Of the encoder, 0 to 6: the most makes the smallest files.
_EFFORT = 6
_MOST_PIXELS = 100_000_000


def real_synthetic_sheet(cache: SliceCache, synthetic: Path) -> tuple[bytes, str]:
    """Label map, real slice and synthetic slice in three rows, as WebP bytes, and what it shows.

    Label maps are spread evenly over those with the rarest class, so that it is seen, and chosen
    without looking at the synthetic images.

    Args:
        cache: The study's.
        synthetic: A finished synthetic set.

    Raises:
        UserError: The set is missing or damaged.
    """
    from display.colours import colour_mask
    from display.sheet import as_picture, sheet

    made, kind = _opened(synthetic), _kind(cache)
    pixels = np.array([item.class_pixels for item in made.items])
    rarest = 1 + int((pixels[:, 1:] > 0).sum(0).argmin()) if pixels.shape[1] > 1 else 0
    chosen = np.flatnonzero(pixels[:, rarest] > 0)
    if len(chosen) < NUM_COLUMNS:
        chosen = np.arange(len(made.items))
    spread = np.linspace(0, len(chosen) - 1, min(NUM_COLUMNS, len(chosen))).round().astype(int)
    items = [made.items[chosen[index]] for index in spread]

    real_items = {item.id: item for item in cache.items}
    training = cache.select("train")
    matched = [real_items.get(item.label_item_id) for item in items]
    same = all(match is not None and match.split == "train" for match in matched)
    if not same:
        # Label maps from elsewhere have no real slice: the training slice most alike stands in.
        shares = np.array([item.class_pixels for item in training], dtype=float)
        shares /= shares.sum(1, keepdims=True)
        matched = [
            training[
                int(np.abs(shares - np.array(i.class_pixels) / sum(i.class_pixels)).sum(1).argmin())
            ]
            for i in items
        ]
    drawn = sheet(
        [
            [colour_mask(made.mask(item)) for item in items],
            [as_picture(cache.image(item)) for item in matched if item is not None],
            [as_picture(made.image(item)) for item in items],
        ],
        row_titles=["label map", kind if same else f"{kind},\nanother slice", "synthetic"],
        legend=cache.class_names,
    )
    if same:
        caption = (
            f"Above the label map, then the {kind} training slice with this label map, below the "
            "synthetic slice made from the label map."
        )
    elif "translated_from" in made.manifest:
        caption = (
            "Above the label map, below the translated slice, whose original has this label map. "
            "The middle row shows the training slice whose class shares are nearest, not the same "
            "anatomy."
        )
    else:
        caption = (
            "Above the label map, below the synthetic slice made from it. The label maps come from "
            "other data without images, so the middle row shows the training slice whose class "
            "shares are nearest, not the same anatomy."
        )
    return shrunk(drawn), caption


def real_synthetic_films(cache: FilmCache, synthetic: Path) -> tuple[bytes, str]:
    """A row of real training films and one of synthetic films for each class, as WebP bytes.

    Both are spread evenly over their sets and shown at the synthetic films' size.

    Args:
        cache: The study's.
        synthetic: A finished synthetic set.

    Raises:
        UserError: The set is missing or damaged.
    """
    from display.sheet import as_picture, sheet

    made, kind = _opened(synthetic), _kind(cache)
    training = cache.indices("train")
    rows, titles = [], []
    for label in sorted({str(item.label or "") for item in made.items}):
        real = training
        for column in cache.label_columns[:1] if label else []:
            names = cache.class_names(column)
            real = training[cache.labels(column)[training] == names.index(label)]
        fakes = [item for item in made.items if str(item.label or "") == label]
        size = int(made.manifest["image_size"])
        rows.append([_averaged(cache.image(int(index)), size) for index in _evenly(real)])
        rows.append([as_picture(made.image(item)) for item in _evenly(fakes)])
        titles += [f"{kind}\n{label}", f"synthetic\n{label}"]
    caption = f"Of each class {kind} training films above, synthetic ones below, evenly spread."
    return shrunk(sheet(rows, row_titles=titles)), caption


def _kind(cache: SliceCache | FilmCache) -> str:
    """What a study's own images are called: those of a phantom show nobody."""
    return "drawn" if cache.dataset.startswith("phantom") else "real"


def _opened(synthetic: Path) -> SyntheticSet:
    made = SyntheticSet.open(synthetic)
    if not made.items:
        raise UserError(f"{synthetic}: holds no image.")
    return made


def _evenly(items: Any) -> list[Any]:
    indices = np.linspace(0, len(items) - 1, min(NUM_COLUMNS, len(items))).round().astype(int)
    return [items[index] for index in indices]


def _averaged(film: np.ndarray, size: int) -> np.ndarray:
    """The centre of a stored film, (H, W) or (3, H, W), averaged to `size` pixels, 8 bits."""
    margin = (film.shape[-1] % size) // 2
    factor = film.shape[-1] // size
    levels = film[..., margin : margin + factor * size, margin : margin + factor * size]
    scale = 255 / np.iinfo(film.dtype).max
    blocks = levels.reshape(*levels.shape[:-2], size, factor, size, factor) * scale
    from display.sheet import as_picture

    return as_picture(blocks.mean(axis=(-3, -1)).round().astype(np.uint8))


def prediction_images(
    out: Path, specification_order: Sequence[tuple[str, str]], records: Sequence[Mapping[str, Any]]
) -> tuple[dict[tuple[str, str], bytes], list[str]]:
    """Each (scenario, model)'s `evaluation/predictions.png` of its first seed; and what is lacking.

    Args:
        out: The study's folder.
        specification_order: The (scenario, model) pairs to look for.
        records: Finished cells.
    """
    found: dict[tuple[str, str], bytes] = {}
    lacking = []
    for pair in specification_order:
        names = [
            record["name"]
            for record in sorted(records, key=lambda record: record["seed"])
            if (record["scenario"], record["model"]) == pair
        ]
        paths = [out / "runs" / name / "evaluation" / "predictions.png" for name in names]
        existing = [path for path in paths if path.is_file()]
        if not existing:
            lacking.append(f"{pair[0]} {pair[1]}")
            continue
        try:
            found[pair] = shrunk_file(out, existing[0])
        except OSError as error:
            lacking.append(f"{pair[0]} {pair[1]} (unreadable: {error})")
    return found, lacking


def shrunk(array: np.ndarray) -> bytes:
    """(H, W, 3) or (H, W) uint8 as WebP, no wider than `WIDEST_PIXELS`."""
    from PIL import Image

    return _encoded(Image.fromarray(array))


def shrunk_file(out: Path, path: Path) -> bytes:
    """A PNG of a study's folder as WebP, no wider than `WIDEST_PIXELS`.

    Args:
        out: The study's folder, which may come from others.
        path: The file in it.

    Raises:
        OSError: It is none, is larger than any that evaluate.py draws, or a link out of the folder.
    """
    from PIL import Image

    try:
        with Image.open(inside(out, str(path.relative_to(out))), formats=("PNG",)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise OSError(f"{image.width}x{image.height} pixels")
            return _encoded(image.convert("RGB"))
    except (UserError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error


def _encoded(image: Any) -> bytes:
    from PIL import Image

    if image.width > WIDEST_PIXELS:
        height = max(1, round(image.height * WIDEST_PIXELS / image.width))
        image = image.resize((WIDEST_PIXELS, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=_QUALITY, method=_EFFORT)
    return stream.getvalue()

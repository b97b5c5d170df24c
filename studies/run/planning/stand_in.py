"""A synthetic set that stands for one which is not made yet, so that its training can be built.

It has as many images, of the same classes, as the generator would make. They are noise, all of them
one file, and learnt from nobody: good for counting and timing steps, and for nothing else.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.film_cache import FilmCache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import FORMAT
from studies.run.translations import drawn
from studies.specification.generator_kinds import translates
from studies.specification.parts import GeneratorPlan

# The one file that all images of a set are, by its format.
_IMAGE = {"png": "image.png", "npy": "image.npy"}


def write_stand_in(folder: Path, cache: PreparedCache, generator: GeneratorPlan) -> Path:
    """Write the set, and return its folder.

    Args:
        folder: New; whoever calls this deletes it.
        cache: Of the study.
        generator: Of the study, with its classes by name.
    """
    size, random = cache.image_size, np.random.default_rng(0)
    classes = cache.class_names if isinstance(cache, SliceCache) else []
    for room in ("images", "masks") if classes else ("images",):
        (folder / room).mkdir(parents=True)
    colour = isinstance(cache, FilmCache) and cache.channels == 3
    # Several channels of slices are scans and no colours, which .npy holds.
    channels = cache.num_channels if isinstance(cache, SliceCache) else 1
    kind = "npy" if channels > 1 else "png"
    shape = (channels, size, size) if channels > 1 else (size, size, 3) if colour else (size, size)
    pixels = random.integers(0, 256, shape, np.uint8)
    if kind == "npy":
        np.save(folder / _IMAGE[kind], pixels)
    else:
        Image.fromarray(pixels).save(folder / _IMAGE[kind])
    if classes:
        labels = random.integers(0, len(classes), (size, size), np.uint8)
        Image.fromarray(labels).save(folder / "mask.png")
    items = _items(cache, generator)
    for item in items:
        (folder / "images" / f"{item['id']}.{kind}").symlink_to(folder / _IMAGE[kind])
        if classes:
            (folder / "masks" / f"{item['id']}.png").symlink_to(folder / "mask.png")
    manifest = {
        "format": FORMAT,
        "image_size": size,
        **({"image_format": kind, "channels": channels} if channels > 1 else {}),
        "generator": {"training_patients": [], "training_items": []},
        "items": items,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def is_stand_in(folder: Path) -> bool:
    """Whether a set is one that `write_stand_in` wrote: all its images are one file."""
    return any((folder / name).is_file() for name in _IMAGE.values())


def _items(cache: PreparedCache, generator: GeneratorPlan) -> list[dict[str, Any]]:
    if translates(generator):
        return [
            {
                "id": f"{index:06d}",
                "seed": index,
                "label": original.label,
                "class_pixels": list(original.class_pixels),
            }
            for index, original in enumerate(drawn(generator, cache))
        ]
    if not isinstance(cache, SliceCache):
        labels = [
            label for label in generator.per_class or (None,) for _ in range(generator.num_images)
        ]
        return [
            {"id": f"{index:06d}", "seed": index, "label": label}
            for index, label in enumerate(labels)
        ]
    maps = [item.class_pixels for item in cache.select("train", foreground_only=True)]
    if generator.with_class in cache.class_names:
        wanted = cache.class_names.index(generator.with_class)
        maps = [pixels for pixels in maps if pixels[wanted]] or maps
    return [
        {
            "id": f"{index:06d}",
            "seed": index,
            "label_item_id": "none",
            "class_pixels": list(maps[index % len(maps)]) if maps else [],
        }
        for index in range(generator.num_images)
    ]

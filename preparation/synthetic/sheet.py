"""A sheet of a brought-in set, for a person to see at once whether the images came out right."""

from typing import Any

import numpy as np

from datamodules.synthetic import SyntheticItem, SyntheticSet
from display.colours import colour_mask
from display.png import save_png
from display.sheet import as_picture, sheet

_COLUMNS = 8


def write_sheet(made: SyntheticSet) -> None:
    """Write sheet.png: of each class a row, of slices with label maps these above them."""
    rows: list[Any] = []
    titles: list[str] = []
    labels = sorted({item.label or "" for item in made.items})
    for label in labels:
        own = _spread([item for item in made.items if (item.label or "") == label])
        if made.has_label_maps:
            rows.append([colour_mask(made.mask(item)) for item in own])
            titles.append("label map")
        rows.append([as_picture(made.image(item)) for item in own])
        titles.append(label or "synthetic")
    if rows and len(labels) == 1 and not made.has_label_maps:
        own = _spread(made.items, 3 * _COLUMNS)
        pictures = [as_picture(made.image(item)) for item in own]
        rows = [pictures[start : start + _COLUMNS] for start in range(0, len(own), _COLUMNS)]
        titles = [titles[0], *[""] * (len(rows) - 1)]
    caption = (
        f"Synthetic, as whoever brought them in says: {len(made.items)} images, evenly spread."
    )
    picture = sheet(
        rows,
        row_titles=titles,
        cell_size=max(96, min(192, made.image_size)),
        caption=caption,
        legend=made.manifest["class_names"] if made.has_label_maps else None,
    )
    save_png(made.root / "sheet.png", picture, synthetic=True)


def _spread(items: list[SyntheticItem], most: int = _COLUMNS) -> list[SyntheticItem]:
    at = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[index] for index in at]

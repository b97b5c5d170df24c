"""Films, called by a classifier: one row each, and Grad-CAM where it is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from display.grad_cam import grad_cam, under_map
from display.sheet import save_png
from display.tensor_images import image_arrays
from prediction.films import FilmInput
from prediction.items import Item
from prediction.model import Model
from prediction.output_names import output_of
from prediction.threshold import Threshold


def film_columns(model: Model, with_maps: bool) -> list[str]:
    """Columns of `predictions.csv`."""
    shares = [f"probability_{name}" for name in model.class_names]
    maps = ["grad_cam"] if with_maps else []
    return ["file", "bytes", *shares, "threshold", "called", *maps, "note"]


def film_rows(
    model: Model,
    batch: Sequence[tuple[Item, FilmInput]],
    threshold: Threshold | None,
    maps: Path | None,
) -> list[dict[str, Any]]:
    """A row for each film of a batch.

    Args:
        model: A classifier.
        batch: Films as they were read.
        threshold: Of the second of two classes; None: the most probable class is called.
        maps: Folder of the results, to draw Grad-CAM of the called class into; None draws none.
    """
    names = model.class_names
    unit = model.unit_films([read.pixels for _, read in batch])
    shares = model.film_probabilities(unit)
    if threshold is None:
        called = shares.argmax(axis=1).tolist()
    else:
        called = (shares[:, 1] >= threshold.value).astype(int).tolist()
    rows = []
    for (item, read), share, of_class in zip(batch, shares.tolist(), called, strict=True):
        row = {"file": item.name, "bytes": item.num_bytes, "called": names[of_class]}
        row |= {f"probability_{name}": one for name, one in zip(names, share, strict=True)}
        row["threshold"] = "" if threshold is None else threshold.value
        row["note"] = " ".join(read.notes)
        rows.append(row)
    if maps is not None:
        heats = grad_cam(model.module.network, unit, called).cpu().numpy()
        films = image_arrays(unit)
        for row, film, heat in zip(rows, films, heats, strict=True):
            row["grad_cam"] = output_of("grad_cam", str(row["file"]), ".png")
            save_png(maps / row["grad_cam"], np.concatenate(under_map(film, heat), axis=1))
    return rows

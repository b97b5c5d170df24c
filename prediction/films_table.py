"""Films, called by a classifier: one row each, and Grad-CAM where it is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from display.grad_cam import grad_cam, under_map
from display.png import save_png
from display.tensor_images import image_arrays
from prediction.films import FilmInput
from prediction.items import Item
from prediction.model import Model
from prediction.output_names import output_of
from prediction.threshold import Threshold


def film_columns(model: Model, with_maps: bool) -> list[str]:
    """Columns of `predictions.csv`."""
    names = model.class_names
    shares = [f"probability_{name}" for name in names]
    maps = ["grad_cam", "grad_cam_of"] if with_maps else []
    if not model.of_findings:
        return ["file", "bytes", *shares, "threshold", "called", *maps, "note"]
    calls = [f"{column}_{name}" for name in names for column in ("threshold", "called")]
    return ["file", "bytes", *shares, *calls, *maps, "note"]


def film_rows(
    model: Model,
    batch: Sequence[tuple[Item, FilmInput]],
    thresholds: Sequence[Threshold | None],
    maps: Path | None,
) -> list[dict[str, Any]]:
    """A row for each film of a batch.

    Args:
        model: A classifier.
        batch: Films as they were read.
        thresholds: Of the second of two classes, or of each finding (one without is not called);
            empty: the most probable class is called.
        maps: Folder of the results, to draw Grad-CAM of the called class into, or of the most
            probable finding; None draws none.
    """
    names = model.class_names
    unit = model.unit_films([read.pixels for _, read in batch])
    shares = model.film_probabilities(unit)
    shown = shares.argmax(axis=1)
    if len(thresholds) == 1 and not model.of_findings:
        [threshold] = thresholds
        assert threshold is not None
        shown = (shares[:, 1] >= threshold.value).astype(int)
    rows = []
    for (item, read), share, of_class in zip(batch, shares.tolist(), shown.tolist(), strict=True):
        row: dict[str, Any] = {"file": item.name, "bytes": item.num_bytes}
        row |= {f"probability_{name}": one for name, one in zip(names, share, strict=True)}
        if model.of_findings:
            row |= _called_findings(names, share, thresholds)
        else:
            row["threshold"] = thresholds[0].value if thresholds and thresholds[0] else ""
            row["called"] = names[of_class]
        row["note"] = " ".join(read.notes)
        rows.append(row)
    if maps is not None:
        heats = grad_cam(model.module.network, unit, shown.tolist()).cpu().numpy()
        films = image_arrays(unit)
        for row, of_class, film, heat in zip(rows, shown.tolist(), films, heats, strict=True):
            row["grad_cam"] = output_of("grad_cam", str(row["file"]), ".png")
            row["grad_cam_of"] = names[of_class]
            save_png(maps / row["grad_cam"], np.concatenate(under_map(film, heat), axis=1))
    return rows


def _called_findings(
    names: Sequence[str], shares: Sequence[float], thresholds: Sequence[Threshold | None]
) -> dict[str, Any]:
    """Threshold and call, 1 or 0, of each finding; empty where nobody has chosen one."""
    row: dict[str, Any] = {}
    for name, share, threshold in zip(names, shares, thresholds, strict=True):
        row[f"threshold_{name}"] = "" if threshold is None else threshold.value
        row[f"called_{name}"] = "" if threshold is None else int(share >= threshold.value)
    return row

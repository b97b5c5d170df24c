"""Slices, segmented: a label map and an overlay of each item, and a row with its volumes."""

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from display.colours import ImageArray, overlay
from display.png import save_png
from display.sheet import sheet
from prediction.dicom_seg import write_seg
from prediction.items import Item, LeftOut
from prediction.label_files import write_labels
from prediction.model import Model
from prediction.output_names import output_of
from prediction.volumes import SliceInput
from preparation.raised import raised

Format = Literal["nifti", "dicom_seg"]
_MOST_SHOWN, _IN_A_ROW = 12, 4


def slice_columns(model: Model, overlays: bool) -> list[str]:
    """Columns of `predictions.csv`."""
    classes = model.class_names[1:]
    sizes = [f"voxels_{name}" for name in classes] + [f"ml_{name}" for name in classes]
    drawn = ["overlay"] if overlays else []
    return ["file", "bytes", "slices", "rows", "columns", *sizes, "label_map", *drawn, "note"]


def slice_row(
    model: Model,
    item: Item,
    read: SliceInput,
    out: Path,
    batch_size: int,
    series_as: Format,
    overlays: bool,
) -> dict[str, Any] | LeftOut:
    """Segment one item, and write its label map and its overlay.

    Args:
        model: A segmenter.
        item: A series, a NIfTI file or a picture.
        read: What was made of it.
        out: Folder of the results.
        batch_size: Slices that are predicted at once.
        series_as: What a DICOM series' label map is written as.
        overlays: Draw one.

    Returns:
        Its row, or why there is none: a series whose headers lack what a Segmentation needs.
    """
    count, height, width = read.source.shape
    labels = model.labels(read.slices, (height, width), read.outline, batch_size)
    row: dict[str, Any] = {
        "file": item.name,
        "bytes": item.num_bytes,
        "slices": count,
        "rows": height,
        "columns": width,
        "note": " ".join(read.notes),
    }
    num_classes = len(model.class_names)
    voxels = np.array([np.bincount(one.ravel(), minlength=num_classes) for one in labels])
    for label, name in enumerate(model.class_names[1:], start=1):
        row[f"voxels_{name}"] = int(voxels[:, label].sum())
        ml = None if read.voxel_ml is None else float((voxels[:, label] * read.voxel_ml).sum())
        row[f"ml_{name}"] = "" if ml is None else round(ml, 4)
    if item.kind == "series" and series_as == "dicom_seg":
        row["label_map"] = output_of("label_maps", item.name, ".dcm")
        try:
            path, names = out / row["label_map"], model.class_names
            with warnings.catch_warnings(action="ignore"):  # they quote values of the headers
                told = write_seg(path, read.paths, labels, names, model.sha256)
            row["note"] = " ".join([*read.notes, *told])
        except OSError:
            raise
        except Exception as error:  # highdicom raises many kinds for headers that lack something
            return LeftOut(
                "its headers lack what a DICOM Segmentation needs "
                f"({raised(error, *item.paths)}). Left out; --format nifti, into another --out, "
                "needs less."
            )
    else:
        ending = ".png" if item.kind == "picture" else ".nii.gz"
        row["label_map"] = output_of("label_maps", item.name, ending)
        write_labels(out / row["label_map"], item.paths[0], read, labels)
    if overlays:
        row["overlay"] = output_of("overlays", item.name, ".png")
        drawn = overlay_sheet(read.source, labels, model.class_names)
        save_png(out / row["overlay"], drawn)
    return row


def overlay_sheet(
    source: NDArray[np.uint8], labels: NDArray[np.uint8], class_names: list[str]
) -> ImageArray:
    """A picture beside its overlay; of a volume up to twelve slices, evenly among those marked.

    Args:
        source: (S, H, W) greys.
        labels: (S, H, W).
        class_names: Of the labels 0, 1, ...

    Returns:
        (H', W', 3) uint8.
    """
    contour = max(1, max(source.shape[1:]) // 256)
    if len(source) == 1:
        drawn = [source[0], overlay(source[0], labels[0], 0.3, contour)]
        return sheet([drawn], legend=class_names)
    marked = np.flatnonzero(labels.any(axis=(1, 2)))
    among = marked if len(marked) else np.arange(len(source))
    places = np.linspace(0, len(among) - 1, min(_MOST_SHOWN, len(among))).round().astype(int)
    shown = among[places].tolist()
    rows = [shown[start : start + _IN_A_ROW] for start in range(0, len(shown), _IN_A_ROW)]
    pictures = [[overlay(source[i], labels[i], 0.3, contour) for i in row] for row in rows]
    titles = [f"slices\n{', '.join(str(i + 1) for i in row)}" for row in rows]
    caption = (
        f"{len(shown)} of the {len(marked)} slices in which something is marked, of {len(source)}; "
        "counted from the head. Predicted by a network, not for diagnosis."
        if len(marked)
        else f"Nothing is marked in {len(source)} slices. Not for diagnosis."
    )
    return sheet(pictures, titles, cell_size=256, caption=caption, legend=class_names)

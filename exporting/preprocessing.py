"""What makes a file an input of an exported model, step by step, as the preparation does it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.hounsfield import GreyScale
from foreign_text import printable
from provenance import UserError

# Of how a cache was prepared: plain values that name neither a person nor a path.
_FORM = (
    "kind",
    "image_size",
    "window",
    "resample",
    "margin",
    "channels",
    "bit_depth",
    "on_nonsquare",
    "clahe",
    "clahe_clip_limit",
    "views",
)
NOT_RECORDED = "not recorded"
"""In place of the settings of a preparation that the checkpoint says nothing of"""

_FILMS, _SLICES = "ChestXrayDataModule", "KiTS19DataModule"


def preprocessing(record: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Plain values: the steps in words, and the settings of the preparation.

    Where a checkpoint of an earlier version has no settings, they are `NOT_RECORDED`, and no step
    claims one.

    Args:
        record: What the checkpoint says.
        checkpoint: Its file, for errors.

    Raises:
        UserError: The record holds something that is no window or channel.
    """
    form = record.get("image_form") or {**(record.get("preparation") or {})}
    kept = {key: form[key] for key in _FORM if form.get(key) is not None}
    size = record.get("image_size")
    if not form:
        steps = _not_recorded(record, size)
    elif form.get("kind") == "films" or "margin" in form or _datamodule(record) == _FILMS:
        steps = [
            "a film to grey as `python predict.py` does it: bone bright, trimmed to the margin, "
            "squared, resized; CLAHE where it is named",
            f"{size} x {size} pixels, each the mean of those it covers",
        ]
    else:
        try:
            steps = _of_slices(form, size)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{checkpoint}: its record holds {error}, expected a window and channels as "
                "prepare.py writes them."
            ) from error
    steps.append("grey / 127.5 - 1")
    return {
        "steps": steps,
        "preparation": kept if form else NOT_RECORDED,
        "range": [-1.0, 1.0],
        "black": -1.0,
        "white": 1.0,
    }


def _datamodule(record: Mapping[str, Any]) -> str:
    """Name of the class that the checkpoint's images came from; a user's own has another."""
    data = record.get("data") or {}
    return str(data.get("class_path")).rpartition(".")[2]


def _not_recorded(record: Mapping[str, Any], size: Any) -> list[str]:
    """What is known of the images without their settings: of what they are, and their size."""
    told = {
        _FILMS: "a film to grey, bone bright; its margin, squaring and CLAHE",
        _SLICES: "a slice to grey; its window or percentiles, orientation, squaring and resampling",
    }
    unknown = told.get(_datamodule(record), "an image to grey; the steps to it")
    return [f"{unknown} are {NOT_RECORDED}", f"{size} x {size} pixels"]


def _of_slices(form: Mapping[str, Any], size: Any) -> list[str]:
    """From the slices of a volume to greys; the order is that of `prepare.py`.

    Raises:
        KeyError, TypeError, ValueError: What is said of a window or channel is none.
    """
    steps = [
        "every slice by itself, rows towards the patient's back and columns towards the left (a "
        "NIfTI file that does not say how it lies, and a picture, as it is stored)"
    ]
    units, fills, to_grey = [], [], []
    for told in _channels(form):
        unit, fill, grey = _of_channel(**told)
        units += unit
        fills.append(fill)
        to_grey.append(grey)
    if not to_grey:
        fills = ["0"]
        to_grey = ["grey levels as the source has them; of which window they are is not known"]
    steps += units
    fill = ", ".join(dict.fromkeys(fills))
    square = f"padded to a square with {fill}, the slice in its middle"
    resized = (
        f"resized to {size} x {size} pixels, before anything becomes grey: smaller ones are the "
        "mean of the area that each covers, larger ones are bilinear"
    )
    if form.get("resample"):
        square = f"pixels that are no squares made square ones of the finer spacing; {square}"
    steps += [square, resized, *to_grey]
    if len(to_grey) > 1:
        names = ", ".join(printable(told["name"]) for told in _channels(form))
        steps.append(f"channels along axis 1 in this order: {names}")
    return steps


def _channels(form: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, window and percentiles of each channel; none where greys passed through."""
    several = form.get("channels") or ()
    if not several:
        scale = GreyScale.of_plain(form.get("window"))
        return [] if scale is None else [{"name": "CT", "scale": scale, "percentiles": None}]
    found = []
    for told in several:
        scale = percentiles = None
        if "width" in told:
            scale = GreyScale(float(told["width"]), float(told["center"]))
        else:
            low, high = (float(percent) for percent in told["percentiles"])
            percentiles = (low, high)
        found.append({"name": str(told["name"]), "scale": scale, "percentiles": percentiles})
    return found


def _of_channel(
    name: str, scale: GreyScale | None, percentiles: tuple[float, float] | None
) -> tuple[list[str], str, str]:
    """What is done first, what is padded with, and how values become grey."""
    name = printable(name)
    if scale is None:
        low, high = percentiles or (0.0, 0.0)
        ends = (
            f"{name}: black and white are the percentiles {low:g} and {high:g} of each volume's "
            "own values, before anything is resized: of its voxels that are not 0, with linear "
            "interpolation (of more than 20 million voxels, of evenly spread ones; the least and "
            "the greatest value where the two are alike)"
        )
        grey = (
            f"{name} to grey: round(255 * (value - black) / (white - black)), where below black is "
            "0 and above white is 255"
        )
        return [ends], f"black ({name})", grey
    low, high = scale.low_hu, scale.low_hu + scale.width_hu
    if name.lower() == "ct":
        first = [f"{name}: Hounsfield units as whole numbers, clipped to -1024 to 3071"]
        unit, what, fill = " HU", "Hounsfield units", f"-1024 HU ({name})"
    else:
        first, unit, what, fill = [], "", name, f"{low:g} ({name})"
    value = "HU" if unit else "value"
    grey = (
        f"{what} to grey: round(255 * ({value} - {low:g}) / {scale.width_hu:g}), "
        f"where below {low:g}{unit} is 0 and above {high:g}{unit} is 255"
    )
    return first, fill, grey

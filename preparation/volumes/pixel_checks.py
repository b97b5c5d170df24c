"""What makes the pixels of a volume, or of its label map, unusable, or is worth a sentence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.volume import MAX_HU, SkipVolume


def listed(class_names: Sequence[str], link: str) -> str:
    """Labels with their names, such as `0 (background), 1 (kidney) and 2 (tumour)`."""
    *others, last = (f"{label} ({name})" for label, name in enumerate(class_names))
    return f"{', '.join(others)} {link} {last}"


def check_labels(mask: NDArray[Any], name: str, class_names: Sequence[str], said: str = "") -> None:
    """Refuse labels that have no name.

    Args:
        mask: Of any shape.
        name: Of its file.
        class_names: Names of the labels 0, 1, ...
        said: What to say of how the values were read, such as ` (rescaled by its header)`.

    Raises:
        SkipVolume: Names the labels that were found.
    """
    low, high = int(mask.min()), int(mask.max())
    count = len(class_names)
    if low >= 0 and high < count:
        return
    found = np.unique(mask)
    wrong = [int(v) for v in found[(found < 0) | (found >= count)][:5]]
    raise SkipVolume(
        name,
        f"has label values {wrong}{said}, expected only {listed(class_names, 'and')}. "
        f"Left out; say what each means with --label-map {wrong[0]}=0 (or the label or the name of "
        "a class, which may be a new one), into another --out. Values only along the edges of "
        "structures come from lossy compression (JPEG), also in a file that was saved as PNG "
        "since: then export the mask again without loss.",
    )


def all_marked_note(mask: NDArray[np.uint8], name: str) -> list[str]:
    """A sentence where a mask leaves nothing unmarked, as an inverted or a lost one does."""
    if not mask.all():
        return []
    return [
        f"{name}: its mask marks every pixel, so there is no background. Used as it is; look at an "
        "overlay, and leave it out if that is not so."
    ]


def check_image(image: NDArray[Any], name: str, in_hu: bool = True, or_else: str = "") -> list[str]:
    """Refuse a constant volume; return a note where values do not look like Hounsfield units.

    Args:
        image: (S, H, W).
        name: Of its file.
        in_hu: Whether they should be.
        or_else: What to look at beside the rescaling where they do not, such as "is it a CT?".
    """
    low, high = image.min(), image.max()
    if low == high:
        raise SkipVolume(
            name,
            f"is constant (every voxel is {low:g}). Left out; the export probably lost its pixels.",
        )
    if image.dtype == np.uint8 or not in_hu:
        return []
    notes = []
    if low > -200:
        notes.append(
            f"{name}: no voxel is below -200, so its values may not be Hounsfield units "
            f"(range {low:g} to {high:g}). Used as it is; check the rescale slope and intercept"
            + (f"; {or_else}" if or_else else ".")
        )
    if high == MAX_HU and (image[:, [0, 0, -1, -1], [0, -1, 0, -1]] == MAX_HU).any():
        share = 100 * np.count_nonzero(image == MAX_HU) / image.size
        notes.append(
            f"{name}: {share:.1f} % of its pixels are at or above {MAX_HU} HU, the corners "
            "among them, where no metal is: they are probably padding that the header does not "
            "declare. Used as they are, so they are white; set them to air at the export."
        )
    return notes

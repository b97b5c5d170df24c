"""Distance between the surfaces of a predicted and a true structure: HD95 of a patient."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def hd95(
    prediction: NDArray[np.bool_], target: NDArray[np.bool_], spacing: Sequence[float] | None = None
) -> float | None:
    """The larger of the two directed 95th percentiles of surface distances.

    Args:
        prediction: (H, W) or (S, H, W) True inside the structure.
        target: the same shape.
        spacing: distance between neighbours along each axis; 1 pixel where it is missing.

    Returns:
        Distance in the unit of the spacing, or None where a side is empty: there is no surface to
        measure to, and any number put in its place would be a choice of ours.

    Source: the definition of MONAI's `compute_hausdorff_distance(percentile=95)`, which a test
    compares. Distances come from a tree over the surface points, not from a map of the whole
    volume: ten times faster on a CT volume, and without seconds of importing MONAI.
    """
    if not prediction.any() or not target.any():
        return None
    from scipy.spatial import cKDTree

    step = np.ones(prediction.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    box = _bounding_box(prediction | target)
    surfaces = [_surface_points(side[box]) * step for side in (prediction, target)]
    directed = [
        cKDTree(surfaces[1]).query(surfaces[0])[0],
        cKDTree(surfaces[0]).query(surfaces[1])[0],
    ]
    return max(float(np.percentile(distances, 95)) for distances in directed)


def patient_hd95(
    slices: Sequence[Mapping[str, Any]], labels: Iterable[int]
) -> tuple[dict[int, float | None], str, int]:
    """HD95 of one patient, in 3-D where its slices make a volume, else as the mean over its slices.

    Args:
        slices: per slice "prediction" and "target" (H, W) uint8, "index" (position or None),
            "spacing_mm" ((slice, row, column) or None); in any order.
        labels: classes to score.

    Returns:
        Distance by label (None where undefined), the unit "mm" (volume without gaps, known spacing)
        or "px" (mean of 2-D distances over the slices where both sides hold the class), and the
        number of comparisons with only one side empty.
    """
    ordered = sorted(slices, key=lambda piece: -1 if piece["index"] is None else piece["index"])
    spacing = _volume_spacing(ordered)
    values: dict[int, float | None] = {}
    undefined = 0
    for label in labels:
        pairs = [(piece["prediction"] == label, piece["target"] == label) for piece in ordered]
        if spacing is not None:
            pairs = [(np.stack([p for p, _ in pairs]), np.stack([t for _, t in pairs]))]
        undefined += sum(bool(p.any()) != bool(t.any()) for p, t in pairs)
        distances = [hd95(p, t, spacing) for p, t in pairs]
        defined = [distance for distance in distances if distance is not None]
        values[label] = math.fsum(defined) / len(defined) if defined else None
    return values, "px" if spacing is None else "mm", undefined


def _volume_spacing(ordered: Sequence[Mapping[str, Any]]) -> tuple[float, float, float] | None:
    """Spacing in mm of neighbouring slices; None for others, and for one, which is all surface."""
    indices = [piece["index"] for piece in ordered]
    spacings = [piece["spacing_mm"] for piece in ordered]
    if len(ordered) < 2 or None in indices or any(s is None or None in s for s in spacings):
        return None
    if any(after - before != 1 for before, after in pairwise(indices)):
        return None
    first = np.asarray(spacings[0], dtype=np.float64)
    if not np.allclose(np.asarray(spacings, dtype=np.float64), first, rtol=1e-4):
        return None
    return float(first[0]), float(first[1]), float(first[2])


def _surface_points(inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(K, axes) voxels of a structure with a face on its outside; beyond the array is outside."""
    from scipy.ndimage import binary_erosion

    return np.argwhere(inside & ~binary_erosion(inside))


def _bounding_box(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box that holds the True pixels; distances between surfaces lie within it."""
    box = []
    for axis in range(inside.ndim):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)

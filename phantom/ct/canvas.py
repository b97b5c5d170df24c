"""A stack of slices that tissue is painted on: shapes in millimetres, edges one voxel soft."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from phantom.fields import Array, SmoothField

AIR_HU = -1000.0
# Coordinates are warped by at most about this much; boxes around shapes leave room for it.
WARP_REACH_MM = 14.0
_FAR_MM = np.float32(1e3)

Box = tuple[slice, slice, slice]


class Canvas:
    """HU and labels of some slices, with what is still free for the next organ.

    Axes are (slice, row, column); z grows towards the feet, y towards the back, x towards the
    patient's left, as in KiTS19. All distances are signed and in mm: negative inside a shape.

    Args:
        z_mm: (S,) positions of the slices.
        y_mm: (H,) positions of the rows.
        x_mm: (W,) positions of the columns.
        slice_mm: Thickness of a slice.
        fields: `warp_z`, `warp_y`, `warp_x` bend space; the others are kept in `noise`.
        warp_mm: Standard deviation of the bending.
        roll_rad: The patient's rotation about the long axis.
    """

    def __init__(
        self,
        z_mm: np.ndarray,
        y_mm: np.ndarray,
        x_mm: np.ndarray,
        slice_mm: float,
        fields: Mapping[str, SmoothField],
        warp_mm: float,
        roll_rad: float,
    ) -> None:
        pixel_mm = float(x_mm[1] - x_mm[0])
        self.edge_mm = np.float32(max(pixel_mm, 0.8))
        self.axes = (z_mm, y_mm, x_mm)
        self.roll = (float(np.cos(roll_rad)), float(np.sin(roll_rad)))
        sampled = {
            name: field.sample(z_mm, y_mm, x_mm, pixel_mm, slice_mm)
            for name, field in fields.items()
        }
        self.noise = {name: f for name, f in sampled.items() if not name.startswith("warp")}
        cos, sin = np.float32(np.cos(roll_rad)), np.float32(np.sin(roll_rad))
        y, x = y_mm[:, None].astype(np.float32), x_mm[None, :].astype(np.float32)
        amplitude = np.float32(warp_mm)
        self.z = z_mm[:, None, None].astype(np.float32) + amplitude * sampled["warp_z"]
        self.y = (cos * y - sin * x) + amplitude * sampled["warp_y"]
        self.x = (sin * y + cos * x) + amplitude * sampled["warp_x"]
        self.hu = np.full(self.z.shape, AIR_HU, np.float32)
        self.labels = np.zeros(self.z.shape, np.uint8)
        # Distance to the room that no organ has taken yet; `torso` sets it.
        self.free = np.full(self.z.shape, -_FAR_MM, np.float32)

    @property
    def whole(self) -> Box:
        """The box of every voxel."""
        return (slice(None), slice(None), slice(None))

    def box(self, low: Sequence[float], high: Sequence[float]) -> Box | None:
        """Voxels that may lie between two corners (z, y, x), or None where none does."""
        cos, sin = self.roll
        corners = [(y, x) for y in (low[1], high[1]) for x in (low[2], high[2])]
        rows = [cos * y + sin * x for y, x in corners]
        columns = [cos * x - sin * y for y, x in corners]
        ranges = ((low[0], high[0]), (min(rows), max(rows)), (min(columns), max(columns)))
        slices = []
        for axis, (first, last) in zip(self.axes, ranges, strict=True):
            start = int(np.searchsorted(axis, first - WARP_REACH_MM))
            stop = int(np.searchsorted(axis, last + WARP_REACH_MM))
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return (slices[0], slices[1], slices[2])

    def around(self, centre: Sequence[float], reach: Sequence[float]) -> Box | None:
        """The box of centre - reach to centre + reach (z, y, x)."""
        c, r = np.asarray(centre, float), np.asarray(reach, float)
        return self.box(tuple(c - r), tuple(c + r))

    def coverage(self, distance: Array, thickness_mm: float | None = None) -> Array:
        """Share of each voxel that a shape covers, from the signed distance to its edge.

        Args:
            distance: Signed distance in mm.
            thickness_mm: Full thickness of a shape thinner than a voxel may be; it then fades
                instead of growing to a voxel's width.
        """
        share = np.clip(np.float32(0.5) - distance / self.edge_mm, 0, 1)
        if thickness_mm is not None:
            share *= np.float32(min(1.0, thickness_mm / float(self.edge_mm)))
        return share

    def paint(
        self, box: Box, distance: Array, hu: Array | float, thickness_mm: float | None = None
    ) -> None:
        """Cover what lies inside the shape with a tissue."""
        self.blend(box, self.coverage(distance, thickness_mm), hu)

    def blend(self, box: Box, share: Array, hu: Array | float) -> None:
        """Mix a tissue in with a share in [0, 1]."""
        view = self.hu[box]
        view += share * (np.asarray(hu, np.float32) - view)

    def clip(self, box: Box, distance: Array) -> Array:
        """A shape without what other organs have taken already."""
        return np.maximum(distance, self.free[box])

    def occupy(self, box: Box, distance: Array, gap_mm: float) -> None:
        """Take a shape out of the free room, and a gap around it."""
        np.maximum(self.free[box], np.float32(gap_mm) - distance, out=self.free[box])


def ellipsoid(canvas: Canvas, box: Box, centre: Sequence[float], radii: Sequence[float]) -> Array:
    """Distance to an ellipsoid; centre and radii as (z, y, x) in mm."""
    z = (canvas.z[box] - np.float32(centre[0])) / np.float32(radii[0])
    y = (canvas.y[box] - np.float32(centre[1])) / np.float32(radii[1])
    x = (canvas.x[box] - np.float32(centre[2])) / np.float32(radii[2])
    return scaled_distance(z, y, x, radii)


def scaled_distance(z: Array, y: Array, x: Array, radii: Sequence[float]) -> Array:
    """Distance to an ellipsoid from coordinates already divided by its radii.

    First-order: exact on the surface, and on spheres.
    """
    norm = np.sqrt(z * z + y * y + x * x) + np.float32(1e-6)
    slope = np.sqrt(
        (z / np.float32(radii[0])) ** 2
        + (y / np.float32(radii[1])) ** 2
        + (x / np.float32(radii[2])) ** 2
    )
    return norm * (norm - 1) / (slope + np.float32(1e-6))


def superellipse(
    y: Array, x: Array, height: Array | float, width: Array | float, power: float
) -> Array:
    """Radial distance to |y/height|^p + |x/width|^p = 1 in the plane."""
    p = np.float32(power)
    norm = (np.abs(y / height) ** p + np.abs(x / width) ** p) ** (1 / p) + np.float32(1e-6)
    return np.hypot(y, x) * (1 - 1 / norm)


def segment(y: Array, x: Array, start: Sequence[float], end: Sequence[float]) -> Array:
    """Distance in the plane to the segment between two points (y, x)."""
    (y0, x0), (y1, x1) = start, end
    dy, dx = np.float32(y1 - y0), np.float32(x1 - x0)
    along = np.clip(((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx), 0, 1)
    return np.hypot(y - y0 - along * dy, x - x0 - along * dx)


def tube(canvas: Canvas, path: np.ndarray, radius_mm: float) -> tuple[Box, Array] | None:
    """Distance to a tube along a polyline.

    Args:
        canvas: Where.
        path: (N, 3) points (z, y, x) in mm.
        radius_mm: Of the tube.

    Returns:
        A box and the distance in it, or None where the tube misses the canvas.
    """
    margin = radius_mm + 6
    outer = canvas.box(path.min(axis=0) - margin, path.max(axis=0) + margin)
    if outer is None:
        return None
    result = np.full(canvas.z[outer].shape, _FAR_MM, np.float32)
    for start, end in pairwise(path):
        box = canvas.box(np.minimum(start, end) - margin, np.maximum(start, end) + margin)
        if box is None:
            continue
        step = (end - start).astype(np.float32)
        z, y, x = (
            c[box] - np.float32(s)
            for c, s in zip((canvas.z, canvas.y, canvas.x), start, strict=True)
        )
        along = np.clip((z * step[0] + y * step[1] + x * step[2]) / (step @ step), 0, 1)
        distance = np.sqrt(
            (z - along * step[0]) ** 2 + (y - along * step[1]) ** 2 + (x - along * step[2]) ** 2
        )
        inner = tuple(
            slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True)
        )
        view = result[inner]
        np.minimum(view, distance - np.float32(radius_mm), out=view)
    return outer, result

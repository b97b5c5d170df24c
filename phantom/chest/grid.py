"""Where each pixel of a film lies in the patient, and how long its ray is inside a shape.

X-rays of a chest film come from far away, so rays are taken as parallel: along y (back to front)
for a PA film, along x for a lateral one. A shape is described once, in three dimensions, and both
views ask for the length of its chord.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phantom.chest.patient import ChestPatient
from phantom.chest.shapes import Ellipsoid, length_of
from phantom.fields import Array

Box = tuple[slice, slice]
_WARP_MM = 2.2
_TABLE_STEP_MM = 0.25
# Widths that `deposit` blurs by: the finest in pixels, each next one so many times as wide.
_FINEST_PX, _COARSER, _NUM_WIDTHS = 0.36, 1.8, 8


class FilmGrid:
    """Pixels of one film, in mm of the patient.

    Args:
        patient: Gives pose and field of view.
        is_lateral: Rays along x instead of y.
        size: Pixels per side.

    Attributes:
        u: (size, size) float32: x of a PA film's pixel, y of a lateral one's.
        z: (size, size) float32.
        pixel_mm: Pixel size.
    """

    def __init__(self, patient: ChestPatient, is_lateral: bool, size: int) -> None:
        visit = patient.visit
        self.is_lateral = is_lateral
        self.size = size
        self.pixel_mm = visit.field_of_view_mm / size
        self.rotation = float(np.sin(visit.rotation_rad))
        self.tilt = (float(np.cos(visit.tilt_rad)), float(np.sin(visit.tilt_rad)))
        # The lungs fill the upper two thirds of a film.
        self.centre = (visit.shift_mm[0], 20 * patient.size + visit.shift_mm[1])
        straight = np.asarray(np.arange(size) - (size - 1) / 2, np.float64) * self.pixel_mm
        column, row = straight[None, :].astype(np.float32), straight[:, None].astype(np.float32)
        cos, sin = self.tilt
        # A lateral film cuts the fields elsewhere: it shows other irregularities.
        at = np.array([700.0 * is_lateral])
        sampled = {
            name: field.sample(at, straight, straight, self.pixel_mm, self.pixel_mm)[0]
            for name, field in patient.fields.items()
        }
        self.noise = {name: f for name, f in sampled.items() if not name.startswith("warp")}
        self.u = cos * column - sin * row + self.centre[0] + _WARP_MM * sampled["warp_u"]
        self.z = sin * column + cos * row + self.centre[1] + _WARP_MM * sampled["warp_z"]
        self._first_z = float(self.z.min())
        self._step = ((self.z - self._first_z) / _TABLE_STEP_MM).astype(np.int32)
        ticks = np.arange(int(self._step.max()) + 2, dtype=np.float64)
        self._ticks = self._first_z + _TABLE_STEP_MM * ticks

    @property
    def whole(self) -> Box:
        """The box of every pixel."""
        return (slice(None), slice(None))

    def empty(self) -> NDArray[np.float32]:
        """(size, size) zeros."""
        return np.zeros((self.size, self.size), np.float32)

    def of_height(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Array:
        """A function of z alone, at every pixel; computed once per quarter millimetre."""
        return function(self._ticks).astype(np.float32)[self._step]

    def across(self, box: Box, depth_mm: float) -> Array:
        """Values of u in a box for what lies at a depth: rotation moves front against back."""
        if self.is_lateral:
            return self.u[box]
        return np.asarray(self.u[box] + self.rotation * float(depth_mm))

    def pixels(self, points_mm: NDArray[np.float64]) -> tuple[Array, Array]:
        """(column, row) in pixels of points (..., 3), as floats."""
        x, y, z = points_mm[..., 0], points_mm[..., 1], points_mm[..., 2]
        u = y if self.is_lateral else x - self.rotation * y
        u, z = u - self.centre[0], z - self.centre[1]
        cos, sin = self.tilt
        middle = (self.size - 1) / 2
        return (
            (cos * u + sin * z) / self.pixel_mm + middle,
            (cos * z - sin * u) / self.pixel_mm + middle,
        )

    def box(self, u_mm: tuple[float, float], z_mm: tuple[float, float]) -> Box | None:
        """Pixels that may lie between two corners, or None where none does."""
        cos, sin = self.tilt
        margin = 3 * _WARP_MM / self.pixel_mm + 1
        # Middle and half-extent of the tilted box, in pixels.
        u, z = (u_mm[0] + u_mm[1]) / 2 - self.centre[0], (z_mm[0] + z_mm[1]) / 2 - self.centre[1]
        half_u, half_z = abs(u_mm[1] - u_mm[0]) / 2, abs(z_mm[1] - z_mm[0]) / 2
        ranges = []
        for middle, half in (
            (cos * z - sin * u, cos * half_z + abs(sin) * half_u),
            (cos * u + sin * z, cos * half_u + abs(sin) * half_z),
        ):
            at = middle / self.pixel_mm + (self.size - 1) / 2
            start = max(int(at - half / self.pixel_mm - margin), 0)
            stop = min(int(at + half / self.pixel_mm + margin) + 2, self.size)
            if start >= stop:
                return None
            ranges.append(slice(start, stop))
        return (ranges[0], ranges[1])

    def chord_squared(self, shape: Ellipsoid, box: Box) -> Array:
        """Squared length of each ray inside an ellipsoid; negative where it misses."""
        m = shape.quadric
        along, over = (0, 1) if self.is_lateral else (1, 0)
        u = self.across(box, shape.centre_mm[1]) - float(shape.centre_mm[over])
        z = self.z[box] - float(shape.centre_mm[2])
        # m_aa t^2 + 2 (m_ua u + m_za z) t + quadratic(u, z) - 1 = 0 along the ray.
        a = m[along, along]
        uu = m[over, along] ** 2 - a * m[over, over]
        zz = m[2, along] ** 2 - a * m[2, 2]
        uz = 2 * (m[over, along] * m[2, along] - a * m[over, 2])
        scale = 4 / a**2
        uu, zz, uz, rest = (float(scale * factor) for factor in (uu, zz, uz, a))
        return np.asarray(uu * u * u + zz * z * z + uz * u * z + rest)

    def around(self, shape: Ellipsoid) -> Box | None:
        """The box that holds an ellipsoid."""
        reach = shape.reach_mm
        over = 1 if self.is_lateral else 0
        middle = shape.centre_mm[over] - (
            0 if self.is_lateral else self.rotation * shape.centre_mm[1]
        )
        return self.box(
            (middle - reach[over], middle + reach[over]),
            (shape.centre_mm[2] - reach[2], shape.centre_mm[2] + reach[2]),
        )

    def add_ellipsoid(self, image: Array, shape: Ellipsoid, gain: float = 1.0) -> None:
        """Add the chords of an ellipsoid to an image of path lengths."""
        box = self.around(shape)
        if box is not None:
            image[box] += gain * length_of(self.chord_squared(shape, box))

    def tube(self, points_mm: Array, radii_mm: Array) -> Array:
        """Chords of a solid tube along a polyline: (size, size), see `add_tube`."""
        result = self.empty()
        self.add_tube(result, points_mm, radii_mm, None, 0.0)
        return result

    def add_tube(
        self,
        image: Array,
        points_mm: Array,
        radii_mm: Array,
        wall_mm: Array | float | None,
        filling: float,
    ) -> None:
        """Add the chords of a tube along a polyline: at each pixel the longest of its pieces.

        Args:
            image: (size, size) path lengths.
            points_mm: (N, 3) corners.
            radii_mm: (N,) radii there; they change linearly between.
            wall_mm: Thickness of the wall, (N,) or one for all; None for a solid tube. Walls
                thinner than a pixel can show are drawn thicker.
            filling: What the inside counts, 0 to 1.
        """
        points = np.asarray(points_mm, np.float32)
        over = 1 if self.is_lateral else 0
        depth = (points[:-1, 1] + points[1:, 1]) / 2
        drift = np.zeros_like(depth) if self.is_lateral else self.rotation * depth
        start, end = points[:-1], points[1:]
        reach = float(np.max(radii_mm))
        low = np.minimum(start, end)[:, over] - drift
        high = np.maximum(start, end)[:, over] - drift
        box = self.box(
            (float(low.min()) - reach, float(high.max()) + reach),
            (float(points[:, 2].min()) - reach, float(points[:, 2].max()) + reach),
        )
        if box is None:
            return

        def pieces(values: Array) -> Array:
            return np.asarray(values, np.float32)[:, None, None]

        step = end - start
        du, dz = step[:, over], step[:, 2]
        length = np.maximum(np.hypot(du, dz), 1e-3)
        u = self.u[box] + pieces(drift - start[:, over])
        z = self.z[box] - pieces(start[:, 2])
        t = u * pieces(du / length**2) + z * pieces(dz / length**2)
        t = np.minimum(np.maximum(t, 0), 1)
        apart = (u - t * pieces(du)) ** 2 + (z - t * pieces(dz)) ** 2
        # A tube that runs towards the detector is longer along the ray than across.
        double = pieces(2 * np.minimum(np.linalg.norm(step, axis=1) / length, 1.8))

        def chords(radii: Array) -> Array:
            radius = pieces(radii[:-1]) + t * pieces(np.diff(radii))
            return np.asarray((double * length_of(radius * radius - apart)).max(axis=0))

        image[box] += chords(radii_mm)
        if wall_mm is not None:
            walls = np.maximum(wall_mm, 0.45 * self.pixel_mm)
            image[box] -= (1 - filling) * chords(np.maximum(radii_mm - walls, 0.3))

    def deposit(self, points_mm: NDArray[np.float64], volume_mm3: Array, radius_mm: Array) -> Array:
        """Path lengths of many thin pieces: each puts its volume down, then spreads by its radius.

        A circular tube's chords have the standard deviation radius / 2 across, so a Gaussian of
        that width keeps both volume and width. Pieces are sorted into a few widths, and each
        shares its volume between the two nearest, so the cost hardly depends on their number.

        Args:
            points_mm: (N, 3).
            volume_mm3: (N,) volume of each piece.
            radius_mm: (N,).
        """
        result = self.empty()
        column, row = self.pixels(points_mm)
        inside = (column > 0) & (row > 0) & (column < self.size - 2) & (row < self.size - 2)
        if not inside.any():
            return result
        column, row = column[inside], row[inside]
        weight = volume_mm3[inside] / self.pixel_mm**2
        step = np.maximum(np.log(radius_mm[inside] / 2 / self.pixel_mm / _FINEST_PX), 0)
        step = np.minimum(step / math.log(_COARSER), _NUM_WIDTHS - 1.001)
        level_of = step.astype(int)
        share = step - level_of
        # Only the pieces' own box is blurred, with room for the widest of them.
        room = int(3 * _FINEST_PX * _COARSER ** (int(level_of.max()) + 1)) + 2
        left, top = max(int(column.min()) - room, 0), max(int(row.min()) - room, 0)
        right = min(int(column.max()) + room, self.size)
        bottom = min(int(row.max()) + room, self.size)
        height, width = bottom - top, right - left
        column, row = column - left, row - top
        cell = row.astype(int) * width + column.astype(int)
        across, down = column % 1, row % 1
        for level in range(int(level_of.max()) + 2):
            used = (level_of == level) | (level_of == level - 1)
            if not used.any():
                continue
            amount = weight[used] * np.abs(share[used] - (level_of[used] == level))
            at, a, d = cell[used], across[used], down[used]
            cells = np.concatenate([at, at + 1, at + width, at + width + 1])
            parts = [(1 - a) * (1 - d), a * (1 - d), (1 - a) * d, a * d]
            layer = np.bincount(cells, np.concatenate([amount * p for p in parts]), height * width)
            result[top:bottom, left:right] += ndimage.gaussian_filter(
                layer.astype(np.float32).reshape(height, width),
                _FINEST_PX * _COARSER**level,
                mode="constant",
                truncate=2.7,
            )
        return result

"""Shapes that a chest is put together from: soft steps, ovals, ellipsoids, polygons, curves."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phantom.fields import Array

_OVAL_POWER = 2.4
_OVAL_STEPS = 4096
_OVAL = (1 - np.linspace(0, 1, _OVAL_STEPS + 1) ** _OVAL_POWER) ** (1 / _OVAL_POWER)
_OVAL = _OVAL.astype(np.float32)


def length_of(squared: Array) -> Array:
    """Square root where positive, else 0: chords come squared from quadrics."""
    return np.sqrt(np.maximum(squared, 0))


def ramp(distance: Array, width: float) -> Array:
    """0 to 1 smoothly while the distance goes from -width to width."""
    t = np.minimum(np.maximum(distance * (0.5 / width) + 0.5, 0), 1)
    return np.asarray(t * t * (3 - 2 * t))


def oval(share: Array) -> Array:
    """Half-chord of a superellipse of half-depth 1 at a share of its half-width; from a table."""
    return _OVAL[(np.minimum(np.abs(share), 1) * _OVAL_STEPS).astype(np.int32)]


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid in the patient.

    Attributes:
        centre_mm: (x, y, z).
        radii_mm: Of its own three axes.
        turn_rad: Rotation in the PA plane, from x towards z.
        lean_rad: Rotation in the lateral plane, from y towards z, before the turn.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    turn_rad: float = 0.0
    lean_rad: float = 0.0

    @cached_property
    def _axes(self) -> NDArray[np.float64]:
        """(3, 3) its own axes as columns."""
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        k, t = math.cos(self.lean_rad), math.sin(self.lean_rad)
        return np.array([[c, -s * t, -s * k], [0.0, k, -t], [s, c * t, c * k]])

    @cached_property
    def quadric(self) -> NDArray[np.float64]:
        """(3, 3) matrix M with d' M d = 1 on the surface, d from the centre."""
        return np.asarray((self._axes / np.square(self.radii_mm)) @ self._axes.T)

    @cached_property
    def reach_mm(self) -> tuple[float, float, float]:
        """How far it extends from its centre along (x, y, z)."""
        x, y, z = np.sqrt(((self._axes * self.radii_mm) ** 2).sum(axis=1)).tolist()
        return x, y, z

    def holds(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points (N, 3) lie inside."""
        off = points_mm - self.centre_mm
        return np.asarray(((off @ self.quadric) * off).sum(axis=1) < 1)


def polygon_distance(x: Array, z: Array, corners: NDArray[np.float64]) -> Array:
    """Signed distance to a polygon (N, 2) of (x, z), negative inside, in mm."""
    nearest = np.full(x.shape, 1e9, np.float32)
    inside = np.zeros(x.shape, bool)
    following = np.roll(corners, -1, axis=0).tolist()
    for (x0, z0), (x1, z1) in zip(corners.tolist(), following, strict=True):
        dx, dz = x1 - x0, z1 - z0
        px, pz = x - x0, z - z0
        t = (px * dx + pz * dz) / (dx * dx + dz * dz)
        t = np.minimum(np.maximum(t, 0), 1)
        np.minimum(nearest, (px - t * dx) ** 2 + (pz - t * dz) ** 2, out=nearest)
        inside ^= ((z < z0) != (z < z1)) & (px < pz * dx / (dz or 1e-6))
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def smooth_line(corners: NDArray[np.float64], num_points: int) -> NDArray[np.float64]:
    """(num_points, D) on the Catmull-Rom curve through corners (N, D)."""
    ends = np.vstack([2 * corners[0] - corners[1], corners, 2 * corners[-1] - corners[-2]])
    position = np.linspace(0, len(corners) - 1, num_points)
    k = np.minimum(position.astype(int), len(corners) - 2)
    t = (position - k)[:, None]
    a, b, c, d = ends[k], ends[k + 1], ends[k + 2], ends[k + 3]
    return np.asarray(
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2)
        + 0.5 * (3 * b - a - 3 * c + d) * t**3
    )

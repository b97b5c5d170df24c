"""Smooth random fields in millimetres: the irregularity of organs, vessels and tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SmoothField:
    """A stationary Gaussian-like field: a sum of plane waves of random direction and phase.

    It is defined on all of space, so every pixel grid samples the same field.

    Attributes:
        wave_numbers: (N, 3) in rad / mm, axes z, y, x.
        phases: (N,) in rad.
    """

    wave_numbers: NDArray[np.float64]
    phases: NDArray[np.float64]

    def sample(
        self,
        z_mm: NDArray[np.float64],
        y_mm: NDArray[np.float64],
        x_mm: NDArray[np.float64],
        pixel_mm: float,
        slice_mm: float,
    ) -> Array:
        """Sample on the grid z x y x x as averages over a voxel.

        Waves that a voxel cannot carry are damped by its box filter, so a coarse grid shows no
        aliasing. Memory and time are those of one (H, N) by (N, W) product per slice.

        Args:
            z_mm: (S,) slice positions.
            y_mm: (H,) row positions.
            x_mm: (W,) column positions.
            pixel_mm: Width of a pixel.
            slice_mm: Thickness of a slice.

        Returns:
            (S, H, W) float32 with mean 0 and standard deviation about 1 (less where damped).
        """
        size = np.array([slice_mm, pixel_mm, pixel_mm])
        damping = np.sinc(self.wave_numbers * size / (2 * np.pi)).prod(axis=1)
        amplitude = np.sqrt(2.0 / len(self.phases)) * damping
        k_z, k_y, k_x = self.wave_numbers.T
        rows = np.exp(1j * np.outer(y_mm, k_y))
        columns = np.exp(1j * np.outer(k_x, x_mm))
        across = np.vstack([columns.real, -columns.imag]).astype(np.float32)
        result = np.empty((len(z_mm), len(y_mm), len(x_mm)), np.float32)
        for index, z in enumerate(z_mm):
            turned = rows * (amplitude * np.exp(1j * (k_z * z + self.phases)))
            down = np.hstack([turned.real, turned.imag]).astype(np.float32)
            np.matmul(down, across, out=result[index])
        return result


def draw_field(
    rng: np.random.Generator, shortest_mm: float, longest_mm: float, num_waves: int = 40
) -> SmoothField:
    """Draw a field whose wavelengths lie between two lengths (log-uniform, isotropic)."""
    direction = rng.normal(size=(num_waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), num_waves))
    return SmoothField(
        wave_numbers=direction * (2 * np.pi / length)[:, None],
        phases=rng.uniform(0, 2 * np.pi, num_waves),
    )

"""From path lengths to a film: attenuation, scatter, photons, processing for the eye."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from phantom.chest.patient import Visit
from phantom.fields import Array

# Effective attenuation per mm at about 120 kV behind a thick body.
SOFT_PER_MM = 0.0178
BONE_PER_MM = 0.050  # beyond the soft tissue that it replaces
METAL_PER_MM = 0.42
LUNG_DENSITY = 0.24


@dataclass
class Projection:
    """Path lengths along the rays of one film, each (H, W) in mm.

    Attributes:
        soft_mm: Water-like tissue, that of the lungs included.
        bone_mm: Compact bone.
        metal_mm: Devices and lead letters.
    """

    soft_mm: Array
    bone_mm: Array
    metal_mm: Array

    def transmitted(self) -> Array:
        """Share of the photons that pass unscattered (Beer and Lambert): (H, W) in (0, 1]."""
        total = SOFT_PER_MM * self.soft_mm + BONE_PER_MM * self.bone_mm
        return np.exp(-(total + METAL_PER_MM * self.metal_mm)).astype(np.float32)


def _broad(image: Array, sigma_px: float) -> Array:
    """Gaussian blur of a wide kernel, on a coarse copy: wide blurs need few samples."""
    step = max(int(sigma_px / 2.5), 1)
    if step == 1:
        return ndimage.gaussian_filter(image, sigma_px, mode="nearest", truncate=3.0)
    size = image.shape[0] // step * step
    small = image[:size, :size].reshape(size // step, step, size // step, step).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, sigma_px / step, mode="nearest", truncate=3.0)
    # Sample the coarse cells' centres.
    position = np.clip((np.arange(image.shape[0]) + 0.5) / step - 0.5, 0, len(small) - 1)
    k = np.minimum(position.astype(int), len(small) - 2)
    t = (position - k).astype(np.float32)
    rows = small[k] * (1 - t)[:, None] + small[k + 1] * t[:, None]
    return np.asarray(rows[:, k] * (1 - t) + rows[:, k + 1] * t)


def expose(
    projection: Projection, visit: Visit, pixel_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """What the detector measures, as the negative logarithm: (H, W), 0 where nothing is in the way.

    Scattered photons reach the detector tens of mm from their ray and veil what is thick. Noise
    is that of counting photons, blurred a little by the detector.
    """
    primary = projection.transmitted()
    scatter = 0.34 * _broad(primary, 22 / pixel_mm) + 0.10 * _broad(primary, 70 / pixel_mm)
    signal = (primary + scatter) / 1.44
    signal = ndimage.gaussian_filter(signal, max(0.28 / pixel_mm, 0.42), truncate=3.0)
    counts = visit.photons * pixel_mm**2
    noise = rng.standard_normal(signal.shape, np.float32)
    noise = ndimage.gaussian_filter(noise, 0.55, truncate=3.0) * 1.9
    noisy = signal + noise * np.sqrt(signal / counts)
    return -np.log(np.maximum(noisy, 1e-4))


def develop(log_signal: Array, visit: Visit, pixel_mm: float, usual: float) -> NDArray[np.float32]:
    """Processing for the eye: edges enhanced, broad differences compressed, an S-shaped curve.

    Returns:
        (H, W) in [0, 1]; what is thick is white.
    """
    fine = log_signal - ndimage.gaussian_filter(log_signal, max(2.2 / pixel_mm, 0.6), truncate=3.0)
    medium = log_signal - _broad(log_signal, 16 / pixel_mm)
    value = log_signal + visit.sharpening * fine + 0.25 * medium
    middle, slope = 2.13 + usual - 2.0 * visit.brightness, 1.42 * visit.contrast
    curve = 1 / (1 + np.exp(-slope * (value - middle)))
    # Direct exposure is black, whatever the curve leaves there.
    floor = 1 / (1 + np.exp(slope * middle))
    return np.clip((curve - floor) / (1.03 - floor), 0, 1).astype(np.float32)

"""The scanner: blur of the reconstruction kernel, correlated noise, whole Hounsfield units."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

MIN_HU, MAX_HU = -1024, 3071
# The pixel size that `noise_hu` is given for.
_REFERENCE_PIXEL_MM = 0.8


def correlated_noise(
    rng: np.random.Generator, shape: tuple[int, int], pixel_mm: float
) -> NDArray[np.float32]:
    """Noise with the texture of filtered back-projection: mean 0, standard deviation 1.

    Its spectrum rises like the ramp filter and falls with a soft body kernel, so that it is
    grainy at about 2 mm and has next to no power at low frequencies. A coarse grid sees only the
    rising part and would show hardly any noise; a white share keeps some, as a fast scan with a
    coarse matrix does.

    Source: Riederer, Pelc and Chesler 1978, "The noise power spectrum in computed X-ray
    tomography"; the kernel's fall-off is a Gaussian here.
    """
    height, width = shape
    white = rng.standard_normal(shape).astype(np.float32)
    frequency = np.hypot(
        fft.fftfreq(height, pixel_mm)[:, None], fft.rfftfreq(width, pixel_mm)[None, :]
    )
    gain = np.sqrt(frequency * np.exp(-((frequency / 0.42) ** 2)) + 0.012)
    noise = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), s=shape)
    return (noise / noise.std()).astype(np.float32)


def scan(
    hu: NDArray[np.floating],
    rng: np.random.Generator,
    pixel_mm: float,
    blur_mm: float,
    noise_hu: float,
) -> NDArray[np.int16]:
    """One slice as the scanner stores it.

    Args:
        hu: (H, W) the object.
        rng: The slice's own generator.
        pixel_mm: Pixel size.
        blur_mm: Standard deviation of the point-spread function.
        noise_hu: Standard deviation of the noise in the body's middle at 0.8 mm pixels. Larger
            pixels average it: it falls with the square root of the pixel size, slower than for
            white noise, so that small images keep some.

    Returns:
        (H, W) int16, clipped to [-1024, 3071].
    """
    sigma = float(np.hypot(blur_mm / pixel_mm, 0.35))
    blurred = ndimage.gaussian_filter(hu, sigma, truncate=3.0)
    # More X-rays are lost on the way to the middle of a body than at its edge.
    tissue = ndimage.zoom(
        ndimage.gaussian_filter(
            (hu[::4, ::4] > -500).astype(np.float32), 22 / (4 * pixel_mm), truncate=2.5
        ),
        (hu.shape[0] / len(hu[::4]), hu.shape[1] / len(hu[0, ::4])),
        order=1,
    )
    strength = noise_hu * np.sqrt(_REFERENCE_PIXEL_MM / pixel_mm) * (0.35 + 0.65 * tissue)
    noisy = blurred + strength.astype(np.float32) * correlated_noise(rng, hu.shape, pixel_mm)
    return np.clip(np.rint(noisy), MIN_HU, MAX_HU).astype(np.int16)

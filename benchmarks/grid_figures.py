"""Numbers about a grid in films, and about their borders, with bootstrap replicates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERIODS = (2, 4, 8)
MARGIN = 4  # pixels at each border that count as border, and not for a grid
RINGS = 6
REPLICATES = 400

Floats = NDArray[np.float64]
Figures = dict[str, Floats]


def figures_of(films: Floats, weights: Floats) -> Figures:
    """What is measured of a set, once for every row of weights.

    Args:
        films: (N, S, S) in [-1, 1], S a power of two from 32 up.
        weights: (B, N), each row with sum 1: how much each film counts.

    Returns:
        By name, (B, ...): "step" (B, 3), for each of `PERIODS` the mean absolute difference of two
        neighbours across its lines, those of twice the period left out, over that across lines of
        half the period: 1 without a grid; "axis" (B, S / 2), power on both axes at frequencies 1
        to S / 2 in cycles per film, after a Hann window; "locked" (B, S / 2), the share of that
        power that is the same in all films; "radial" (B, S / 2), mean power by distance from
        frequency 0; by distance from the border, "mean", "deviation" (over films, of a pixel) and
        "slope" (absolute difference from the next pixel inwards), each (B, `RINGS`).
    """
    return {**_steps(films, weights), **_spectrum(films, weights), **_rings(films, weights)}


def _steps(films: Floats, weights: Floats) -> Figures:
    inner = slice(MARGIN, films.shape[1] - MARGIN)
    down = np.abs(np.diff(films, axis=1))[:, :, inner].mean(2)
    along = np.abs(np.diff(films, axis=2))[:, inner].mean(1)
    steps = (down + along) / 2  # (N, S - 1); entry i lies between pixels i and i + 1
    places = np.arange(1, films.shape[1])
    inside = (places > MARGIN) & (places < films.shape[1] - MARGIN)

    def size(of: NDArray[np.bool_]) -> Floats:
        return weights @ steps[:, of & inside].mean(1)

    # Lines of a period without those of the next, for which there is a ratio of their own.
    lines = [places % 2 == 1, *(places % (2 * one) == one for one in PERIODS[:-1])]
    lines.append(places % PERIODS[-1] == 0)
    sizes = [size(of) for of in lines]
    ratios = [sizes[k + 1] / sizes[k] for k in range(len(PERIODS))]
    return {"step": np.stack(ratios, 1)}


def _spectrum(films: Floats, weights: Floats) -> Figures:
    side = films.shape[1]
    window = np.hanning(side + 1)[:-1]
    window = np.outer(window, window)
    means = (films * window).sum((1, 2), keepdims=True) / window.sum()
    waves = np.fft.fft2((films - means) * window, norm="ortho") / np.sqrt((window**2).mean())
    power = np.abs(waves) ** 2
    half = np.arange(1, side // 2 + 1)
    # A window spreads a line over its neighbours, so three of the other axis belong to it.
    near = [-1, 0, 1]
    upright, level = waves[:, half][:, :, near], waves[:, :, half][:, near].swapaxes(1, 2)
    rows = np.concatenate([upright, level], 2)
    on_axes = weights @ (np.abs(rows) ** 2).mean(2)
    common = np.abs(np.tensordot(weights, rows, 1)) ** 2
    frequencies = np.abs(np.fft.fftfreq(side, 1 / side))
    radius = np.rint(np.hypot(frequencies[:, None], frequencies)).astype(int)
    radial = np.stack([power[:, radius == k].mean(1) for k in half], 1)
    # Of films that have nothing in common, 1 / N is left by chance.
    return {
        "axis": on_axes,
        "locked": common.mean(2) / on_axes - (weights**2).sum(1, keepdims=True),
        "radial": weights @ radial,
    }


def _rings(films: Floats, weights: Floats) -> Figures:
    side = films.shape[1]
    place = np.arange(side)
    nearest = np.minimum(place, side - 1 - place)
    distance = np.minimum(nearest[:, None], nearest)
    flat = films.reshape(len(films), -1)
    mean = weights @ flat
    deviation = np.sqrt(np.maximum(weights @ flat**2 - mean**2, 0))
    down, along = np.abs(np.diff(films, axis=1)), np.abs(np.diff(films, axis=2))
    found: dict[str, list[Floats]] = {"mean": [], "deviation": [], "slope": []}
    for ring in range(RINGS):
        of_ring = (distance == ring).reshape(-1)
        found["mean"].append(mean[:, of_ring].mean(1))
        found["deviation"].append(deviation[:, of_ring].mean(1))
        middle = slice(ring + 1, side - 1 - ring)
        across = [down[:, ring, middle], down[:, -1 - ring, middle]]
        across += [along[:, middle, ring], along[:, middle, -1 - ring]]
        found["slope"].append(weights @ np.concatenate(across, 1).mean(1))
    return {name: np.stack(rings, 1) for name, rings in found.items()}


def resampled(patients: Sequence[str], replicates: int, seed: int) -> Floats:
    """Weights (1 + replicates, N): all films equally, then bootstrap draws of whole patients."""
    random = np.random.default_rng(seed)
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), replicates)
    counts = np.concatenate([np.ones((1, len(owner))), draws[:, owner]])
    return counts / counts.sum(1, keepdims=True)

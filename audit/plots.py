"""Figures of an audit. One of them shows patients, as points, and stays with the data."""

import numpy as np
from numpy.typing import NDArray

from audit.distances.spaces import Space
from audit.measured import Measured
from audit.planted import PLAIN
from datamodules.beside_synthetic import spread
from display.figures import COLOURS, new_figure, png, shared_legend, styled

_HELD = (0.5, 0.9)
"""Shares of the real images that the drawn areas hold."""

_CELLS = 120
_SMOOTHED = 3000
"""Images, evenly spread, that a density is made of: its time grows with their square."""


@styled
def scores_plot(found: Measured) -> bytes:
    """Histograms of the scores of the set, of held-out images and of planted copies."""
    figure, axes = new_figure(figsize=(7.2, 3.6))
    planted = np.concatenate([one.scores for one in found.planted.values()])
    edges = np.linspace(-3, 20, 70)
    for scores, label, colour, style in (
        (found.held_out, "held-out images", COLOURS[6], "-"),
        (planted, "planted copies, all disguises", COLOURS[1], (0, (1, 1.2))),
        (found.planted[PLAIN].scores, "of these undisguised", COLOURS[5], (0, (5, 2))),
        (found.synthetic, "synthetic images", COLOURS[0], "-"),
    ):
        share = np.full(len(scores), 100 / len(scores))
        axes.hist(
            scores.clip(-3, 20),
            edges,
            weights=share,
            histtype="step",
            label=label,
            color=colour,
            linestyle=style,
            linewidth=1.8,
        )
    axes.axvline(found.threshold, color="#333333", linewidth=1)
    axes.annotate(
        "threshold", (found.threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
        textcoords="offset points", fontsize=9,
    )  # fmt: skip
    axes.set_xlabel("Score")
    axes.set_ylabel("Share of images, %")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    shared_legend(figure, axes)
    return png(figure)


@styled
def components_plot(space: Space, points: bool) -> bytes:
    """The first two principal components of training images, with held-out and synthetic ones.

    A point is an image of a patient: who has the image and the embedding finds it again in a cloud
    of points, and so learns that it was there. Real images are therefore drawn as the smoothed
    areas that hold 50 and 90 % of them, but in the figure that stays with the data.

    Args:
        space: Where images are points.
        points: Whether real images are drawn as points, one by one.
    """
    figure, axes = new_figure(figsize=(7.2, 4.6))
    (training, held_out, synthetic), shares = _projected(space)
    axes.scatter(
        *synthetic.T, s=7, color=COLOURS[0], alpha=0.5, linewidths=0, label="synthetic images",
        rasterized=True,
    )  # fmt: skip
    for real, name, colour, mark, line in (
        (training, "training images", COLOURS[5], "+", "-"),
        (held_out, "held-out images", COLOURS[6], "x", (0, (4, 2))),
    ):
        if points:
            axes.scatter(*real.T, s=12, color=colour, marker=mark, linewidths=0.6, label=name)
            continue
        every = np.concatenate([training, held_out])
        x, y, density, levels = _areas(real, every)
        axes.contour(x, y, density, levels=levels, colors=[colour], linewidths=1.4,
                     linestyles=[line])  # fmt: skip
        axes.plot([], [], color=colour, linestyle=line, label=f"{name}: 50 and 90 % of them")
    axes.set_xlabel(f"First component, {100 * shares[0]:.0f} % of the variance")
    axes.set_ylabel(f"Second component, {100 * shares[1]:.0f} %")
    shared_legend(figure, axes)
    return png(figure)


def _projected(space: Space) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Training, held-out and synthetic images (N, 2), and the two shares of the variance."""
    training = space.training.double().numpy()
    centre = training.mean(0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(training - centre, rowvar=False)))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])  # eigenvectors have no sign
    sides = (space.training, space.held_out, space.synthetic)
    total = max(float(values.sum()), 1e-12)
    return [(one.double().numpy() - centre) @ axes for one in sides], values[::-1][:2] / total


def _areas(
    real: NDArray[np.float64], every: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], list[float]]:
    """A grid, the smoothed density of images on it, and the heights above which areas hold them."""
    from scipy.stats import gaussian_kde

    low, high = every.min(0), every.max(0)
    real = real[spread(len(real), _SMOOTHED)]
    margin = 0.15 * (high - low) + 1e-9
    x, y = (
        np.linspace(low[axis] - margin[axis], high[axis] + margin[axis], _CELLS) for axis in (0, 1)
    )
    # Images that lie in one point or on a line have no density: a hair's breadth of noise.
    hair = 1e-3 * (high - low).max() + 1e-9
    real = real + np.random.default_rng(0).normal(0, hair, real.shape)
    smooth = gaussian_kde(real.T)
    density = smooth(np.stack(np.meshgrid(x, y)).reshape(2, -1)).reshape(_CELLS, _CELLS)
    own = smooth(real.T)
    return x, y, density, sorted(np.quantile(own, [1 - share for share in _HELD]).tolist())

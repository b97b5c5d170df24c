"""The vessels of the lungs: trees that fill the lungs' room, drawn cheaply.

A tree is grown towards random points in the lung. At every fork the points that a branch feeds
are parted in two across their longest extent, and each new branch goes a part of the way to the
middle of its half. Thickness follows the number of points fed, so that all forks of one level are
computed together and a tree of a thousand branches takes a millisecond.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phantom.chest.grid import FilmGrid
from phantom.chest.mediastinum import heart_chambers
from phantom.chest.patient import LEFT, RIGHT, ChestPatient
from phantom.chest.torso import Thorax, domes
from phantom.fields import Array

Points = NDArray[np.float64]
_PIECES = 11
# Murray 1926: the cube of the radius is shared out at a fork. Lungs measure a little steeper.
_MURRAY = 2.85
# Forks lie in the plane of the film rather than along the rays (x, y, z).
_FORK_PLANE = np.array([1.0, 0.6, 1.0])


@dataclass(frozen=True)
class Tree:
    """Short pieces of the branches of one or more trees.

    Attributes:
        points_mm: (N, 3) their middles.
        heading: (N, 3) unit vectors of their branches.
        radius_mm: (N,).
        volume_mm3: (N,).
        level: (N,) forks between them and the root.
        root: (N,) which of the trees they belong to.
    """

    points_mm: Points
    heading: Points
    radius_mm: NDArray[np.float64]
    volume_mm3: NDArray[np.float64]
    level: NDArray[np.int64]
    root: NDArray[np.int64]

    def only(self, used: NDArray[np.bool_]) -> "Tree":
        """Some of the pieces."""
        return Tree(
            self.points_mm[used],
            self.heading[used],
            self.radius_mm[used],
            self.volume_mm3[used],
            self.level[used],
            self.root[used],
        )


def points_in_lung(
    patient: ChestPatient, side: int, number: int, rng: np.random.Generator
) -> Points:
    """Random points (number, 3) in a lung, above the diaphragm and outside the heart.

    They are drawn in full inspiration and without disease, then lifted by the breath of this
    visit, so that all visits show the same points.
    """
    shown = patient
    patient = shown.in_full_breath()
    thorax, dome = Thorax(patient), domes(patient)[side]
    count = 3 * number
    z = patient.apex_z_mm + 4 + (146 * patient.size - patient.apex_z_mm) * rng.random(count) ** 0.8
    lateral, medial = thorax.lateral(z) - 2, thorax.medial(z) + 2
    x = rng.uniform(medial, np.maximum(lateral, medial + 1))
    y = rng.uniform(-1, 1, count) * thorax.half_depth(z)
    centre, half = (lateral + medial) / 2, np.maximum((lateral - medial) / 2, 1)
    round_ = (
        np.abs((x - centre) / half) ** 2.4 + np.abs(y / np.maximum(thorax.half_depth(z), 1)) ** 2.4
    )
    points = np.column_stack([side * x, y + thorax.middle(z), z])
    off = (points - dome.centre_mm) / dome.radii_mm
    off[:, 2] = np.minimum(off[:, 2], 0)
    used = (round_ < 0.97) & ((off**2).sum(axis=1) > 1.03)
    for chamber in heart_chambers(patient):
        used &= ~chamber.holds(points)
    found = points[used]
    # Points are far more than needed; a narrow lung repeats some.
    found = found[np.arange(number) % len(found)]
    root_z, floor = float(hilum(patient, side)[2]), dome.centre_mm[2] - dome.radii_mm[2]
    risen = shown.visit.short_breath_mm / (floor - root_z)
    found[:, 2] -= np.maximum(found[:, 2] - root_z, 0) * risen
    return found


def grow_trees(
    rng: np.random.Generator,
    roots_mm: Points,
    headings: Points,
    ends: Points,
    radii_mm: NDArray[np.float64],
    finest_mm: float,
) -> Tree:
    """Grow trees from their roots towards their ends.

    Args:
        rng: For the forks.
        roots_mm: (R, 3) starts.
        headings: (R, 3) directions of the trunks.
        ends: (R, 2**levels, 3) ends.
        radii_mm: (R,) of the trunks.
        finest_mm: Thinner branches are left out; the others stay as they are.
    """
    num_roots = len(roots_mm)
    levels = int(np.log2(ends.shape[1]))
    groups, nodes, heading, radius = ends, roots_mm, _unit(headings), radii_mm
    t = ((np.arange(_PIECES) + 0.5) / _PIECES)[None, :, None]
    from_node, from_end = (1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t)
    from_start_slope, from_end_slope = t * (1 - t) ** 2, t**2 * (t - 1)
    # A branch opens at half its parent's cross-section and width, so that a fork is no knot.
    opened = np.minimum(2 * t[..., 0], 1)
    grown: list[tuple[NDArray[np.generic], ...]] = []
    for level in range(levels + 1):
        share = max(0.3, 1 / (levels + 1 - level))
        step = (groups.mean(axis=1) - nodes) * share
        if share < 1:
            step *= rng.uniform(0.85, 1.15, (len(nodes), 1))
        end = nodes + step
        length = np.sqrt((step * step).sum(axis=1, keepdims=True)) + 1e-6
        straight = step / length
        onward = _unit(0.65 * straight + 0.35 * heading)
        onward = _unit(onward + rng.normal(0, 0.12, step.shape))
        points = (
            nodes[:, None] * from_node
            + end[:, None] * from_end
            + (heading * length)[:, None] * from_start_slope
            + (onward * length)[:, None] * from_end_slope
        )
        parent = radius[:, None]
        own = parent * (2 ** (-1 / _MURRAY) if level else 1.0)
        width = parent + (own - parent) * opened
        area = 0.5 * parent**2 + (own**2 - 0.5 * parent**2) * opened if level else width**2
        # Bronchial walls and nodes go with the vessels of the hilum.
        volume = np.pi * area * length * ((1.05 + 0.8 * 0.6**level) / _PIECES)
        root = np.repeat(np.arange(num_roots), width.size // num_roots)
        grown.append(
            (
                points.reshape(-1, 3),
                np.repeat(straight, _PIECES, axis=0),
                width.ravel(),
                volume.ravel(),
                np.full(width.size, level),
                root,
            )
        )
        if level == levels or own.max() < finest_mm:
            break
        widest = (groups.var(axis=1) * _FORK_PLANE).argmax(axis=1)
        key = np.take_along_axis(groups, widest[:, None, None], axis=2)[..., 0]
        groups = np.take_along_axis(groups, key.argsort(axis=1)[..., None], axis=1)
        groups = groups.reshape(len(groups) * 2, -1, 3)
        nodes, heading = np.repeat(end, 2, axis=0), np.repeat(onward, 2, axis=0)
        radius = np.repeat(own[:, 0], 2)
    return Tree(*(np.concatenate(part) for part in zip(*grown, strict=True)))


def _unit(vectors: Points) -> Points:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def hilum(patient: ChestPatient, side: int) -> Points:
    """Where the vessels enter a lung (x, y, z); the left stands a little higher."""
    size = patient.size
    return np.array([side * 33.0 * size, 6.0, (-22 if side == RIGHT else -33) * size])


def lung_trees(patient: ChestPatient, finest_mm: float) -> dict[int, Tree]:
    """The pulmonary artery and vein of each lung, without thin branches (see `grow_trees`).

    Returns:
        By side; `root` is 0 for the artery and 1 for the vein.
    """
    rng = patient.rng(10)
    roots, headings, all_ends = [], [], []
    for side in (RIGHT, LEFT):
        root = hilum(patient, side)
        roots += [root, root + np.array([-side * 8.0, 4.0, 26 * patient.size])]
        headings += [[side * 0.6, 0.1, 0.75], [side * 0.95, 0.1, 0.2]]
        ends = points_in_lung(patient, side, 512, rng)
        all_ends += [ends, ends[rng.permutation(512)]]
    radii = np.array([7.8, 4.8, 7.8, 4.8]) * patient.vessel_gain * patient.size
    # All four at once: most of the time goes into calls, not into numbers.
    all_trees = grow_trees(
        rng, np.stack(roots), np.array(headings), np.stack(all_ends), radii, finest_mm
    )
    return {
        side: replace(part, root=part.root % 2)
        for side, part in (
            (RIGHT, all_trees.only(all_trees.root < 2)),
            (LEFT, all_trees.only(all_trees.root >= 2)),
        )
    }


def vessel_path(grid: FilmGrid, tree: Tree) -> Array:
    """Path through the vessels of a lung: (H, W) in mm."""
    along = 0 if grid.is_lateral else 1
    # Seen end on, a curved branch is shorter along the ray than a straight one would be.
    volume = tree.volume_mm3 * (1 - 0.6 * tree.heading[:, along] ** 2)
    return grid.deposit(tree.points_mm, volume, tree.radius_mm)

"""Diseases of the lungs and their coats: what they add to the path lengths of a film.

The large heart is not here: `chest_mediastinum` draws it by its size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.chest.grid import FilmGrid
from phantom.chest.patient import ChestPatient, Finding
from phantom.chest.shapes import Ellipsoid, length_of, oval, ramp
from phantom.chest.torso import Thorax, domes
from phantom.chest.vessels import Tree, points_in_lung
from phantom.fields import Array

# The line that the lung's coat leaves where rays run along it: half its width, its path.
_PLEURA_MM, _PLEURA_PATH_MM = 0.9, 10.0


@dataclass
class Lungs:
    """The lungs of one film; findings change them in place. Images are (H, W), paths in mm.

    Attributes:
        rooms: By side, path through the room above the diaphragm, mediastinum included.
        lung: Path through the lungs' room without the mediastinum.
        density: Of lung tissue, relative to water.
        tissue: Water-like path of lung tissue.
        dense: Path through what replaces lung tissue by water-like tissue, vessels aside.
        vessels: By side, path through the vessels.
        trees: By side, the vessels' pieces.
    """

    rooms: dict[int, Array]
    lung: Array
    density: Array
    tissue: Array
    dense: Array
    vessels: dict[int, Array]
    trees: dict[int, Tree]


def _position(patient: ChestPatient, finding: Finding) -> NDArray[np.float64]:
    """(x, y, z) in the lung, where neither heart nor diaphragm hides it."""
    at_rest = patient.in_full_breath()
    points, shown = (
        points_in_lung(body, finding.side, 64, np.random.default_rng([finding.seed, 0]))
        for body in (at_rest, patient)
    )
    thorax, size = Thorax(patient), patient.size
    x = finding.side * points[:, 0]
    room = np.minimum(x - 60 * size, thorax.lateral(points[:, 2]) - x - 14 * size)
    floor = domes(at_rest)[finding.side]
    top = floor.centre_mm[2] - floor.radii_mm[2]
    room = np.minimum(room, np.minimum(points[:, 2] + 85 * size, top - 16 * size - points[:, 2]))
    # The first that is clear of everything, or else the clearest; the same on every visit.
    return np.asarray(shown[int(np.argmax(np.minimum(room, 6 * size)))])


def nodule(patient: ChestPatient, finding: Finding) -> Ellipsoid:
    """The nodule as a slightly uneven ball of about 5 to 30 mm."""
    radius = 2.5 + 12.5 * finding.strength
    uneven = np.random.default_rng([finding.seed, 1]).uniform(0.9, 1.1, 3) * radius
    x, y, z = _position(patient, finding)
    return Ellipsoid((x, y, z), (uneven[0], uneven[1], uneven[2]), turn_rad=finding.seed % 3)


def opacity(patient: ChestPatient, finding: Finding) -> list[Ellipsoid]:
    """The filled parts of the lung: one large beside smaller ones, or many patches."""
    rng = np.random.default_rng([finding.seed, 2])
    centre = _position(patient, finding)
    is_lobar = finding.seed % 2 == 0
    number = 5 if is_lobar else 11
    spread = np.array([20.0, 16.0, 18.0]) if is_lobar else np.array([24.0, 22.0, 30.0])
    parts = []
    for k in range(number):
        radius = rng.uniform(13, 22) * (1.7 if is_lobar and k == 0 else 1.0)
        radii = radius * patient.size * rng.uniform(0.75, 1.25, 3)
        x, y, z = centre + rng.normal(0, 1, 3) * spread * (k > 0)
        parts.append(
            Ellipsoid((x, y, z), (radii[0], radii[1], radii[2]), turn_rad=float(rng.uniform(0, 3)))
        )
    return parts


def opacity_path(patient: ChestPatient, grid: FilmGrid, finding: Finding) -> Array:
    """Path through filled lung: fuzzy, mottled, and without end at the lung's border."""
    squared = grid.empty()
    for part in opacity(patient, finding):
        box = grid.around(part)
        if box is not None:
            ragged = 0.5 * grid.noise["coarse"][box] + 0.35 * grid.noise["medium"][box]
            # Thickness varies most where there is little: at the edge.
            chord = grid.chord_squared(part, box) + (part.radii_mm[0] ** 2) * ragged
            squared[box] += np.maximum(chord, 0)
    path = length_of(squared)
    # Edges of filled lobules are feathered: short paths count less.
    path *= path / (path + (22 * patient.size))
    mottle = 1 + 0.10 * grid.noise["medium"] + 0.16 * grid.noise["coarse"]
    return path * np.clip(mottle, 0.3, 1.5) * (0.12 + 0.88 * finding.strength)


def bronchogram_path(patient: ChestPatient, grid: FilmGrid, finding: Finding, tree: Tree) -> Array:
    """Path through the airways that stay open in filled lung: they run beside the arteries."""
    inside = np.zeros(len(tree.level), bool)
    for part in opacity(patient, finding):
        inside |= part.holds(tree.points_mm)
    inside &= (tree.root == 0) & (tree.level >= 2) & (tree.level <= 6)
    beside = tree.points_mm[inside] + np.array([2.5, 0, -2.5]) * patient.size
    air = grid.deposit(beside, 1.1 * tree.volume_mm3[inside], 1.05 * tree.radius_mm[inside])
    return air * finding.strength


def fluid_share(patient: ChestPatient, grid: FilmGrid, finding: Finding) -> Array:
    """Share of a side's room that an effusion fills: level in the middle, climbing at the wall."""
    thorax, dome = Thorax(patient), domes(patient)[finding.side]
    height = grid.of_height
    if grid.is_lateral:
        depth = np.maximum(height(thorax.half_depth), 1)
        to_wall = depth - np.abs(grid.u - height(thorax.middle))
    else:
        to_wall = height(thorax.lateral) - finding.side * grid.across(grid.whole, 0.0)
    # From just above the deepest corner to the middle of the lung.
    angle = dome.centre_mm[2] - 0.3 * dome.radii_mm[2]
    level = angle + (8 - 118 * finding.strength) * patient.size
    climb = (10 + 26 * finding.strength) * patient.size
    surface = level - climb * np.exp(-np.maximum(to_wall, 0) / (15 * patient.size))
    return ramp(grid.z - surface.astype(np.float32), 7.0 * patient.size)


def shrunken_lung(patient: ChestPatient, grid: FilmGrid, finding: Finding) -> tuple[Array, Array]:
    """What a pneumothorax leaves of a lung.

    Returns:
        Its share of the room, and the signed distance in mm from the pleural line, positive
        inside the shrunken lung; both (H, W).
    """
    thorax = Thorax(patient)
    gap = patient.size * (4 + 40 * finding.strength)

    def border(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(thorax.lateral(z - 0.8 * gap) - gap * np.interp(z, [-90, 110], [1, 0.35]))

    height = grid.of_height
    lateral, medial = height(border), height(lambda z: thorax.medial(z - 0.8 * gap))
    half = np.maximum((lateral - medial) / 2, 1e-3)
    if grid.is_lateral:
        depth = np.maximum(height(lambda z: thorax.half_depth(z - 0.8 * gap)), 1e-3)
        offset = (grid.u - height(thorax.middle)) / depth
        inside = (1 - np.abs(offset)) * depth
    else:
        offset = (finding.side * grid.across(grid.whole, 0.0) - (lateral + medial) / 2) / half
        # Only the outer border leaves the wall; the hilum holds the lung in the middle.
        offset = np.maximum(offset, 0)
        inside = (1 - offset) * half
    top = grid.z - (patient.apex_z_mm + 0.8 * gap)
    return oval(offset) * (top > 0), np.minimum(inside, top)


def _add_nodule(lungs: Lungs, patient: ChestPatient, grid: FilmGrid, finding: Finding) -> None:
    # The plainest are partly calcified.
    grid.add_ellipsoid(lungs.dense, nodule(patient, finding), 0.6 + 0.8 * finding.strength)


def _add_opacity(lungs: Lungs, patient: ChestPatient, grid: FilmGrid, finding: Finding) -> None:
    lungs.dense += opacity_path(patient, grid, finding)
    lungs.dense -= bronchogram_path(patient, grid, finding, lungs.trees[finding.side])


def _add_effusion(lungs: Lungs, patient: ChestPatient, grid: FilmGrid, finding: Finding) -> None:
    share = fluid_share(patient, grid, finding)
    lungs.dense += share * np.minimum(lungs.rooms[finding.side], lungs.lung)
    lungs.vessels[finding.side] *= 1 - share


def _add_pneumothorax(
    lungs: Lungs, patient: ChestPatient, grid: FilmGrid, finding: Finding
) -> None:
    room = lungs.rooms[finding.side]
    share, inside = shrunken_lung(patient, grid, finding)
    lungs.tissue -= lungs.density * np.minimum(room, lungs.lung) * (1 - share)
    lungs.vessels[finding.side] *= ramp(inside - 2, 2.5)
    if not grid.is_lateral:
        line = np.exp(-((inside / max(_PLEURA_MM, 0.6 * grid.pixel_mm)) ** 2))
        lungs.tissue += _PLEURA_PATH_MM * line * (room > _PLEURA_PATH_MM)


_DRAWN = {
    "nodule": _add_nodule,
    "opacity": _add_opacity,
    "effusion": _add_effusion,
    "pneumothorax": _add_pneumothorax,
}


def add_finding(lungs: Lungs, patient: ChestPatient, grid: FilmGrid, finding: Finding) -> None:
    """Draw a finding into the lungs; a large heart is drawn elsewhere, not here."""
    if finding.kind in _DRAWN:
        _DRAWN[finding.kind](lungs, patient, grid, finding)

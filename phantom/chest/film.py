"""Draws a chest film of a phantom patient: path lengths, then the detector.

For quickstarts and tests: films that are nobody's, that need no download, and that a network must
still learn. They say nothing about real patients.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phantom.chest import devices
from phantom.chest.bones import draw_bone
from phantom.chest.detector import LUNG_DENSITY, Projection, develop, expose
from phantom.chest.findings import Lungs, add_finding
from phantom.chest.grid import FilmGrid
from phantom.chest.mediastinum import airway_path, gas_path, mediastinum_path
from phantom.chest.patient import LEFT, RIGHT, ChestPatient
from phantom.chest.shoulders import (
    add_breastbone,
    add_shoulders,
    add_shoulders_from_the_side,
    arm_path,
    breast_path,
)
from phantom.chest.torso import body_path, lung_paths
from phantom.chest.vessels import lung_trees, vessel_path
from phantom.fields import Array
from provenance import UserError

View = Literal["PA", "LATERAL"]
# Below this size films are drawn at twice the size and averaged: thin bones need it.
_LARGE = 400


def _lung_tissue(patient: ChestPatient, grid: FilmGrid) -> tuple[Array, Array]:
    """Path through the lungs' room, and the water-like path of all that lies in it."""
    rooms = lung_paths(patient, grid)
    lung = np.maximum(rooms[RIGHT] + rooms[LEFT] - mediastinum_path(patient, grid), 0)
    uneven = 1 + 0.06 * grid.noise["coarse"] + 0.05 * grid.noise["medium"]
    # Standing, blood gathers in the lower parts.
    density = LUNG_DENSITY * uneven + 0.0008 * grid.z
    trees = lung_trees(patient, 0.5 * grid.pixel_mm)
    vessels = {side: vessel_path(grid, trees[side]) for side in (RIGHT, LEFT)}
    lungs = Lungs(rooms, lung, density, density * lung, grid.empty(), vessels, trees)
    for finding in patient.findings:
        add_finding(lungs, patient, grid, finding)
    dense = lungs.dense + np.minimum(vessels[RIGHT] + vessels[LEFT], lung)
    return lung, np.minimum(lungs.tissue + dense * (1 - LUNG_DENSITY), lung)


def project(patient: ChestPatient, grid: FilmGrid) -> Projection:
    """Path lengths through everything that is on a film."""
    body, arms = body_path(patient, grid), arm_path(patient, grid)
    soft = np.maximum(body, arms) + 0.35 * np.minimum(body, arms)
    lung, tissue = _lung_tissue(patient, grid)
    soft += tissue - lung
    soft -= airway_path(patient, grid) + gas_path(patient, grid)
    soft += breast_path(patient, grid)
    soft *= 1 + 0.012 * grid.noise["coarse"] + 0.008 * grid.noise["medium"]
    bone, metal = draw_bone(patient, grid), grid.empty()
    if grid.is_lateral:
        add_breastbone(bone, patient, grid)
        add_shoulders_from_the_side(bone, patient, grid)
    else:
        add_shoulders(bone, patient, grid)
    if patient.has_pacemaker:
        devices.add_pacemaker(metal, patient, grid)
    if patient.visit.num_electrodes:
        devices.add_electrodes(metal, patient, grid)
    marker = "L" if grid.is_lateral else patient.visit.marker
    devices.add_marker(metal, marker, patient.visit, grid.pixel_mm)
    soft = np.maximum(soft, 0)
    return Projection(soft, np.minimum(bone, 40) * (soft > 5), metal)


def draw_film(patient: ChestPatient, view: View, size: int) -> NDArray[np.float32]:
    """Draw one film; a function of its arguments only.

    Args:
        patient: See `draw_chest_patient`.
        view: "PA", seen face to face (the patient's left is on the right), or "LATERAL", seen
            from the patient's left (the spine is on the right).
        size: Pixels per side, at least 16.

    Returns:
        (size, size) float32 in [0, 1] as looked at: bone and heart white, lung and air black.

    Raises:
        UserError: The view or the size is none of these.
    """
    if view not in ("PA", "LATERAL"):
        raise UserError(f"view is {view!r}, expected 'PA' or 'LATERAL'. Nothing was drawn.")
    if size < 16:
        raise UserError(f"size is {size}, expected 16 or more. Nothing was drawn.")
    finer = 1 if size >= _LARGE else 2
    grid = FilmGrid(patient, view == "LATERAL", size * finer)
    rng = patient.film_rng(51 if grid.is_lateral else 50)
    signal = expose(project(patient, grid), patient.visit, grid.pixel_mm, rng)
    # The exposure is set for the patient's thickness.
    usual = 0.0126 * (patient.fat_mm - 11) + 0.009 * (patient.lung_depth_mm - 78)
    usual += 0.0015 * patient.breast_mm
    if grid.is_lateral:
        usual += 0.7
    film = develop(signal, patient.visit, grid.pixel_mm, usual)
    film *= devices.shutter_mask(patient.visit, grid.size, grid.pixel_mm)
    if finer > 1:
        film = film.reshape(size, finer, size, finer).mean(axis=(1, 3))
    return film

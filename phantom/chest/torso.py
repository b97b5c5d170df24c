"""The thorax: its outline, the two lungs in it, and the diaphragm under them, as path lengths."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.chest.grid import FilmGrid
from phantom.chest.patient import LEFT, RIGHT, ChestPatient
from phantom.chest.shapes import Ellipsoid, length_of, oval
from phantom.fields import Array

Heights = NDArray[np.float64]


@dataclass(frozen=True)
class Thorax:
    """Borders of lungs and body as functions of z; every method takes and returns (N,) mm."""

    patient: ChestPatient

    def depth_of_lungs(self, z: Heights) -> Heights:
        """How far down the lung a height is: 0 at the apex, 1 at the lowest recess."""
        apex = self.patient.apex_z_mm
        return np.clip((z - apex) / (152 * self.patient.size - apex), 0, 1)

    def lateral(self, z: Heights) -> Heights:
        """|x| of a lung's outer border."""
        axis = 46 * self.patient.size
        opened = (1 - (1 - self.depth_of_lungs(z)) ** 3.5) ** 0.47
        return axis + (self.patient.lung_width_mm - axis) * opened

    def medial(self, z: Heights) -> Heights:
        """|x| of a lung's inner border."""
        early = np.clip(self.depth_of_lungs(z) / 0.22, 0, 1)
        return self.patient.size * (46 - 29 * (1 - (1 - early) ** 2) ** 0.5)

    def half_depth(self, z: Heights) -> Heights:
        """Half the distance from the sternum's to the back's inner side."""
        opened = (1 - (1 - self.depth_of_lungs(z)) ** 2.1) ** 0.5
        return self.patient.lung_depth_mm * opened * (0.82 + 0.18 * self.depth_of_lungs(z))

    def middle(self, z: Heights) -> Heights:
        """Depth y of the thorax's middle: spine bent backwards above, sternum forwards below."""
        bend = np.clip((z + 20) / 130, -1.2, 1.4)
        return 8 - 9 * bend - self.patient.kyphosis_mm * (0.55 * bend**2 - 0.2)

    def body_width(self, z: Heights) -> Heights:
        """Half the width of neck, shoulders and trunk, without the arms."""
        p = self.patient
        trunk = p.lung_width_mm + 19 * p.size + p.fat_mm
        neck = 50 * p.size + 0.5 * p.fat_mm
        heights = p.size * np.array([-270, -212, -182, -164, -148, -130, -104, -70, 40, 300])
        broad = 0.94 if p.sex == "F" else 1.0
        widths = np.array(
            [neck + 14, neck + 1, neck + 8, neck + 32, 118 * broad * p.size + 0.5 * p.fat_mm]
            + [s * broad * p.size + 0.8 * p.fat_mm for s in (158, 168)]
            + [trunk - 2, trunk + 2, trunk + 0.35 * p.fat_mm]
        )
        return np.interp(z, heights, widths)

    def body_half_depth(self, z: Heights) -> Heights:
        """Half the depth of neck, shoulders and trunk."""
        p = self.patient
        trunk = p.lung_depth_mm + 17 * p.size + 0.9 * p.fat_mm
        heights = p.size * np.array([-260, -190, -150, -105, -40, 60, 160, 300])
        depths = [62 * p.size, 60 * p.size, 72 * p.size, 0.84 * trunk, 0.97 * trunk]
        depths += [
            trunk,
            trunk + 18 * p.size + 0.3 * p.fat_mm,
            trunk + 18 * p.size + 0.5 * p.fat_mm,
        ]
        return np.interp(z, heights, np.array(depths))


def domes(patient: ChestPatient) -> dict[int, Ellipsoid]:
    """The two halves of the diaphragm as upper halves of ellipsoids, by side."""
    thorax = Thorax(patient)
    result = {}
    for side, top in zip((RIGHT, LEFT), patient.dome_z_mm, strict=True):
        top = top - patient.visit.short_breath_mm
        low = np.array([top + 40])
        lateral, middle = float(thorax.lateral(low)[0]), float(thorax.middle(low)[0])
        centre = 0.47 * lateral
        height = 62 * patient.size
        result[side] = Ellipsoid(
            (side * centre, middle - 14, top + height),
            ((lateral - centre) / 0.955, 1.2 * patient.lung_depth_mm, height),
        )
    return result


def body_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the trunk, neck and shoulders as if they were solid: (H, W) in mm."""
    thorax = Thorax(patient)
    width, depth = grid.of_height(thorax.body_width), grid.of_height(thorax.body_half_depth)
    middle = grid.of_height(thorax.middle)
    if grid.is_lateral:
        return 2 * np.minimum(width, 185 * patient.size) * oval((grid.u - middle) / depth)
    return 2 * depth * oval(grid.u / width)


def lung_paths(patient: ChestPatient, grid: FilmGrid) -> dict[int, Array]:
    """Path through each lung's room above the diaphragm, mediastinum not yet taken out.

    Returns:
        By side, (H, W) in mm.
    """
    thorax = Thorax(patient)
    lateral, medial = grid.of_height(thorax.lateral), grid.of_height(thorax.medial)
    depth, middle = grid.of_height(thorax.half_depth), grid.of_height(thorax.middle)
    depth = np.maximum(depth, 1e-3)
    paths = {}
    for side, dome in domes(patient).items():
        centre, half = (lateral + medial) / 2, np.maximum((lateral - medial) / 2, 1e-3)
        if grid.is_lateral:
            reach = half * oval((grid.u - middle) / depth)
            start, stop = centre - reach, centre + reach
            dome_middle = side * dome.centre_mm[0]
        else:
            reach = depth * oval((side * grid.across(grid.whole, 0.0) - centre) / half)
            start, stop = middle - reach, middle + reach
            dome_middle = dome.centre_mm[1]
        below = length_of(_dome_squared(grid, dome)) / 2
        taken = np.minimum(stop, dome_middle + below) - np.maximum(start, dome_middle - below)
        paths[side] = np.maximum(2 * reach - np.maximum(taken, 0), 0)
    return paths


def _dome_squared(grid: FilmGrid, dome: Ellipsoid) -> Array:
    """Squared chord under the diaphragm: an ellipsoid above its centre, a cylinder below it."""
    over, along = (1, 0) if grid.is_lateral else (0, 1)
    across = (grid.u - dome.centre_mm[over]) / dome.radii_mm[over]
    up = np.minimum(grid.z - dome.centre_mm[2], 0) / dome.radii_mm[2]
    return (4 * dome.radii_mm[along] ** 2) * (1 - across * across - up * up)

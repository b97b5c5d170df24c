"""What lies between the lungs: heart, great vessels, airways; and the gas under the diaphragm."""

import numpy as np

from phantom.chest.grid import FilmGrid
from phantom.chest.patient import LEFT, ChestPatient
from phantom.chest.shapes import Ellipsoid, length_of
from phantom.chest.torso import Thorax, domes
from phantom.fields import Array

# Where the windpipe forks, in an adult of size 1.
_CARINA_Z_MM = -50.0


def heart_size(patient: ChestPatient) -> float:
    """Linear size of the heart on this film, disease included."""
    return patient.heart * (1 + 0.38 * patient.strength_of("large_heart")) * patient.size


def heart_chambers(patient: ChestPatient) -> list[Ellipsoid]:
    """Right atrium, ventricles, left atrium and the pulmonary trunk as ellipsoids."""
    size = heart_size(patient)
    # A high diaphragm lifts the heart and lays it down.
    lift = 0.6 * max(patient.visit.short_breath_mm, 0.0)
    floor = (patient.dome_z_mm[0] + patient.dome_z_mm[1]) / 2 + 8 * patient.size - lift
    turn = 0.62 - patient.heart_turn_rad - 0.012 * lift
    middle = floor - 44 * size

    def chamber(
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        turn: float = 0.0,
        lean: float = 0.0,
    ) -> Ellipsoid:
        x, y, z = centre
        a, b, c = radii
        return Ellipsoid(
            (size * x, size * y - 4, middle + size * z),
            (size * a, size * b, size * c),
            turn,
            lean,
        )

    return [
        chamber((-9, -8, 5), (33, 36, 44), 0.1),
        chamber((27, -22, 2), (69, 45, 50), turn, 0.25),
        chamber((14, -42, 4), (46, 30, 44), 0.3, 0.5),
        chamber((4, 20, -22), (38, 25, 28)),
        chamber((18, -20, -40), (27, 28, 52), -0.22, 0.5),
    ]


def heart_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the heart: (H, W) in mm. Chambers merge as the root of summed squares."""
    squared = grid.empty()
    for chamber in heart_chambers(patient):
        box = grid.around(chamber)
        if box is not None:
            squared[box] += np.maximum(grid.chord_squared(chamber, box), 0)
    return length_of(squared)


def _aorta(patient: ChestPatient) -> tuple[np.ndarray, np.ndarray]:
    """Centre line and radii from the root over the arch and down along the spine."""
    stretch, size = patient.aorta, patient.size
    top = -58 * size - 16 * (stretch - 1) * size
    turn = np.linspace(0, np.pi, 9)
    x = -9 + 17 * stretch * (1 - np.cos(turn)) - 6 * np.sin(turn)
    y = -28 + 34 * (1 - np.cos(turn))
    z = top + 34 * (1 - np.sin(turn))
    arch = np.column_stack([x * size, y * size, z])
    steps = np.linspace(0.15, 1, 6)
    wander = 14 * max(stretch - 1, 0.0) * np.sin(steps * 3.0)
    down = np.column_stack(
        [
            (arch[-1, 0] - (14 * steps - wander) * size),
            np.full(6, arch[-1, 1] + 4),
            arch[-1, 2] + steps * 170 * size,
        ]
    )
    points = np.vstack([arch, down])
    radii = size * stretch * np.interp(np.arange(15), [0, 4, 8, 14], [16, 14.5, 13, 11])
    return points, radii


def mediastinum_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path that heart, vessels and the tissue around the gullet take from the lungs' room."""
    size = patient.size
    thorax = Thorax(patient)
    path = heart_path(patient, grid)
    points, radii = _aorta(patient)
    path += grid.tube(points, radii)
    cava = np.array([[-19, -12, -150], [-21, -14, -60], [-22, -12, 5], [-20, 4, 120]]) * size
    path += grid.tube(cava, np.array([9.0, 11, 12, 12]) * size)
    for side in (-1, 1):
        neck = np.array([[side * 24, 4, -190], [side * 25, 4, -130], [side * 20, -8, -78]]) * size
        path += grid.tube(neck, np.array([10.0, 11, 9]) * size)
    middle = grid.of_height(thorax.middle)
    if not grid.is_lateral:
        core = grid.of_height(
            lambda z: size * np.interp(z / size, [-140, -70, 0, 90, 150], [26, 21, 19, 24, 30])
        )
        inside = np.maximum(1 - (grid.across(grid.whole, 10.0) / core) ** 2, 0)
        path += 2 * grid.of_height(thorax.half_depth) * np.sqrt(inside) * 1.15
    else:
        # Between the lungs' inner borders nothing but this tissue lies in the ray.
        depth = np.maximum(grid.of_height(thorax.half_depth), 1e-3)
        gap = np.maximum(1 - ((grid.u - middle - 6) / (0.75 * depth)) ** 2, 0)
        path += 14 * size * np.sqrt(gap)
    return path


def airway_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the air of windpipe and main bronchi: (H, W) in mm."""
    size, push = patient.size, 5 * max(patient.aorta - 0.95, 0)
    carina = _CARINA_Z_MM * size
    trachea = np.array(
        [
            [0, -2, -260 * size],
            [0, 6, -170 * size],
            [-push * size, 12, -88 * size],
            [-2 - push * size * 0.6, 16, carina + 4],
        ]
    )
    air = grid.tube(trachea, np.array([9.5, 8.5, 8.5, 9.0]) * size)
    for tip, width in (((-33, 14, 26), 6.0), ((42, 14, 33), 5.2)):
        end = np.array([tip[0] * size, tip[1], carina + tip[2] * size])
        bronchus = np.stack([trachea[-1] - [0, 0, 3], end])
        air = np.maximum(air, grid.tube(bronchus, np.array([7.4, width]) * size))
    return air


def gas_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the gas of stomach and colon under the left diaphragm."""
    gas = grid.empty()
    dome = domes(patient)[LEFT]
    top = dome.centre_mm[2] - dome.radii_mm[2]
    rng = patient.rng(1)
    stomach, colon = patient.gas_mm
    if stomach:
        bubble = Ellipsoid(
            (dome.centre_mm[0] - 14, dome.centre_mm[1] + 10, top + 11 + 0.62 * stomach),
            (1.25 * stomach, 0.8 * stomach, 0.75 * stomach),
            turn_rad=float(rng.normal(0, 0.15)),
        )
        grid.add_ellipsoid(gas, bubble)
        # Standing, the fluid in the stomach is level.
        level = grid.z - (bubble.centre_mm[2] + rng.uniform(0.1, 0.7) * stomach)
        gas *= np.clip(0.5 - level / max(1.5 * grid.pixel_mm, 2), 0, 1)
    if colon:
        for _ in range(int(rng.integers(3, 8))):
            centre = (
                dome.centre_mm[0] + float(rng.normal(12, 26)),
                dome.centre_mm[1] - 10,
                top + 34 + float(rng.uniform(0, 95)),
            )
            width = colon * float(rng.uniform(0.5, 1.1))
            grid.add_ellipsoid(gas, Ellipsoid(centre, (width, 0.7 * width, 0.8 * width)), 0.8)
    return gas

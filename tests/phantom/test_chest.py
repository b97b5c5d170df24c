"""Phantom chest films must be reproducible, physically coherent, and show their findings."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from phantom.chest.detector import SOFT_PER_MM, Projection, expose
from phantom.chest.film import draw_film
from phantom.chest.findings import nodule, opacity_path, shrunken_lung
from phantom.chest.grid import FilmGrid
from phantom.chest.patient import (
    FINDINGS,
    LEFT,
    RIGHT,
    ChestPatient,
    Finding,
    draw_chest_patient,
)
from phantom.chest.shapes import Ellipsoid
from phantom.chest.torso import lung_paths
from phantom.chest.vessels import lung_trees
from phantom.fields import SmoothField
from provenance import UserError

SIZE = 64


def plain_patient(*findings: Finding, index: int = 4) -> ChestPatient:
    """Nothing in the way: straight, fully inspired, without devices or shutters."""
    drawn = draw_chest_patient(index)
    visit = replace(
        drawn.visit,
        rotation_rad=0.0,
        tilt_rad=0.0,
        shift_mm=(0.0, 0.0),
        short_breath_mm=0.0,
        field_of_view_mm=390.0,
        shutters_mm=(0.0, 0.0, 0.0, 0.0),
        num_electrodes=0,
        photons=1e6,
        brightness=0.0,
        contrast=1.0,
    )
    return replace(drawn, visit=visit, has_pacemaker=False, breast_mm=0.0, findings=findings)


def unbent(patient: ChestPatient) -> ChestPatient:
    """Without the irregularity of outlines, which changes volumes a little."""
    flat = SmoothField(np.zeros((1, 3)), np.full(1, np.pi / 2))
    return replace(patient, fields=dict.fromkeys(patient.fields, flat))


def finding_of(kind: str, strength: float, side: int = RIGHT) -> Finding:
    return Finding(kind, 0 if kind == "large_heart" else side, strength, seed=20)


@pytest.fixture(scope="module")
def healthy() -> np.ndarray:
    return draw_film(plain_patient(), "PA", SIZE)


# Drawing


def test_a_film_is_a_function_of_its_arguments():
    first, again = (draw_film(draw_chest_patient(7, seed=2), "PA", SIZE) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (SIZE, SIZE)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    for other in (
        draw_chest_patient(8, seed=2),
        draw_chest_patient(7, seed=3),
        draw_chest_patient(7, seed=2, visit=1),
    ):
        assert np.abs(draw_film(other, "PA", SIZE) - first).mean() > 0.02
    assert np.abs(draw_film(draw_chest_patient(7, seed=2), "LATERAL", SIZE) - first).mean() > 0.1


def test_visits_share_the_anatomy_and_differ_in_the_pose():
    index = next(i for i in range(50) if draw_chest_patient(i).findings)
    first, second = draw_chest_patient(index), draw_chest_patient(index, visit=1)
    assert first.visit != second.visit
    for one, two in zip(first.findings, second.findings, strict=True):
        assert (one.kind, one.side, one.seed) == (two.kind, two.side, two.seed)
        assert one.strength != two.strength
    for side in (RIGHT, LEFT):
        finding = Finding("nodule", side, 0.5, seed=11)
        ends = [nodule(visit, finding).centre_mm[:2] for visit in (first, second)]
        assert ends[0] == ends[1]  # breath moves it upwards only
    for name in ("sex", "age_years", "lung_width_mm", "heart", "aorta", "has_pacemaker"):
        assert getattr(first, name) == getattr(second, name)


def test_the_same_patient_at_each_size():
    patient = draw_chest_patient(5)
    small, large = draw_film(patient, "PA", 48), draw_film(patient, "PA", 96)
    halved = large.reshape(48, 2, 48, 2).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.99


def test_half_of_the_patients_are_abnormal_with_every_finding():
    patients = [draw_chest_patient(i, seed=1) for i in range(500)]
    kinds = [f.kind for p in patients for f in p.findings]
    assert sum(bool(p.findings) for p in patients) == pytest.approx(250, abs=35)
    assert min(kinds.count(kind) for kind in FINDINGS) > 30
    assert all(0 < f.strength <= 1 for p in patients for f in p.findings)
    assert max(len(p.findings) for p in patients) == 2


@pytest.mark.parametrize(("view", "size"), [("AP", 64), ("PA", 8)])
def test_what_cannot_be_drawn_is_refused(view, size):
    with pytest.raises(UserError, match="expected"):
        draw_film(draw_chest_patient(0), view, size)


def test_lungs_are_dark_and_bone_heart_and_belly_bright(healthy):
    def around(u_mm: float, z_mm: float) -> float:
        column, row = FilmGrid(plain_patient(), False, SIZE).pixels(np.array([u_mm, 0, z_mm]))
        return float(healthy[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2].mean())

    for side in (RIGHT, LEFT):
        lung = around(side * 85, -20)
        assert lung < around(0, -20) - 0.25
        assert lung < around(side * 60, 170) - 0.25
    # The heart lies on the patient's left, which is on the right of the film.
    assert around(50, 60) > around(-60, 60) + 0.1


# Geometry and physics


@pytest.mark.parametrize("is_lateral", [False, True])
def test_chords_of_shapes_add_up_to_their_volume(is_lateral):
    grid = FilmGrid(unbent(plain_patient()), is_lateral, 160)
    image = grid.empty()
    shape = Ellipsoid((20, 30, 40), (50, 30, 22), turn_rad=0.7, lean_rad=-0.4)
    grid.add_ellipsoid(image, shape)
    volume = image.sum() * grid.pixel_mm**2
    assert volume == pytest.approx(4 / 3 * np.pi * 50 * 30 * 22, rel=0.01)
    line = np.array([[-20.0, 10, -50], [-20.0, 10, 50]])
    tube = grid.tube(line, np.array([12.0, 12]))
    # A cylinder with half a ball at either end.
    assert tube.max() == pytest.approx(24, rel=0.02)
    assert tube.sum() * grid.pixel_mm**2 == pytest.approx(
        np.pi * 12**2 * 100 + 4 / 3 * np.pi * 12**3, rel=0.02
    )
    points = np.random.default_rng(0).normal(0, 20, (500, 3))
    spread = grid.deposit(points, np.full(500, 8.0), np.linspace(0.2, 9, 500))
    assert spread.sum() * grid.pixel_mm**2 == pytest.approx(500 * 8, rel=0.01)


def test_both_views_see_the_same_lungs():
    patient = unbent(plain_patient())
    litres = []
    for is_lateral in (False, True):
        grid = FilmGrid(patient, is_lateral, 160)
        rooms = lung_paths(patient, grid)
        litres.append((rooms[RIGHT] + rooms[LEFT]).sum() * grid.pixel_mm**2 / 1e6)
    assert litres[0] == pytest.approx(litres[1], rel=0.01)
    assert 4 < litres[0] < 10  # the heart's room included


def test_a_uniform_slab_follows_beer_and_lambert():
    patient = plain_patient()
    slab = np.full((64, 64), 150.0, np.float32)
    nothing = np.zeros_like(slab)
    signal = [
        expose(
            Projection(slab, nothing, nothing),
            replace(patient.visit, photons=photons),
            1.0,
            np.random.default_rng(0),
        )
        for photons in (1e4, 4e4, 1e9)
    ]
    assert signal[2].mean() == pytest.approx(SOFT_PER_MM * 150, rel=1e-3)
    # Four times the photons halve the noise.
    assert signal[0].std() / signal[1].std() == pytest.approx(2, rel=0.02)


def test_a_coarser_tree_is_the_beginning_of_a_finer_one():
    patient = plain_patient()
    fine, coarse = lung_trees(patient, 0.3)[LEFT], lung_trees(patient, 2.0)[LEFT]
    assert len(coarse.level) < len(fine.level) / 4
    np.testing.assert_array_equal(fine.points_mm[: len(coarse.level)], coarse.points_mm)
    widths = [fine.radius_mm[fine.level == level].max() for level in range(fine.level.max() + 1)]
    assert all(thicker >= thinner for thicker, thinner in pairwise(widths))


# Findings


@pytest.mark.parametrize("kind", FINDINGS)
def test_a_finding_shows_more_the_stronger_it_is(kind, healthy):
    changes = [
        np.abs(draw_film(plain_patient(finding_of(kind, s)), "PA", SIZE) - healthy).sum()
        for s in (0.1, 0.5, 1.0)
    ]
    assert changes[0] > 0.01
    assert all(weaker < stronger for weaker, stronger in pairwise(changes))


@pytest.mark.parametrize("kind", [kind for kind in FINDINGS if kind != "large_heart"])
def test_a_finding_shows_in_both_views_and_stays_on_its_side(kind, healthy):
    patient = plain_patient(finding_of(kind, 0.8, LEFT))
    change = np.abs(draw_film(patient, "PA", SIZE) - healthy)
    right, left = change[:, : SIZE * 3 // 8].sum(), change[:, SIZE // 2 :].sum()
    assert left > 5 * right
    lateral = draw_film(plain_patient(), "LATERAL", SIZE)
    assert np.abs(draw_film(patient, "LATERAL", SIZE) - lateral).max() > 0.02


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_a_nodule_is_a_bright_disc_of_its_diameter(strength):
    size, finding = 96, finding_of("nodule", strength)
    patient = plain_patient(finding)
    ball = nodule(patient, finding)
    assert 5 <= 2 * np.mean(ball.radii_mm) <= 33
    change = draw_film(patient, "PA", size) - draw_film(plain_patient(), "PA", size)
    grid = FilmGrid(patient, False, size)
    distance = np.hypot(grid.u - ball.centre_mm[0], grid.z - ball.centre_mm[2])
    assert change[distance < 0.6 * min(ball.radii_mm)].mean() > 0.02
    # Outside there is the ring of the edge enhancement, and little else.
    assert abs(change[distance > 2 * max(ball.radii_mm)].mean()) < 0.002


def test_an_opacity_brightens_the_lung_that_it_fills(healthy):
    finding = finding_of("opacity", 0.9)
    patient = plain_patient(finding)
    filled = opacity_path(patient, FilmGrid(patient, False, SIZE), finding)
    change = draw_film(patient, "PA", SIZE) - healthy
    assert change[filled > 0.5 * filled.max()].mean() > 0.08
    assert change[filled > 0.5 * filled.max()].mean() > 8 * abs(change[filled == 0].mean())


def test_an_effusion_whitens_the_lower_zone_and_its_corner(healthy):
    patient = plain_patient(finding_of("effusion", 0.5, LEFT))
    change = draw_film(patient, "PA", SIZE) - healthy
    grid = FilmGrid(patient, False, SIZE)
    outer = (grid.u > 70) & (grid.u < 125)
    lower, upper = outer & (np.abs(grid.z - 105) < 20), outer & (np.abs(grid.z + 60) < 30)
    assert change[lower].mean() > 0.1
    assert abs(change[upper].mean()) < 0.02
    corner = (grid.u > 105) & (grid.u < 125) & (np.abs(grid.z - 115) < 12)
    subtle = draw_film(plain_patient(finding_of("effusion", 0.25, LEFT)), "PA", SIZE) - healthy
    assert subtle[corner].mean() > 0.03


def test_a_pneumothorax_darkens_the_rim_and_leaves_a_line():
    size, finding = 96, finding_of("pneumothorax", 0.9)
    patient = plain_patient(finding)
    change = draw_film(patient, "PA", size) - draw_film(plain_patient(), "PA", size)
    grid = FilmGrid(patient, False, size)
    _, inside = shrunken_lung(patient, grid, finding)
    beside = (np.abs(grid.z + 20) < 40) & (grid.u > -0.8 * patient.lung_width_mm) & (grid.u < -40)

    def mean_between(low_mm: float, high_mm: float) -> float:
        return float(change[beside & (inside > low_mm) & (inside < high_mm)].mean())

    rim, line, lung = mean_between(-30, -4), mean_between(-1, 1), mean_between(4, 12)
    assert rim < lung - 0.05
    # Just inside the line the lung is thin: without it, the film would be as dark as the rim there.
    assert line > rim + 0.02


def test_a_large_heart_raises_the_cardiothoracic_ratio():
    def ratio(strength: float) -> float:
        findings = [finding_of("large_heart", strength)] if strength else []
        patient = plain_patient(*findings)
        film = draw_film(patient, "PA", 96)
        grid = FilmGrid(patient, False, 96)
        widths = []
        for z_mm in range(30, 75, 6):
            row = int(grid.pixels(np.array([0.0, 0.0, z_mm]))[1])
            chest = np.abs(grid.u[row]) < patient.lung_width_mm
            values = film[row][chest]
            bright = values > (np.quantile(values, 0.1) + np.quantile(values, 0.95)) / 2
            middle = len(bright) // 2
            left = np.argmin(bright[middle:])
            right = np.argmin(bright[middle::-1])
            widths.append((left + right) * grid.pixel_mm)
        return max(widths) / (2 * patient.lung_width_mm)

    ratios = [ratio(strength) for strength in (0.0, 0.5, 1.0)]
    assert ratios[0] < 0.53
    assert ratios[1] > ratios[0] + 0.04
    assert ratios[2] > ratios[1] + 0.04
    assert ratios[2] > 0.56

"""The phantom must be reproducible, anatomically coherent, and written like KiTS19."""

import gzip
import json
import multiprocessing
from itertools import pairwise

import nibabel
import numpy as np
import pytest
from scipy import ndimage

import worker_pool
from phantom.ct import nifti_case, volume
from phantom.ct.scanner import correlated_noise, scan
from phantom.ct.tumour_settings import TumourSettings
from phantom.ct.volume import PhantomPatient, draw_patient
from phantom.ct.write_set import write_phantom_ct
from phantom.fields import draw_field
from provenance import UserError, sha256_of


@pytest.fixture(scope="module")
def patients() -> list[PhantomPatient]:
    return [draw_patient(index, image_size=64) for index in range(24)]


def test_same_arguments_give_the_same_voxels(patients):
    again = draw_patient(3, image_size=64)
    np.testing.assert_array_equal(again.hounsfield, patients[3].hounsfield)
    np.testing.assert_array_equal(again.labels, patients[3].labels)
    assert again.description == patients[3].description


def test_another_seed_or_patient_is_another_body(patients):
    assert not np.array_equal(draw_patient(3, seed=1).labels, patients[3].labels)
    assert not np.array_equal(patients[4].labels, patients[3].labels)


def test_shapes_types_and_range(patients):
    for patient in patients[:4]:
        assert patient.hounsfield.shape == patient.labels.shape == (24, 64, 64)
        assert patient.hounsfield.dtype == np.int16
        assert patient.labels.dtype == np.uint8
        assert patient.hounsfield.min() >= -1024
        assert patient.hounsfield.max() <= 3071
        assert set(np.unique(patient.labels)) <= {0, 1, 2}
        assert 320 <= patient.pixel_spacing_mm * 64 <= 520
        assert 140 <= patient.slice_spacing_mm * 24 <= 195


def test_the_same_anatomy_at_each_image_size():
    coarse, fine = (draw_patient(2, image_size=size, num_slices=12) for size in (64, 128))
    assert coarse.description == fine.description
    small = fine.labels.reshape(12, 64, 2, 64, 2) > 0
    np.testing.assert_allclose(small.mean(), (coarse.labels > 0).mean(), rtol=0.06)
    overlap = (small.mean(axis=(2, 4)) >= 0.5) & (coarse.labels > 0)
    assert (
        2 * overlap.sum() / ((small.mean(axis=(2, 4)) >= 0.5).sum() + (coarse.labels > 0).sum())
        > 0.9
    )
    average = fine.hounsfield.reshape(12, 64, 2, 64, 2).mean(axis=(2, 4))
    body = average > -300
    assert np.median(np.abs(average - coarse.hounsfield)[body]) < 25


def test_painting_in_blocks_changes_nothing(monkeypatch, patients):
    monkeypatch.setattr(volume, "_VOXELS_AT_ONCE", 5 * 64 * 64)
    blocked = draw_patient(5)
    assert (blocked.labels != patients[5].labels).mean() < 1e-5
    assert (np.abs(blocked.hounsfield - patients[5].hounsfield) > 1).mean() < 1e-4


def test_hounsfield_values_of_tissues(patients):
    for patient in patients:
        hu, labels = patient.hounsfield, patient.labels
        core = ndimage.binary_erosion(labels == 1, np.ones((1, 3, 3)))
        assert 70 < np.median(hu[core]) < 215
        body = ndimage.binary_fill_holes((hu > -300).any(axis=0))
        assert abs(np.median(hu[:, :6, :6]) + 1000) < 15
        # Fat is the lower peak of soft tissue.
        counts, edges = np.histogram(hu[:, body], bins=40, range=(-160, -40))
        assert -125 < edges[counts.argmax()] < -75
        assert (hu > 300).mean() > 0.001, "no bone"
        inside = ndimage.binary_erosion(body, iterations=6)
        assert (hu[:, inside] < -500).mean() > 0.002, "no gas or lung"


def test_kidneys_do_not_yield_to_a_threshold(patients):
    """As many voxels outside the kidneys have a kidney's HU as there are inside."""
    for patient in patients:
        kidney = patient.hounsfield[patient.labels == 1]
        low, high = np.percentile(kidney, [10, 90])
        others = patient.hounsfield[patient.labels == 0]
        assert ((others >= low) & (others <= high)).sum() > 0.5 * len(kidney)


def test_kidneys_follow_from_slice_to_slice():
    for index in range(4):
        labels = draw_patient(index, num_slices=48).labels > 0
        for one, other in pairwise(labels):
            if min(one.sum(), other.sum()) > 60:
                assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.7


def test_two_kidneys_of_human_size():
    for index in range(6):
        patient = draw_patient(index, image_size=96, num_slices=40)
        parts, count = ndimage.label(patient.labels > 0, np.ones((3, 3, 3)))
        sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1]
        voxel_ml = patient.pixel_spacing_mm**2 * patient.slice_spacing_mm / 1000
        assert count >= 2
        assert sizes[:2].sum() >= 0.98 * sizes.sum()
        assert 60 < sizes[1] * voxel_ml < 350


def test_tumours_touch_their_kidney(patients):
    for patient in patients:
        tumour = patient.labels == 2
        if tumour.sum() < 5:
            continue
        parts, count = ndimage.label(tumour, np.ones((3, 3, 3)))
        kidney = ndimage.binary_dilation(patient.labels == 1, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())
        touching = {int(p) for p in np.unique(parts[kidney]) if p}
        assert sum(sizes[p] for p in touching) >= 0.9 * tumour.sum(), (count, sizes)


def test_tumours_have_the_size_that_is_described():
    ratios = []
    for index in range(12):
        patient = draw_patient(index, image_size=96, num_slices=36)
        tumours = patient.description["tumours"]
        if not tumours:
            assert not (patient.labels == 2).any()
            continue
        ball = sum(np.pi / 6 * t["diameter_mm"] ** 3 for t in tumours)
        voxel = patient.pixel_spacing_mm**2 * patient.slice_spacing_mm
        ratios.append((patient.labels == 2).sum() * voxel / ball)
    assert 0.6 < np.median(ratios) < 1.3


def test_share_of_patients_with_tumours_and_prevalence(patients):
    from phantom.ct.patient import draw_patient_anatomy

    drawn = [draw_patient_anatomy(np.random.default_rng([0, i, 0])) for i in range(300)]
    tumours = [t for p in drawn for k in p.kidneys for t in k.tumours]
    with_tumour = np.mean([any(k.tumours for k in p.kidneys) for p in drawn])
    assert 0.72 < with_tumour < 0.88
    diameters = [t.diameter_mm for t in tumours]
    assert min(diameters) >= 5
    assert max(diameters) <= 60
    assert 28 < np.median(diameters) < 40
    assert {t.kind for t in tumours} == {"clear_cell", "papillary", "necrotic", "cystic"}
    labels = np.stack([p.labels for p in patients])
    assert 0.006 < (labels == 1).mean() < 0.025
    assert 0.0003 < (labels == 2).mean() < 0.005
    assert 0.4 < (labels > 0).any(axis=(2, 3)).mean() < 0.95


def test_share_and_size_of_tumours_can_be_asked_for():
    from phantom.ct.patient import draw_patient_anatomy

    def tumours_of(settings):
        drawn = [
            draw_patient_anatomy(np.random.default_rng([0, i, 0]), settings) for i in range(99)
        ]
        return [[t for k in p.kidneys for t in k.tumours] for p in drawn]

    everybody = tumours_of(TumourSettings(share_of_patients=1.0, median_mm=48))
    assert all(everybody)
    assert 42 < np.median([t.diameter_mm for found in everybody for t in found]) < 54
    assert not any(tumours_of(TumourSettings(share_of_patients=0.0)))
    plain, large = draw_patient(5), draw_patient(5, tumours=TumourSettings(1.0, 60))
    assert (large.labels == 2).sum() > (plain.labels == 2).sum()


def test_tumours_as_usual_are_the_same_set_and_others_another(tmp_path):
    small = {"num_patients": 1, "image_size": 16, "num_slices": 2}
    write_phantom_ct(tmp_path / "set", **small)
    assert "tumours" not in json.loads((tmp_path / "set" / "phantom.json").read_text())
    write_phantom_ct(tmp_path / "set", **small, tumours=TumourSettings(0.8, 34))
    with pytest.raises(UserError, match="tumours"):
        write_phantom_ct(tmp_path / "set", **small, tumours=TumourSettings(1.0, 34))
    for settings, wrong in (
        (TumourSettings(1.5, 34), "share_with_tumour is 1.5, expected 0 to 1"),
        (TumourSettings(0.8, 80), "tumour_mm is 80, expected 5 to 60"),
    ):
        with pytest.raises(UserError, match=wrong):
            write_phantom_ct(tmp_path / "other", **small, tumours=settings)
    assert not (tmp_path / "other").exists()


def test_noise_is_correlated_and_grainy():
    noise = correlated_noise(np.random.default_rng(0), (128, 128), 0.8)
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1, abs=1e-4)
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    power = np.abs(np.fft.fft2(noise)) ** 2
    assert neighbours > 0.15
    # The ramp: little power at the lowest frequencies beside the middle ones.
    assert power[1:5, 1:5].mean() < 0.4 * power[18:26, 18:26].mean()


def test_scan_blurs_and_clips():
    hu = np.full((64, 64), -1000, np.float32)
    hu[:, 32:] = 5000
    scanned = scan(hu, np.random.default_rng(0), pixel_mm=0.8, blur_mm=0.8, noise_hu=0.0)
    assert scanned.dtype == np.int16
    assert scanned.max() == 3071
    assert -900 < scanned[30, 31] < 3071


def test_fields_sample_the_same_function_on_every_grid():
    field = draw_field(np.random.default_rng(0), 40, 90)
    y, x = np.arange(0, 100, 2.0), np.arange(0, 80, 2.0)
    fine = field.sample(np.array([3.0, 9.0]), y, x, 1e-3, 1e-3)
    coarse = field.sample(np.array([9.0]), y[::2], x[::4], 1e-3, 1e-3)
    np.testing.assert_allclose(fine[1:, ::2, ::4], coarse, atol=1e-5)
    waves = field.wave_numbers @ [9.0, y[3], x[5]] + field.phases
    assert fine[1, 3, 5] == pytest.approx(np.sqrt(2 / 40) * np.cos(waves).sum(), abs=1e-4)


def test_volumes_have_the_layout_of_kits19(tmp_path, patients):
    cases = write_phantom_ct(tmp_path / "set", num_patients=2)
    assert [c.name for c in cases] == ["case_00000", "case_00001"]
    image = nibabel.load(cases[1] / "imaging.nii.gz")
    labels = nibabel.load(cases[1] / "segmentation.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert labels.get_data_dtype() == np.uint8
    assert nibabel.aff2axcodes(image.affine) == ("I", "P", "L")
    np.testing.assert_allclose(image.affine, labels.affine)
    patient = patients[1]
    spacing = (patient.slice_spacing_mm, patient.pixel_spacing_mm, patient.pixel_spacing_mm)
    np.testing.assert_allclose(image.header.get_zooms(), spacing, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj), patient.hounsfield)
    np.testing.assert_array_equal(np.asarray(labels.dataobj), patient.labels)
    settings = json.loads((tmp_path / "set" / "phantom.json").read_text())
    assert settings["synthetic"] is True
    assert settings["image_size"] == 64


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_larger_set_and_workers_give_the_same_bytes(tmp_path, monkeypatch, start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {start} a process.")
    monkeypatch.setattr(worker_pool, "_START_METHOD", start)
    kwargs = {"image_size": 32, "num_slices": 6, "seed": 3}
    alone = write_phantom_ct(tmp_path / "one", num_patients=2, **kwargs)
    both = write_phantom_ct(tmp_path / "two", num_patients=3, workers=2, **kwargs)
    for one, two in zip(alone, both[:2], strict=True):
        for name in ("imaging.nii.gz", "segmentation.nii.gz", "phantom_patient.json"):
            assert sha256_of(one / name) == sha256_of(two / name)


def test_resume_replaces_what_is_truncated_and_leaves_the_rest(tmp_path):
    kwargs = {"image_size": 32, "num_slices": 6}
    cases = write_phantom_ct(tmp_path / "set", num_patients=3, **kwargs)
    whole = {c: sha256_of(c / "imaging.nii.gz") for c in cases}
    stamp = (cases[0] / "imaging.nii.gz").stat().st_mtime_ns
    damaged = cases[1] / "imaging.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (cases[2] / "phantom_patient.json").write_text('{"bytes"')
    (cases[2] / ".imaging.nii.gz.abc.part").write_bytes(b"half")
    calls = []
    write_phantom_ct(
        tmp_path / "set", num_patients=4, **kwargs, progress=lambda *args: calls.append(args)
    )
    assert {c: sha256_of(c / "imaging.nii.gz") for c in cases} == whole
    assert (cases[0] / "imaging.nii.gz").stat().st_mtime_ns == stamp
    assert [done for done, _, _ in calls] == [1, 2, 3, 4]
    assert not list((tmp_path / "set").rglob("*.part"))
    with gzip.open(damaged) as stream:
        assert len(stream.read()) == 352 + 2 * 6 * 32 * 32


def test_other_settings_are_refused(tmp_path):
    write_phantom_ct(tmp_path / "set", num_patients=1, image_size=32, num_slices=4)
    with pytest.raises(UserError, match="image_size was 32, is now 48"):
        write_phantom_ct(tmp_path / "set", num_patients=1, image_size=48, num_slices=4)


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"photos: holds 1 file.*Nothing was changed"):
        write_phantom_ct(tmp_path / "photos", num_patients=1)
    with pytest.raises(UserError, match="is a file"):
        write_phantom_ct(tmp_path / "photos" / "holiday.jpg", num_patients=1)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize(
    "setting",
    [{"image_size": 8}, {"num_slices": 0}, {"seed": -1}, {"num_patients": 0}, {"workers": 0}],
)
def test_settings_out_of_range_are_named(tmp_path, setting):
    with pytest.raises(UserError, match=next(iter(setting)).replace("_", "[-_]")):
        write_phantom_ct(tmp_path / "set", **setting)
    assert not (tmp_path / "set").exists()


def test_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nifti_case, "_write_nifti", refuse)
    with pytest.raises(UserError, match=r"case_00000.*No space left.*run the same command again"):
        write_phantom_ct(tmp_path / "set", num_patients=1, image_size=16, num_slices=1)

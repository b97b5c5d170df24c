"""The real DICOM films do what their names say, and real films tell their polarity."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from preparation.films.dicom.film_reader import DicomFilmReader
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import FilmFile, RejectedFilm
from preparation.films.inversion import looks_inverted
from tests.preparation.films.dicom_films import PERMISSIVE

DATA = Path(__file__).parents[3] / "../shared/data"
REAL = DATA / "dicom_films"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")


def real(name, reader=None):
    return (reader or DicomFilmReader())(FilmFile(name, REAL / name, 1))


@needs_real
def test_one_film_in_four_real_encodings():
    films = {
        kind: real(f"cr_pa_mono1_{kind}.dcm")
        for kind in ("uncompressed", "j2k_lossless", "j2k_lossy", "jpegls_near")
    }
    truth = films["uncompressed"]
    assert truth.pixels.shape == (1955, 1841)
    np.testing.assert_array_equal(films["j2k_lossless"].pixels, truth.pixels)
    assert np.abs(films["j2k_lossy"].pixels - truth.pixels).mean() < 0.002
    assert np.abs(films["jpegls_near"].pixels - truth.pixels).max() < 0.001
    # Stored values by hand: 1 - (x - 14999.5) / 29999 - 0.5, MONOCHROME1.
    stored = pydicom.dcmread(REAL / "cr_pa_mono1_uncompressed.dcm").pixel_array
    np.testing.assert_allclose(truth.pixels, 0.5 - (stored - 14999.5) / 29999, atol=1e-6)
    assert truth.geometry["window"] == "15000/30000"
    assert truth.spacing_mm is None  # PixelSpacing is 0.000 there
    assert truth.patient == "9RG1"
    assert truth.suspicions == ()
    # Beside the neck is air, which a person sees black; the heart is brighter than the lungs.
    assert truth.pixels[20:60, 20:60].mean() < 0.4 < 0.8 < truth.pixels[900:1200, 850:950].mean()


@needs_real
def test_real_film_labelled_as_its_negative():
    film = real("cr_pa_mono2_jpeg_baseline.dcm")
    negative = real("cr_pa_mono2_pixels_labelled_mono1.dcm")
    np.testing.assert_allclose(negative.pixels, 1 - film.pixels, atol=1e-6)
    assert film.suspicions == ()
    assert negative.suspicions == ("looks_inverted",)
    assert film.spacing_mm == (0.168, 0.168)


@needs_real
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cr_hip_jpegls.dcm", "body_part"),
        ("ct_jpeg_lossless.dcm", "modality"),
        ("ct_jpegls_near.dcm", "modality"),
        ("ct_rle.dcm", "modality"),
        ("dx_no_view_upside_down_j2k.dcm", "no_view"),
        ("not_dicom_html_page.dcm", "not_dicom"),
    ],
)
def test_real_files_that_are_refused(name, reason):
    with pytest.raises(RejectedFilm) as caught:
        real(name)
    assert caught.value.reason == reason


@needs_real
def test_real_film_upside_down_with_a_window_beside_its_values():
    name = "dx_no_view_upside_down_j2k.dcm"
    with pytest.raises(RejectedFilm) as caught:
        real(name, DicomFilmReader(DicomOptions(view=("any",), without_body_part="keep")))
    assert caught.value.reason == "orientation"
    film = real(name, PERMISSIVE)
    assert film.suspicions == ("window_ignored", "looks_inverted")
    assert film.geometry["window"] == "own range"
    assert film.spacing_from == "ImagerPixelSpacing"
    assert film.patient is None


@pytest.mark.skipif(not (DATA / "nih_pa").is_dir(), reason=f"{DATA}/nih_pa is not there")
def test_polarity_of_real_films():
    for path in sorted((DATA / "nih_pa/images").glob("*.png"))[::16]:
        pixels = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        assert not looks_inverted(pixels), path.name
        assert looks_inverted(1 - pixels), path.name
        assert not looks_inverted(np.repeat(pixels[..., None], 3, axis=2))


def test_polarity_by_hand():
    pixels = np.zeros((100, 100), np.float32)
    pixels[30:60, 42:58] = 0.6
    pixels[30:60, 15:40] = 1.0  # one lung is white with an effusion
    assert not looks_inverted(pixels)
    assert looks_inverted(1 - pixels)

"""Grey of DICOM films against values by hand and against pydicom."""

import warnings

import numpy as np
import pydicom
import pytest
from dicom_mutations import small_films
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing

from preparation.films.film import FilmFile
from preparation.films.grey_range import grey_range
from tests.preparation.films.dicom_films import PERMISSIVE, item, ramp, write


def test_rescale_window_and_inversion_by_hand(tmp_path):
    stored = np.zeros((16, 16), np.uint16)
    stored[0, :5] = [100, 200, 299, 300, 4000]
    stored[1:8] = 220
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100, "BitsStored": 12}
    tags |= {"WindowCenter": 300.5, "WindowWidth": 401}  # from 100 to 500 after the rescale
    film = PERMISSIVE(write(tmp_path / "a", stored, **tags))
    expected = [0.25 * 0 + (2 * v - 100 - 100) / 400 for v in (100, 200, 299, 300)] + [1.0]
    np.testing.assert_allclose(film.pixels[0, :5], expected, atol=1e-6)
    assert film.pixels.dtype == np.float32
    assert film.pixels[8, 0] == 0
    assert film.geometry["window"] == "300.5/401"
    negative = PERMISSIVE(
        write(tmp_path / "b", stored, PhotometricInterpretation="MONOCHROME1", **tags)
    )
    np.testing.assert_allclose(negative.pixels, 1 - film.pixels, atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_windows_agree_with_pydicom(tmp_path, function, dtype):
    low = -2048 if dtype is np.int16 else 0
    file = write(
        tmp_path / "a", ramp(low, low + 4095, dtype), BitsStored=12, VOILUTFunction=function,
        WindowCenter=[low + 1700, 5], WindowWidth=[2500, 7], RescaleSlope=1.5, RescaleIntercept=-7,
    )  # fmt: skip
    ds = pydicom.dcmread(file.path)
    rescaled = apply_modality_lut(ds.pixel_array, ds)
    reference = apply_windowing(rescaled, ds)
    low, high = (1.5 * v - 7 for v in (low, low + 4095))  # the range that pydicom maps to
    np.testing.assert_allclose(PERMISSIVE(file).pixels, (reference - low) / (high - low), atol=1e-6)


def test_modality_and_voi_tables_by_hand(tmp_path):
    stored = np.resize(np.arange(8, dtype=np.uint16), (16, 16))
    file = write(
        tmp_path / "a", stored, BitsStored=12,
        ModalityLUTSequence=item([40, 30, 20, 10], 2, 12),  # 0, 1, 2 -> 40; 5, 6, 7 -> 10
        VOILUTSequence=item(range(0, 4000, 100), 5, 12, "OW"),  # value 5 -> 0, 44 -> 3900
    )  # fmt: skip
    film = PERMISSIVE(file)
    expected = [(v - 5) * 100 / 3900 for v in (40, 40, 40, 30, 20, 10, 10, 10)]
    np.testing.assert_allclose(film.pixels[0, :8], expected, atol=1e-6)
    assert film.geometry["window"] == "VOI LUT"


def test_voi_table_agrees_with_pydicom(tmp_path):
    entries = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(int)
    file = write(tmp_path / "a", ramp(), BitsStored=12, VOILUTSequence=item(entries, 0, 16, "OW"))
    ds = pydicom.dcmread(file.path)
    reference = apply_voi_lut(ds.pixel_array, ds) / 65535
    np.testing.assert_allclose(PERMISSIVE(file).pixels, reference, atol=1e-6)


def test_table_of_8_bits_for_pixels_of_12(tmp_path):
    # pydicom's own apply_voi_lut wraps the index round at 256 here.
    entries = np.arange(4096) // 16
    file = write(tmp_path / "a", ramp(), BitsStored=12, VOILUTSequence=item(entries, 0, 8))
    np.testing.assert_allclose(PERMISSIVE(file).pixels, ramp() // 16 / 255, atol=1e-6)


def test_signed_table_begins_below_zero(tmp_path):
    stored = ramp(-100, 99, np.int16)
    tables = item(range(200), -100, 16)
    file = write(tmp_path / "a", stored, VOILUTSequence=tables)
    np.testing.assert_allclose(PERMISSIVE(file).pixels, (stored + 100) / 199, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_own_range_without_a_window(tmp_path, bits):
    stored = ramp(3, 2**bits - 20, np.uint8 if bits == 8 else np.uint16)
    film = PERMISSIVE(write(tmp_path / "a", stored, BitsStored=bits))
    low, high = (0, 255) if bits == 8 else (stored.min(), stored.max())
    np.testing.assert_allclose(film.pixels, (stored - low) / (high - low), atol=1e-6)
    assert film.geometry["window"] == "own range"
    assert film.geometry["source_bits"] == bits
    assert "window_ignored" not in film.suspicions


@pytest.mark.parametrize("outlier", [65535, 20000])
def test_a_hot_pixel_or_marker_does_not_rule_the_film(tmp_path, outlier):
    film = ramp(640, 3360, shape=(40, 50))
    clean = PERMISSIVE(write(tmp_path / "a", film))
    assert clean.geometry["window"] == "own range"
    assert "outliers_clipped" not in clean.suspicions
    marked = film.copy()
    marked[20, :10] = outlier  # 10 of 2,000 pixels
    shown = PERMISSIVE(write(tmp_path / "b", marked))
    assert shown.geometry["window"] == "range 640 to 3360"
    assert "outliers_clipped" in shown.suspicions
    untouched = marked != outlier
    np.testing.assert_array_equal(shown.pixels[untouched], clean.pixels[untouched])
    assert (shown.pixels[20, :10] == 1).all()
    inverted = write(tmp_path / "c", marked, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(PERMISSIVE(inverted).pixels, 1 - shown.pixels, atol=1e-6)


def test_a_range_is_narrowed_by_few_pixels_far_outside_alone():
    def of(values):
        return grey_range(*np.unique(values, return_counts=True))[:3]

    body = np.arange(1000.0)  # the middle 96 % are 960 wide
    assert of(body) == (0, 999, False)
    assert of(np.append(body, 1400)) == (0, 1400, False)  # no gap of half its width
    assert of(np.append(body, np.linspace(1000, 3000, 18))) == (0, 3000, False)  # no gap at all
    hot = np.linspace(1000, 9000, 20)  # nor here, but too far out
    assert of(np.append(body, hot)) == (0, pytest.approx(hot[hot < 980 + 3 * 960][-1]), True)
    assert of(np.append(body, [5000, -4000])) == (0, 999, True)
    assert of(np.append(body, [5000] * 15)) == (0, 999, True)
    assert of(np.append(body, [5000, 4900] * 15)) == (0, 5000, False)  # too many for a mistake
    assert of(np.append(np.zeros(1000), [7, 9])) == (0, 9, False)  # these are the picture
    small = np.append(np.arange(60000, 60100), 3).astype(np.uint16)  # no wrapping round
    assert of(small) == (60000, 60099, True)


def test_a_frame_of_one_value_is_left_outside():
    def of(values):
        return grey_range(*np.unique(values, return_counts=True))

    body = np.arange(1000.0)
    assert of(np.append(body, [65535] * 900))[:3] == (0, 999, True)
    assert of(np.append(body + 8000, [0] * 900))[:3] == (8000, 8999, True)  # also a black one
    assert of(np.append(body + 8000, [0] * 400 + [65535] * 400))[:3] == (8000, 8999, True)
    assert of(-np.append(body, [65535] * 900))[:3] == (-999, 0, True)  # of a negative
    assert of(np.append(body, [5000] * 900 + [3000] * 3))[:3] == (0, 999, True)  # and hot pixels
    assert of(np.append(body, [5000] * 1001))[:3] == (0, 5000, False)  # more than the picture
    assert of(np.append(body, [1450] * 900))[:3] == (0, 1450, False)  # no gap: saturated pixels
    assert of([0] * 5 + [1] * 5 + [9] * 5)[:3] == (0, 9, False)  # three values are no film


def test_a_range_that_something_else_rules_is_low_in_contrast():
    def of(values):
        return grey_range(*np.unique(values, return_counts=True)).suspicions

    body = np.arange(1000.0)
    assert of(body) == ()
    assert of(np.append(body, [65535] * 900)) == ("outliers_clipped",)
    written = np.append(np.tile(body, 10), np.linspace(40000, 65535, 1500))  # of many values
    assert of(written) == ("low_contrast",)
    assert of(np.append(np.tile(body, 10), np.linspace(1000, 4000, 1500))) == ()
    assert of(np.append(np.full(2000, 5.0), body[:30] * 900)) == ()  # the few are the picture


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_film_in_a_white_frame_keeps_its_grey(tmp_path, width):
    film = ramp(640, 3360, shape=(80, 80))
    framed = np.pad(film, width, constant_values=65535)
    shown = PERMISSIVE(write(tmp_path / "a", framed))
    clean = PERMISSIVE(write(tmp_path / "b", film))
    inside = slice(width, -width)
    np.testing.assert_array_equal(shown.pixels[inside, inside], clean.pixels)
    assert "outliers_clipped" in shown.suspicions
    assert (shown.pixels[:width] == 1).all()


def test_bits_above_the_stored_ones_do_not_count(tmp_path):
    stored = ramp()
    file = write(tmp_path / "a", stored | 0x8000, BitsStored=12)
    np.testing.assert_allclose(PERMISSIVE(file).pixels, stored / 4095, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_left_out_of_the_range_and_black(tmp_path, photometric):
    stored = ramp(1000, 2000, np.int16)
    stored[:, :3] = -2000
    stored[:, 3] = -1990
    film = PERMISSIVE(
        write(
            tmp_path / "a", stored, PhotometricInterpretation=photometric,
            PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1985,
        )
    )  # fmt: skip
    assert np.all(film.pixels[:, :4] == 0)
    inside = stored[:, 4:]
    expected = (inside - inside.min()) / np.ptp(inside)
    if photometric == "MONOCHROME1":
        expected = 1 - expected
    np.testing.assert_allclose(film.pixels[:, 4:], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("centre", "width"),
    [(2000, 0), (2000, -5), (2000, 1), ("NaN", 400), (1e9, 400), (2048, 1e7), (-9000, 50)],
)
def test_window_that_leaves_no_picture_is_ignored_and_said(tmp_path, centre, width):
    file = write(tmp_path / "a", ramp(), BitsStored=12)
    ds = pydicom.dcmread(file.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.add_new("WindowCenter", "LO", str(centre))
        ds.add_new("WindowWidth", "LO", str(width))
    ds.save_as(file.path)
    film = PERMISSIVE(file)
    assert "window_ignored" in film.suspicions
    np.testing.assert_allclose(film.pixels, ramp() / 4095, atol=1e-6)


def test_window_serves_where_the_table_is_damaged(tmp_path):
    tags = {"WindowCenter": 2048, "WindowWidth": 4096}
    file = write(tmp_path / "a", ramp(), BitsStored=12, VOILUTSequence=item([7] * 4096, 0, 12))
    assert "window_ignored" in PERMISSIVE(file).suspicions
    file = write(
        tmp_path / "a", ramp(), BitsStored=12, VOILUTSequence=item([7] * 4096, 0, 12), **tags
    )
    assert PERMISSIVE(file).geometry["window"] == "2048/4096"


@pytest.mark.parametrize(("slope", "intercept"), [(0, 5), (1, 1e20), (1e307, 0), ("NaN", 0)])
def test_rescale_that_makes_no_sense_is_ignored_and_said(tmp_path, slope, intercept):
    file = write(tmp_path / "a", ramp(), BitsStored=12)
    ds = pydicom.dcmread(file.path)
    ds.add_new("RescaleSlope", "LO", str(slope))
    ds.add_new("RescaleIntercept", "LO", str(intercept))
    ds.save_as(file.path)
    film = PERMISSIVE(file)
    assert film.suspicions[0] == "rescale_ignored"
    np.testing.assert_allclose(film.pixels, ramp() / 4095, atol=1e-6)


def test_every_encoding_gives_the_same_film(tmp_path):
    films = {}
    for base in small_films():
        path = tmp_path / base.name
        path.write_bytes(base.data)
        films[base.name] = PERMISSIVE(FilmFile(base.name, path, len(base.data))).pixels
    for name in ("implicit", "big_endian", "rle", "jpeg2000_lossless", "jpegls", "jpeg_lossless"):
        np.testing.assert_array_equal(films[name], films["explicit"], err_msg=name)
    assert np.abs(films["jpegls_near"] - films["explicit"]).max() <= 3 / 2999 + 1e-6
    assert np.abs(films["jpeg2000_lossy"] - films["explicit"]).mean() < 0.02
    assert np.abs(films["jpeg_baseline"] - films["explicit"]).mean() < 0.05


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "suspicions"),
    [
        ("MONOCHROME2", None, False, ()),
        ("MONOCHROME2", "IDENTITY", False, ()),
        ("MONOCHROME1", "INVERSE", True, ()),
        ("MONOCHROME1", None, True, ()),
        ("MONOCHROME2", "INVERSE", True, ("polarity_contradicts",)),
        ("MONOCHROME1", "IDENTITY", True, ("polarity_contradicts",)),
    ],
)
def test_the_presentation_shape_inverts_once(tmp_path, photometric, shape, inverted, suspicions):
    stored = ramp(0, 4095)
    file = write(
        tmp_path / "a", stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape,
        BitsStored=12, WindowCenter=2048, WindowWidth=4096,
    )  # fmt: skip
    film = PERMISSIVE(file)
    grey = stored / 4095
    np.testing.assert_allclose(film.pixels, 1 - grey if inverted else grey, atol=1e-4)
    assert tuple(s for s in film.suspicions if s != "looks_inverted") == suspicions

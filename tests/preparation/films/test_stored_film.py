"""From a film of any size to the stored square: geometry, antialiasing, CLAHE, depth, colour."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from skimage.color import rgb2hsv
from skimage.exposure import equalize_adapthist

from preparation.films.film_layout import FilmLayout
from preparation.films.stored_film import stored_film, stored_spacing
from provenance import UserError

REAL = Path(__file__).parents[3] / "../shared/data/dicom_films/cr_pa_mono1_uncompressed.dcm"


def layout(image_size=64, margin=0.0, clahe="none", **settings):
    return FilmLayout("chest_xray", image_size, margin, clahe=clahe, **settings)


def film(height, width):
    """Smooth blobs of all grey values, with a little grain."""
    rng = np.random.default_rng(0)
    blobs = Image.fromarray(rng.random((8, 8)).astype(np.float32))
    smooth = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + 0.03 * rng.standard_normal((height, width))
    return ((noisy - noisy.min()) / np.ptp(noisy)).astype(np.float32)


def resized(pixels, side):
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("image_size", "margin", "stored"),
    [(512, 0.05, 539), (512, 0, 512), (64, 0.05, 67), (256, 0.1, 284), (100, 0.5, 200)],
)
def test_the_stored_side_leaves_room_for_the_crop(image_size, margin, stored):
    assert layout(image_size, margin).stored_size == stored
    assert stored_film(film(30, 40), layout(image_size, margin)).shape == (stored, stored)


def test_a_layout_is_plain_values():
    made = FilmLayout("chest_xray", 256, bit_depth=16)
    assert FilmLayout(**json.loads(json.dumps(asdict(made)))) == made


@pytest.mark.parametrize(
    ("setting", "flag"),
    [
        ({"image_size": 8}, "--image-size 8"),
        ({"margin": 0.9}, "--margin 0.9"),
        ({"margin": -0.1}, "--margin -0.1"),
        ({"margin": float("nan")}, "--margin nan"),
        ({"channels": 2}, "--channels 2"),
        ({"bit_depth": 12}, "--bit-depth 12: expected 8 or 16"),
        ({"on_nonsquare": "squeeze"}, "--on-nonsquare squeeze: expected pad or crop or stretch"),
        ({"clahe": "yes"}, "--clahe yes"),
        ({"clahe_clip_limit": 0.005}, "--clahe-clip-limit 0.005"),
        ({"clahe_clip_limit": 2}, "--clahe-clip-limit 2"),
    ],
)
def test_values_out_of_range_name_the_flag(setting, flag):
    with pytest.raises(UserError, match=flag):
        FilmLayout("chest_xray", **setting)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_black_is_zero_and_white_is_the_largest_value(bits, dtype):
    pixels = np.zeros((64, 64), np.float32)
    pixels[:, 32:] = 1
    stored = stored_film(pixels, layout(bit_depth=bits))
    assert stored.dtype == dtype
    assert np.all(stored[:, :32] == 0)
    assert np.all(stored[:, 32:] == np.iinfo(dtype).max)


def test_grey_values_round_to_the_nearest():
    pixels = np.full((64, 64), 100.4 / 255, np.float32)
    assert np.all(stored_film(pixels, layout()) == 100)
    assert np.all(stored_film(pixels + 0.2 / 255, layout()) == 101)
    assert np.all(stored_film(pixels, layout(bit_depth=16)) == round(100.4 / 255 * 65535))


@pytest.mark.parametrize("clahe", ["none", "after_resize", "before_resize"])
def test_a_constant_film_keeps_its_grey(clahe):
    assert np.all(stored_film(np.full((90, 90), 0.4, np.float32), layout(clahe=clahe)) == 102)


def test_a_ramp_stays_a_ramp():
    ramp = np.broadcast_to((np.arange(512, dtype=np.float32) + 0.5) / 512, (512, 512))
    stored = stored_film(ramp, layout(bit_depth=16))
    expected = (np.arange(64) + 0.5) / 64 * 65535
    # At the border a triangle has no pixels on one side.
    np.testing.assert_allclose(stored[20, 1:-1], expected[1:-1], atol=1)


@pytest.mark.parametrize("shape", [(80, 40), (40, 80)])
def test_padding_is_black_and_centred(shape):
    stored = stored_film(np.ones(shape, np.float32), layout(16))
    expected = np.zeros((16, 16), np.uint8)
    expected[:, 4:12] = 255
    assert np.array_equal(stored, expected if shape[0] == 80 else expected.T)


def test_padding_stays_black_when_the_film_is_equalised():
    pixels = 0.3 + 0.5 * film(600, 300)
    stored = stored_film(pixels, layout(512, clahe="after_resize"))
    assert not stored[:, :128].any()
    assert not stored[:, 384:].any()
    small = Image.fromarray(pixels).resize((256, 512), Image.Resampling.BILINEAR)
    alone = equalize_adapthist(np.asarray(small))
    assert np.abs(stored[:, 128:384] - alone * 255).max() <= 0.51


def test_cropping_takes_the_centred_square():
    pixels = np.zeros((80, 40), np.float32)
    pixels[20:60] = 0.2
    pixels[20:60, :20] = 0.6
    stored = stored_film(pixels, layout(20, on_nonsquare="crop"))
    # The triangle reaches half a pixel over the edge between the two columns in the middle.
    assert np.all(stored[:, :9] == 153)
    assert np.all(stored[:, 11:] == 51)


def test_stretching_fills_the_square():
    pixels = np.zeros((80, 40), np.float32)
    pixels[40:] = 1
    stored = stored_film(pixels, layout(20, on_nonsquare="stretch"))
    assert not stored[:9].any()
    assert np.all(stored[11:] == 255)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (700, 3), (64, 64), (33, 50)])
@pytest.mark.parametrize("clahe", ["none", "after_resize", "before_resize"])
def test_any_shape_becomes_the_square(fit, shape, clahe):
    pixels = np.random.default_rng(0).random(shape).astype(np.float32)
    assert stored_film(pixels, layout(20, clahe=clahe, on_nonsquare=fit)).shape == (20, 20)


def test_a_film_of_the_stored_size_passes_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    assert np.array_equal(stored_film(pixels.astype(np.float32) / 255, layout()), pixels)


def test_a_checkerboard_becomes_mid_grey():
    board = (np.indices((512, 512)).sum(axis=0) % 2).astype(np.float32)
    stored = stored_film(board, layout(64))
    assert np.all(np.abs(stored[1:-1, 1:-1].astype(int) - 127.5) <= 1)


@pytest.mark.parametrize("source", [100, 1000])
def test_edges_do_not_overshoot(source):
    pixels = np.full((source, source), 0.2, np.float32)
    pixels[:, source // 2 :] = 0.8
    stored = stored_film(pixels, layout(237))
    assert (stored.min(), stored.max()) == (51, 204)


@pytest.mark.parametrize("clip_limit", [0.01, 0.03])
def test_clahe_is_scikit_images_after_the_same_resize(clip_limit):
    pixels = film(700, 700)
    stored = stored_film(
        pixels, layout(512, 0.05, clahe="after_resize", clahe_clip_limit=clip_limit)
    )
    expected = equalize_adapthist(resized(pixels, 539), clip_limit=clip_limit)
    assert np.abs(stored - expected * 255).max() <= 0.51


def test_clahe_before_the_resize_is_scikit_images_on_the_whole_film():
    pixels = film(600, 600)
    stored = stored_film(pixels, layout(128, clahe="before_resize"))
    expected = resized(equalize_adapthist(pixels).astype(np.float32), 128)
    assert np.abs(stored - expected * 255).max() <= 0.51


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", [28, 64, 112, 128, 200])
def test_small_films_are_not_saturated_by_clahe(size, bits):
    """scikit-image alone makes 12 % of this film white at 112 pixels, and none at 512."""
    pixels = film(600, 600)
    stored = stored_film(pixels, layout(size, clahe="after_resize", bit_depth=bits))
    assert np.mean(stored >= 0.999 * (2**bits - 1)) < 0.02
    if bits == 8 and size == 112:
        plain = equalize_adapthist(resized(pixels, 112))
        assert np.mean(plain >= 0.999) > 0.1


def test_clahe_needs_no_minimum_side_to_be_the_same_equalisation():
    """Repeated pixels give the histograms of the film at that size, tile by tile."""
    small = film(128, 128)
    stored = stored_film(small, layout(128, clahe="after_resize"))
    large = equalize_adapthist(small.repeat(4, axis=0).repeat(4, axis=1))
    expected = large.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    assert np.abs(stored - expected * 255).max() <= 0.51


def test_16_bits_keep_more_than_8_bits_could():
    ramp = np.broadcast_to(np.linspace(0, 1, 4096, dtype=np.float32), (64, 4096))
    fine = stored_film(ramp, layout(1024, bit_depth=16, on_nonsquare="stretch"))
    coarse = stored_film(ramp, layout(1024, on_nonsquare="stretch"))
    assert len(np.unique(coarse)) == 256
    assert len(np.unique(fine)) == 1024
    assert np.abs(fine / 257 - coarse).max() <= 0.51


def test_16_bits_have_finer_steps_after_clahe_too():
    ramp = np.broadcast_to(np.linspace(0, 1, 512, dtype=np.float32), (512, 512))
    steps = {
        bits: np.diff(
            stored_film(ramp, layout(512, clahe="after_resize", bit_depth=bits))[256].astype(float)
        ).max()
        / (2**bits - 1)
        for bits in (8, 16)
    }
    assert steps[16] < 0.75 * steps[8]


@pytest.mark.parametrize("clahe", ["none", "after_resize", "before_resize"])
def test_a_grey_film_is_the_same_in_every_plane(clahe):
    pixels = film(90, 70)
    grey = stored_film(pixels, layout(clahe=clahe))
    for source in (pixels, np.stack([pixels] * 3, axis=-1)):
        planes = stored_film(source, layout(clahe=clahe, channels=3))
        assert planes.shape == (3, 64, 64)
        assert planes.flags.c_contiguous
        assert all(np.array_equal(plane, grey) for plane in planes)
    assert np.array_equal(stored_film(np.stack([pixels] * 3, axis=-1), layout(clahe=clahe)), grey)


def test_colour_keeps_its_hue_when_it_is_equalised():
    value = 0.2 + 0.5 * film(600, 600)
    pixels = np.stack([value, 0.5 * value, 0.25 * value], axis=-1)
    planes = stored_film(pixels, layout(512, clahe="after_resize", channels=3, bit_depth=16))
    stored = np.moveaxis(planes, 0, -1) / 65535
    visible = stored.max(axis=-1) > 0.05
    before, after = rgb2hsv(pixels[:1, :1])[0, 0], rgb2hsv(stored)[visible]
    np.testing.assert_allclose(
        after[:, :2], np.broadcast_to(before[:2], (len(after), 2)), atol=0.01
    )
    assert stored.max() > 0.99  # stretched to the whole range, from 0.7


def test_colour_in_one_plane_is_its_luminance():
    pixels = np.zeros((64, 64, 3), np.float32)
    pixels[..., 0], pixels[..., 1] = 1, 0.5
    assert np.all(stored_film(pixels, layout()) == round(255 * (0.299 + 0.5 * 0.587)))


@pytest.mark.parametrize("clahe", ["after_resize", "before_resize"])
def test_the_same_bytes_on_every_run(clahe):
    pixels = film(300, 200)
    first, second = (stored_film(pixels, layout(256, 0.05, clahe=clahe)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(pixels, film(300, 200))  # and the source is left as it was


def test_spacing_follows_the_fit():
    assert stored_spacing(None, (2000, 1000), layout(500)) is None
    assert stored_spacing((0.2, 0.2), (2000, 1000), layout(500)) == (0.8, 0.8)
    assert stored_spacing((0.2, 0.2), (2000, 1000), layout(500, on_nonsquare="crop")) == (0.4, 0.4)
    stretched = layout(500, on_nonsquare="stretch")
    assert stored_spacing((0.2, 0.2), (2000, 1000), stretched) == (0.8, 0.4)
    assert stored_spacing((0.3, 0.1), (100, 100), layout(200)) == (0.15, 0.05)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_lengths_in_mm_are_kept(fit):
    pixels = np.zeros((401, 300), np.float32)
    pixels[150:250, 100:200] = 1  # 100 x 100 pixels of 0.2 x 0.3 mm
    made = layout(137, on_nonsquare=fit)
    area_mm2 = (
        stored_film(pixels, made).sum()
        / 255
        * np.prod(stored_spacing((0.2, 0.3), pixels.shape, made))
    )
    assert area_mm2 == pytest.approx(20 * 30, rel=0.002)


def test_the_two_orders_of_clahe_agree_on_a_real_film():
    if not REAL.is_file():
        pytest.skip("../shared/data/dicom_films is not here")
    pixels = pydicom.dcmread(REAL).pixel_array.astype(np.float32)
    pixels = (pixels.max() - pixels) / np.ptp(pixels)  # MONOCHROME1
    after, before = (
        stored_film(pixels, FilmLayout("chest_xray", clahe=order)).astype(int)
        for order in ("after_resize", "before_resize")
    )
    assert np.abs(after - before).mean() < 4

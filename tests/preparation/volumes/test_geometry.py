"""Window, padding and resizing: known values and invariances."""

import numpy as np
import pytest

from preparation.volumes.geometry import (
    fit_image,
    fit_mask,
    fitted_spacing,
    outline_of,
    padding_to_square,
    window_to_uint8,
)


def test_window_maps_its_ends_and_its_middle():
    hu = np.array([-1024, -200, 0, 200, 3000], np.int16)
    assert window_to_uint8(hu, 400, 0).tolist() == [0, 0, 128, 255, 255]
    assert window_to_uint8(np.array([40], np.int16), 400, 40).tolist() == [128]


def test_window_is_monotonous_and_uses_every_grey():
    grey = window_to_uint8(np.arange(-300, 301, dtype=np.int16), 400, 0)
    assert (np.diff(grey.astype(int)) >= 0).all()
    assert len(np.unique(grey)) == 256


@pytest.mark.parametrize("shape", [(512, 796), (9, 4), (5, 5)])
def test_padding_centres(shape):
    (top, bottom), (left, right) = padding_to_square(*shape)
    assert shape[0] + top + bottom == shape[1] + left + right == max(shape)
    assert abs(top - bottom) <= 1
    assert abs(left - right) <= 1


def test_padding_is_air_and_background():
    image = fit_image(np.full((4, 8), 100, np.int16), 8, (400, 0))
    assert image.shape == (8, 8)
    assert (image[:2] == 0).all()
    assert (image[2:6] == 191).all()
    mask = fit_mask(np.full((4, 8), 2, np.uint8), 8)
    assert (mask[:2] == 0).all()
    assert (mask[2:6] == 2).all()


def test_shrinking_averages_in_hu_before_the_window():
    # Half bone at 1000 HU, half air at -1000: the mean is 0 HU, mid grey. Windowing first would
    # give the same here, so the bone is set to 1400: mean 200 HU, white; windowed first, grey.
    image = np.full((4, 4), -1000, np.int16)
    image[:, ::2] = 1400
    assert (fit_image(image, 2, (400, 0)) == 255).all()


def test_mask_keeps_its_labels_and_lies_where_the_image_does():
    rng = np.random.default_rng(0)
    mask = (rng.integers(0, 3, (8, 8))).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    for size in (16, 32, 128):
        fitted = fit_mask(mask, size)
        assert set(np.unique(fitted)) <= {0, 1, 2}
        image = fit_image(np.where(mask == 2, 200, -200).astype(np.int16), size, (400, 0))
        assert ((image > 127) == (fitted == 2)).mean() > 0.97


def test_unchanged_where_nothing_is_to_do():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(fit_image(grey, 8, None), grey)


def test_spacing_follows_padding_and_resizing():
    assert fitted_spacing((0.5, 0.5), (512, 796), 512) == (0.777344, 0.777344)
    assert fitted_spacing((0.8, 0.7), (512, 512), 256) == (1.6, 1.4)
    assert fitted_spacing(None, (512, 512), 256) is None


def disc(shape, spacing_mm, radius_mm, center_mm=(0.0, 0.0)):
    """A disc on a grid of any pixels, centred in the slice."""
    rows, columns = (
        (np.arange(n) - (n - 1) / 2) * mm - at
        for n, mm, at in zip(shape, spacing_mm, center_mm, strict=True)
    )
    return rows[:, None] ** 2 + columns[None, :] ** 2 < radius_mm**2


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "size"),
    [
        ((40, 280), (5.0, 0.7), 280),  # thick slices of a coronal volume, read from head to feet
        ((280, 40), (0.7, 5.0), 140),
        ((200, 160), (0.8, 1.0), 256),
        ((160, 300), (1.0, 0.6), 64),
        ((7, 300), (30.0, 1.0), 300),
    ],
)
@pytest.mark.parametrize("center_mm", [(0, 0), (30, -20)])
def test_a_disc_is_round_and_in_its_place_after_resampling(shape, spacing_mm, size, center_mm):
    """The reference is the same disc drawn on the square pixels, whose size is the outline's."""
    outline = outline_of(shape, spacing_mm, True)
    fitted_mm = fitted_spacing(spacing_mm, shape, size, outline)
    extent_mm = max(n * mm for n, mm in zip(shape, spacing_mm, strict=True))
    assert fitted_mm == pytest.approx((extent_mm / size, extent_mm / size))
    stored = disc(shape, spacing_mm, 45, center_mm)
    expected = disc((size, size), fitted_mm, 45, center_mm)
    mask = fit_mask(stored.astype(np.uint8), size, outline)
    rim = 2 * np.pi * 45 * max(spacing_mm) / fitted_mm[0] ** 2  # a ring as wide as a long pixel
    assert (mask != expected).sum() < rim / 2
    image = fit_image(np.where(stored, 200, -200).astype(np.int16), size, (400, 0), outline)
    assert ((image > 127) != expected).sum() < rim / 2
    for axis, at in enumerate(np.argwhere(mask).mean(axis=0)):
        place = (at - (size - 1) / 2) * fitted_mm[0]
        assert place == pytest.approx(center_mm[axis], abs=0.1 * max(spacing_mm) + fitted_mm[0] / 2)


def test_what_resampling_adds_is_air_and_background():
    outline = outline_of((4, 10), (1.0, 0.5), True)
    assert outline == (8, 10)
    image = fit_image(np.full((4, 10), 100, np.int16), 10, (400, 0), outline)
    assert (image[0] == 0).all()
    assert (image[2:-2] == 191).all()
    mask = fit_mask(np.ones((4, 10), np.uint8), 10, outline)
    assert not mask[[0, -1]].any()
    assert mask[1:-1].all()


def test_square_pixels_are_not_resampled():
    assert outline_of((5, 8), (0.7, 0.7), True) == (5, 8)
    assert outline_of((5, 8), (0.7, 0.705), True) == (5, 8)
    assert outline_of((5, 8), (5.0, 0.7), False) == (5, 8)
    assert outline_of((5, 8), None, True) == (5, 8)

"""Pixels of DICOM series: padding, and masks whose headers rescale or compress them."""

import numpy as np
import pydicom
import pytest
from openjpeg.utils import encode_array
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit

from preparation.volumes.ct_dicom import find_studies, read_study
from preparation.volumes.volume import SkipVolume
from tests.preparation.volumes.test_ct_dicom import read_only, write_slice

SIZE = 32
Y, X = np.mgrid[:SIZE, :SIZE]
OUTSIDE = (Y - 16) ** 2 + (X - 16) ** 2 > 15**2  # of the field of view
BODY = (Y - 16) ** 2 + (X - 16) ** 2 < 10**2
KIDNEY = (Y - 16) ** 2 + (X - 12) ** 2 < 3**2


DRAWN = KIDNEY * np.uint16(255)


def study(root, stored, mask=DRAWN, of_mask=None, **tags):
    """Two slices of stored values, and of a mask."""
    for row in range(2):
        write_slice(root / f"PATIENT_DICOM/{row}", stored, -3.0 * row, **tags)
        write_slice(
            root / f"MASKS_DICOM/kidney/{row}", mask, -3.0 * row, series="9.1", **(of_mask or {})
        )


def hu_of(root):
    volume = read_only(root)
    assert np.array_equal(volume.mask[0], KIDNEY)
    return volume.image[0], volume.notes


def padded(root, vr, value):
    """Add PixelPaddingValue, signed or not whatever the pixels are."""
    for path in (root / "PATIENT_DICOM").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.add_new(0x00280120, vr, value)
        dataset.save_as(path)


HU = np.where(BODY, 40, -1000).astype(np.int16)
HU[KIDNEY] = 120


@pytest.mark.parametrize(
    ("offset", "dtype", "padding", "tag", "vr"),
    [
        (1024, np.uint16, 65535, 65535, "US"),
        (1024, np.uint16, 63536, -2000, "SS"),  # written with the sign that pixels do not have
        (0, np.int16, 2000, 2000, "SS"),
        (0, np.int16, 3071, 3071, "US"),
        (0, np.int16, 32767, 32767, "US"),
        (8192, np.uint16, 0, 0, "US"),
    ],
)
def test_padding_outside_of_the_field_of_view_is_air(tmp_path, offset, dtype, padding, tag, vr):
    stored = np.where(OUTSIDE, padding, HU.astype(int) + offset).astype(dtype)
    slope = {"RescaleSlope": -1, "RescaleIntercept": 0} if padding == 0 else {}
    if padding == 0:  # the padding is the smallest stored value, and the brightest after rescale
        stored = np.where(OUTSIDE, 0, offset - HU.astype(int)).astype(dtype)
        slope = {"RescaleSlope": -1, "RescaleIntercept": offset}
    study(tmp_path, stored, intercept=-offset, **slope)
    padded(tmp_path, vr, tag)
    image, notes = hu_of(tmp_path)
    assert np.array_equal(image, np.where(OUTSIDE, -1024, HU))
    share = 100 * OUTSIDE.mean()
    held = f"{share:.1f} % of its pixels hold the padding value of the header"
    assert f"{held} (PixelPaddingValue {tag})" in notes[0]
    assert "are read as air" in notes[0]


def test_a_signed_padding_value_that_is_air_anyway_needs_no_word(tmp_path):
    stored = np.where(OUTSIDE, -2000, HU).astype(np.int16)
    study(tmp_path, stored)
    padded(tmp_path, "US", 63536)
    image, notes = hu_of(tmp_path)
    assert np.array_equal(image, np.where(OUTSIDE, -1024, HU))
    assert notes == []


def test_a_range_of_padding_values(tmp_path):
    stored = np.where(OUTSIDE, 4000 + X, HU + 1024).astype(np.uint16)
    tags = {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4031}
    study(tmp_path, stored, intercept=-1024, **tags)
    image, notes = hu_of(tmp_path)
    assert "(PixelPaddingValue 4000 to 4031)" in notes[0]
    assert (image[OUTSIDE] == -1024).all()
    assert np.array_equal(image[~OUTSIDE], HU[~OUTSIDE])


def test_body_of_the_padding_value_keeps_it(tmp_path):
    """Padding 0 in a file whose 0 is water too: only what reaches the edge is outside."""
    hu = HU.copy()
    water = (Y - 16) ** 2 + (X - 20) ** 2 < 2**2
    hu[water] = 0
    study(tmp_path, np.where(OUTSIDE, 0, hu).astype(np.int16), PixelPaddingValue=0)
    image, notes = hu_of(tmp_path)
    assert np.array_equal(image, np.where(OUTSIDE, -1024, hu))
    assert f"{2 * water.sum()} pixels of that value lie within the body and keep it" in notes[0]


def test_padding_of_a_mask_marks_nothing(tmp_path):
    mask = np.where(OUTSIDE, 65535, KIDNEY * 255).astype(np.uint16)
    study(tmp_path, HU, mask, {"PixelPaddingValue": 65535})
    hu_of(tmp_path)


@pytest.mark.parametrize(
    ("mask", "tags", "note"),
    [
        (KIDNEY * np.uint16(255), {"RescaleIntercept": -1024}, True),  # copied from the image
        (KIDNEY * np.uint16(1024), {"RescaleIntercept": -1024}, True),
        (KIDNEY * np.uint16(1), {"RescaleIntercept": 5}, True),
        (KIDNEY * np.uint16(1), {"RescaleSlope": -1}, True),
        (KIDNEY * np.uint16(1) + np.uint16(1024), {"RescaleIntercept": -1024}, False),
        (KIDNEY * np.uint16(3), {"RescaleSlope": 0.5}, False),
        ((KIDNEY * 5 - 3).astype(np.int16), {"RescaleIntercept": 3}, False),
    ],
)
def test_a_mask_with_a_rescale_marks_what_was_drawn(tmp_path, mask, tags, note):
    study(tmp_path, HU, mask, tags)
    _, notes = hu_of(tmp_path)
    assert any("after which nothing is 0. Its stored values are used" in n for n in notes) == note


def test_a_mask_that_leaves_nothing_unmarked_by_either_reading_is_refused(tmp_path):
    study(tmp_path, HU, (KIDNEY * 5 - 3).astype(np.int16))
    with pytest.raises(SkipVolume, match=r"has values from -3 on \(stored: -3\), so it is not"):
        read_study(find_studies(tmp_path).jobs[0])


def test_a_mask_that_marks_everything_is_refused(tmp_path):
    study(tmp_path, HU, np.full((SIZE, SIZE), 255, np.uint16))
    with pytest.raises(SkipVolume, match="so it is not known what it leaves unmarked"):
        read_study(find_studies(tmp_path).jobs[0])


def table():
    """A table that takes a stored value to itself."""
    entry = pydicom.Dataset()
    entry.LUTDescriptor, entry.ModalityLUTType = [4, 0, 16], "HU"
    entry.add_new(0x00283006, "US", [0, 1, 2, 3])
    return [entry]


@pytest.mark.parametrize("folder", ["PATIENT_DICOM", "MASKS_DICOM/kidney"])
@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"RescaleSlope": None, "RescaleIntercept": None}, "has no RescaleSlope, but .* has one"),
        ({"RescaleIntercept": None}, "has no RescaleIntercept, but .* has one"),
        ({"RescaleSlope": 0}, "has RescaleSlope 0 and RescaleIntercept 0, from which no values"),
        ({"ModalityLUTSequence": table()}, r"gives its values by a table \(ModalityLUTSequence\)"),
    ],
)
def test_a_slice_whose_values_are_on_no_known_scale_is_refused(tmp_path, folder, tags, sentence):
    study(tmp_path, HU)
    path = tmp_path / folder / "1"
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    with pytest.raises(SkipVolume, match=sentence) as caught:
        read_study(find_studies(tmp_path).jobs[0])
    assert caught.value.file.endswith("#2")


def test_a_series_without_any_rescale_is_read_as_it_is_stored(tmp_path):
    study(tmp_path, HU, RescaleSlope=None, RescaleIntercept=None)
    image, _ = hu_of(tmp_path)
    assert np.array_equal(image, HU)


@pytest.mark.parametrize(("padding", "dtype"), [(63536, np.uint16), (32767, np.int16)])
def test_padding_that_is_not_declared_is_noted_with_its_share(tmp_path, padding, dtype):
    offset = 1024 if dtype == np.uint16 else 0
    stored = np.where(OUTSIDE, padding, HU.astype(int) + offset).astype(dtype)
    study(tmp_path / "a", stored, intercept=-offset)
    _, [note] = hu_of(tmp_path / "a")
    assert f"{100 * OUTSIDE.mean():.1f} % of its pixels are at or above 3071 HU" in note
    metal = np.where(KIDNEY, 3071, HU).astype(np.int16)
    study(tmp_path / "b", metal)
    assert hu_of(tmp_path / "b")[1] == []


@pytest.mark.parametrize(
    ("syntax", "told", "refused"),
    [
        (JPEG2000Lossless, None, False),
        (JPEG2000Lossless, "01", True),  # lossy before, and kept without further loss
        (JPEG2000, None, True),
        (JPEG2000, "00", False),
        (JPEGBaseline8Bit, None, True),
        (None, "01", True),
    ],
)
def test_a_mask_that_went_through_lossy_compression_is_refused(tmp_path, syntax, told, refused):
    study(tmp_path, HU)
    for path in (tmp_path / "MASKS_DICOM/kidney").iterdir():
        dataset = pydicom.dcmread(path)
        if syntax is not None:
            data = encode_array(dataset.pixel_array, photometric_interpretation=2)
            dataset.PixelData = pydicom.encaps.encapsulate([data])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = syntax
        if told:
            dataset.LossyImageCompression = told
        dataset.save_as(path)
    if not refused:
        hu_of(tmp_path)
        return
    with pytest.raises(SkipVolume, match="is a mask that went through lossy compression"):
        read_study(find_studies(tmp_path).jobs[0])


def test_a_lossy_image_is_used_and_noted(tmp_path):
    study(tmp_path, HU, LossyImageCompression="01")
    for path in (tmp_path / "MASKS_DICOM/kidney").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.LossyImageCompression = "00"
        dataset.save_as(path)
    _, notes = hu_of(tmp_path)
    assert "2 of 2 slices went through lossy compression" in notes[0]

"""--resample: square pixels in a whole preparation, and what is said of those that are not."""

import json

import nibabel as nib
import numpy as np
import pytest

from datamodules.slice_cache import SliceCache
from tests.prepare_runs import LEFT_OUT, contents, kits19, run

# A coronal volume of 5 mm slices: axes to the left, to the head, to the back.
CORONAL = np.array([[-0.7, 0, 0, 0], [0, 0, -5.0, 0], [0, 0.7, 0, 0], [0, 0, 0, 1]])


def coronal(root, num=3, affine=CORONAL):
    """A rod of 60 mm from head to feet in each of them: round in every axial slice."""
    x, _, y = np.mgrid[:200, :6, :28]
    for number in range(num):
        away = ((x - 99.5) * 0.7) ** 2 + ((y - 13.5 - number) * 5.0) ** 2
        mask = (away < 30**2).astype(np.uint8)
        image = np.where(mask, 100, -500).astype(np.int16)
        image[0, 0, 0] = -1000 - number
        case = root / f"case_{number:05d}"
        case.mkdir(parents=True)
        for name, array in (("imaging", image), ("segmentation", mask)):
            nib.save(nib.Nifti1Image(array, affine), case / f"{name}.nii.gz")
    return root


def extent(mask):
    rows, columns = np.nonzero(mask)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


def test_a_thick_coronal_volume_is_noted_or_resampled(tmp_path, capsys):
    source = coronal(tmp_path / "source")
    flags = ("--split-all-to", "test")
    assert kits19(source, tmp_path / "kept", *flags) == 0
    said = capsys.readouterr().out
    assert "5.000 x 0.700 mm (row, column), not square, and are kept as they are" in said
    kept = SliceCache.open(tmp_path / "kept")
    assert extent(kept.mask(kept.items[0])) == (12, 86)
    assert kept.items[0].pixel_spacing_mm == pytest.approx((5.0, 0.7))

    assert kits19(source, tmp_path / "square", *flags, "--resample") == 0
    said = capsys.readouterr().out
    assert "resampled from 28x200 to square ones" in said
    cache = SliceCache.open(tmp_path / "square")
    assert cache.image_size == 200
    height, width = extent(cache.mask(cache.items[0]))
    assert width == 86
    assert abs(height - 86) <= 5 / 0.7  # one long pixel
    assert cache.items[0].pixel_spacing_mm == pytest.approx((0.7, 0.7))
    assert cache.manifest["resample"] is True
    assert "resample" not in kept.manifest
    shard = cache.manifest["shards"]["case_00000"]
    assert shard["geometry"]["resampled_from_mm"] == pytest.approx([5.0, 0.7])
    assert kits19(source, tmp_path / "square", *flags) == 2
    assert "resample was true" in capsys.readouterr().err


def test_label_maps_alone_are_resampled_too(tmp_path):
    source = coronal(tmp_path / "source")
    assert run("masks", "--source", source, "--out", tmp_path / "out", "--resample") == 0
    cache = SliceCache.open(tmp_path / "out")
    height, width = extent(cache.mask(cache.items[0]))
    assert width == 86
    assert abs(height - 86) <= 5 / 0.7


def test_unknown_pixels_are_left_out_and_square_ones_are_as_without(tmp_path, capsys):
    square = np.diag([-0.8, -0.8, 3.0, 1.0])
    source = coronal(tmp_path / "source", affine=square)
    flags = ("--split-all-to", "test")
    assert kits19(source, tmp_path / "a", *flags) == 0
    assert kits19(source, tmp_path / "b", *flags, "--resample") == 0
    arrays = [{n: d for n, d in contents(tmp_path / out).items() if n.endswith("npy")}
              for out in "ab"]  # fmt: skip
    assert arrays[0] == arrays[1]
    coronal(tmp_path / "more", 1, affine=np.eye(4))
    (tmp_path / "more/case_00000").rename(source / "case_00009")
    capsys.readouterr()
    assert kits19(source, tmp_path / "c", *flags, "--resample") == LEFT_OUT
    said = capsys.readouterr().out
    assert "does not say the size of its pixels, which --resample needs" in said
    assert "case_00009" in said


def test_on_nonsquare_skip_looks_at_millimetres(tmp_path):
    """28 rows of 5 mm are as high as 200 columns of 0.7 mm are wide."""
    source = coronal(tmp_path / "source")
    flags = ("--split-all-to", "test", "--on-nonsquare", "skip")
    assert kits19(source, tmp_path / "a", *flags) == 2
    assert kits19(source, tmp_path / "b", *flags, "--resample") == 0
    settings = json.loads((tmp_path / "b/settings.json").read_text())
    assert settings["resample"] is True

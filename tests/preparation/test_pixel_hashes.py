"""Every cache says by hashes, without a salt, which images it holds."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.pixel_hashes import first_bits
from datamodules.slice_cache import SliceCache
from preparation.copies import pixel_hash
from provenance import UserError, read_json
from tests.film_runs import draw, films, make_films
from tests.prepare_runs import AFFINE, contents, kits19, make_source, run

TO_TEST = ("--split-all-to", "test")


def test_of_films_the_first_64_bits_in_the_order_of_the_cache(tmp_path):
    source, out = make_films(tmp_path / "source", num=9), tmp_path / "out"
    assert films(source, out, *TO_TEST) == 0
    cache = FilmCache.open(out)
    with open(source / "labels.csv", newline="") as stream:
        names = [row["image"] for row in csv.DictReader(stream)]
    expected = [first_bits(pixel_hash(draw(number))) for number in range(len(names))]
    assert cache.pixel_hashes[:, 0].tolist() == expected
    assert cache.has_all_pixels
    assert cache.manifest["pixel_hashes"]["unknown"] == 0


def test_another_salt_and_another_size_change_no_hash(tmp_path):
    source = make_films(tmp_path / "source", num=9)
    assert films(source, tmp_path / "a", *TO_TEST) == 0
    more = ("--patient-salt", "other", "--clahe", "after_resize", "--image-size", "16")
    assert films(source, tmp_path / "b", *TO_TEST, *more) == 0
    one, other = FilmCache.open(tmp_path / "a"), FilmCache.open(tmp_path / "b")
    assert not set(one.patient_ids) & set(other.patient_ids)
    np.testing.assert_array_equal(one.pixel_hashes, other.pixel_hashes)
    assert not one.patient_names.comparable(other.patient_names)


def test_of_slices_the_slice_its_volume_and_its_label_maps(tmp_path):
    source = make_source(tmp_path / "source", num=2, shape=(4, 32, 32))
    assert kits19(source, tmp_path / "a", *TO_TEST) == 0
    assert run("masks", "--source", source, "--out", tmp_path / "b", *TO_TEST) == 0
    whole, masks = SliceCache.open(tmp_path / "a"), SliceCache.open(tmp_path / "b")
    volume = np.asarray(nib.load(source / "case_00001/imaging.nii.gz").dataobj).astype(np.int16)
    labels = np.asarray(nib.load(source / "case_00001/segmentation.nii.gz").dataobj)
    assert whole.pixel_hashes.shape == masks.pixel_hashes.shape == (8, 3)
    assert whole.pixel_hashes[5].tolist() == [
        first_bits(pixel_hash(image)) for image in (volume[1], volume, labels.astype(np.uint8))
    ]
    # Label maps alone are known by the volume's, whichever of the two caches has them.
    assert not masks.pixel_hashes[:, :2].any()
    np.testing.assert_array_equal(masks.pixel_hashes[:, 2], whole.pixel_hashes[:, 2])


def test_small_organs_are_no_sign_of_the_same_patient(tmp_path):
    source = make_source(tmp_path / "source", num=2, shape=(4, 32, 32))
    for number in range(2):
        mask = np.zeros((4, 32, 32), np.int16)
        mask[1, :9, :9] = 1
        path = source / f"case_{number:05d}/segmentation.nii.gz"
        nib.save(nib.Nifti1Image(mask, AFFINE), path)
    assert kits19(source, tmp_path / "a", *TO_TEST) == 0
    assert not SliceCache.open(tmp_path / "a").pixel_hashes[:, 2].any()


def test_where_slices_are_divided_volumes_are_not_compared(tmp_path):
    source = make_source(tmp_path / "source", num=3, shape=(4, 32, 32))
    assert kits19(source, tmp_path / "a", "--split-by", "slice", *TO_TEST) == 0
    assert SliceCache.open(tmp_path / "a").pixel_hashes.shape == (12, 1)


@pytest.mark.parametrize("kind", ["films", "slices"])
def test_damage_is_found_and_mended_and_earlier_caches_have_none(kind, tmp_path, capsys):
    def prepared():
        if kind == "films":
            return films(tmp_path / "source", out, *TO_TEST)
        return kits19(tmp_path / "source", out, *TO_TEST)

    out = tmp_path / "out"
    (make_films if kind == "films" else make_source)(tmp_path / "source", num=4)
    assert prepared() == 0
    before = contents(out)
    path = out / "pixel_hashes.npy"
    assert run("verify", out) == 0
    path.write_bytes(path.read_bytes()[:-8] + b"\1" * 8)
    assert run("verify", out) == 1
    with pytest.raises(UserError, match=r"pixel_hashes.npy: is damaged, so whether the cache"):
        _ = open_cache(out).pixel_hashes
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        _ = open_cache(out).pixel_hashes
    assert prepared() == 0
    assert contents(out) == before
    assert run("verify", out) == 0

    shutil.copytree(out, tmp_path / "earlier")
    manifest = read_json(tmp_path / "earlier/manifest.json")
    del manifest["pixel_hashes"]
    (tmp_path / "earlier/manifest.json").write_text(json.dumps(manifest))
    earlier = open_cache(tmp_path / "earlier")
    assert earlier.pixel_hashes is None
    assert not earlier.has_all_pixels
    assert not len(earlier.knowledge(earlier.indices(None)).pixels)

"""Films whose source pixels are equal, whatever file, window or earlier version they come from."""

import numpy as np
from PIL import Image

from datamodules.film_cache import FilmCache
from preparation.copies import pixel_hash
from preparation.films.film import FilmFile
from preparation.films.image_files import ImageFileReader
from tests.film_runs import draw, items
from tests.preparation.films.dicom_films import PERMISSIVE, write
from tests.prepare_runs import contents, run


def hash_of(path, channels=1):
    return ImageFileReader(channels)(FilmFile(path.name, path, 1)).pixel_sha256


def test_the_hash_is_of_the_decoded_picture_not_of_the_file(tmp_path):
    levels = draw(1)
    grey, deep = tmp_path / "a.png", tmp_path / "deep.png"
    Image.fromarray(levels).save(grey)
    assert hash_of(grey) == hash_of(grey, channels=3) == pixel_hash(levels)
    for name, mode in (("b.png", "L"), ("c.bmp", "L"), ("d.tif", "RGB"), ("e.webp", "RGB")):
        Image.fromarray(levels).convert(mode).save(tmp_path / name, lossless=True)
        assert hash_of(tmp_path / name) == hash_of(grey), name
    Image.fromarray(levels.astype(np.uint16)).save(deep)
    assert hash_of(deep) == pixel_hash(levels.astype(np.uint16)) != hash_of(grey)
    assert hash_of(deep) != pixel_hash(levels.astype(np.uint16) + np.uint16(1))


def test_dicom_is_hashed_before_its_window(tmp_path):
    stored = draw(1).astype(np.uint16) * 16
    narrow = write(tmp_path / "a.dcm", stored, WindowCenter=2000, WindowWidth=900)
    wide = write(tmp_path / "b.dcm", stored, WindowCenter=1800, WindowWidth=4000)
    one, other = PERMISSIVE(narrow), PERMISSIVE(wide)
    assert not np.array_equal(one.pixels, other.pixels)
    assert one.pixel_sha256 == other.pixel_sha256 == pixel_hash(stored)


def test_films_of_other_windows_under_other_patients_stay_together(tmp_path):
    source = tmp_path / "films"
    for number in range(30):
        stored = draw(number % 20, side=40).astype(np.uint16) * 16
        width = 900 if number < 20 else 4000
        write(
            source / f"{number:02d}.dcm", stored, PatientID=f"MRN-{number}",
            SOPInstanceUID=f"1.2.{number + 1}", WindowCenter=2000, WindowWidth=width,
        )  # fmt: skip
    flags = ("--labels", "none", "--image-size", "32", "--clahe", "none")
    outs = [tmp_path / "one", tmp_path / "two"]
    for workers, out in enumerate(outs, start=1):
        words = ("--source", source, "--out", out, "--workers", str(workers))
        assert run("chest_xray", *words, *flags) == 0
    assert contents(outs[0]) == contents(outs[1])
    listed, found = items(outs[0]), FilmCache.open(outs[0]).manifest["duplicates"]
    assert found["exact_groups"] == 10
    assert all(listed[n]["split"] == listed[n + 20]["split"] for n in range(10))
    assert len(found["moved"]) >= 1
    assert len({item["sha256"] for item in listed}) == 30  # no two are equal as stored

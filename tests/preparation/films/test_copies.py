"""Films whose source pixels are equal, whatever file, window or earlier version they come from."""

import json

import numpy as np
from PIL import Image

from datamodules.film_cache import FilmCache
from preparation.copies import pixel_hash
from preparation.films.film import FilmFile
from preparation.films.image_files import ImageFileReader
from provenance import read_json
from tests.film_runs import draw, films, items, make_films
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


def test_films_of_an_earlier_version_are_compared_as_stored(tmp_path, capsys):
    source, out = make_films(tmp_path / "source", num=40), tmp_path / "out"
    again = source / "films/Schmidt_0039.png"
    Image.open(source / "films/Schmidt_0000.png").save(again, compress_level=1)
    assert films(source, out) == 0
    whole = contents(out)
    assert "earlier version" not in capsys.readouterr().out
    (path,) = out.glob("records/*.json")
    record = read_json(path)
    for item in record["items"]:
        del item["pixel_sha256"]
    path.write_text(json.dumps(record))
    assert films(source, out) == 0
    for name in ("items.csv", "duplicates.csv"):
        assert (out / name).read_bytes() == whole[name]
    known = json.loads(whole["manifest.json"])
    assert known.pop("pixel_hashes")["unknown"] == 0
    assert read_json(out / "manifest.json") == known
    assert "40 films were made by an earlier version" in capsys.readouterr().out

"""prepare.py on films: what comes out, how it stops and resumes, parts, damage, bad input."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.film_cache import FilmCache
from patient_names import pseudonym
from preparation.pseudonym import film_pseudonym
from preparation.split import split_of
from provenance import UserError, sha256_of
from tests.film_runs import draw, films, items, make_films
from tests.prepare_runs import assert_same_bytes_wherever_stopped, contents, run

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "cache"
    assert films(source, out) == 0
    return out


def test_what_comes_out(whole, source, capsys):
    cache = FilmCache.open(whole)
    assert len(cache) == 300
    assert (cache.image_size, cache.stored_size) == (24, 27)
    assert cache.class_names("label") == ["normal", "abnormal"]
    assert cache.labels("label").tolist() == [int(n % 3 == 0) for n in range(300)]
    assert [len(cache.indices(s)) for s in ("train", "val", "test")] == [184, 54, 62]
    assert cache.image(0).shape == (27, 27)
    assert films(source, whole) == 0
    said = capsys.readouterr().out
    assert "300 files found (300 finished before), 300 films used, 0 refused." in said
    assert "24x24 pixels cropped from 27x27" in said


def test_both_films_of_a_patient_are_on_one_side(whole):
    split = {}
    for item in items(whole):
        assert split.setdefault(item["patient_id"], item["split"]) == item["split"]
    assert len(split) == 150


def test_who_is_who_lies_beside_the_cache(whole):
    for name, content in contents(whole).items():
        for identifier in (b"Schmidt", b"MRN", b"Eva"):
            assert identifier not in content, name
    private = whole.with_name("cache.private")
    listed = items(whole)
    films_csv = (private / "films.csv").read_text().splitlines()
    assert films_csv[0] == "id,file"
    assert sorted(films_csv[1:]) == sorted(
        f"{item['id']},Schmidt_{number:04d}.png" for number, item in enumerate(listed)
    )
    patients = (private / "patients.csv").read_text().splitlines()
    assert patients[0] == "patient_id,identifier"
    assert sorted(patients[1:]) == sorted(
        f"{item['patient_id']},MRN-{number}" for number, item in enumerate(listed[::2])
    )
    assert not (private / "rejected.csv").exists()
    assert "Eva" not in "".join(path.read_text() for path in private.rglob("*.csv"))
    assert {path.stat().st_mode & 0o077 for path in (private, *private.rglob("*"))} == {0}


def test_settings_name_nobody_and_say_all_that_decides(source, whole):
    expected = {
        "command": "image_folder", "format": "understudy-films", "format_version": 1,
        "films_per_shard": 128, "image_size": 24, "margin": 0.1, "bit_depth": 8,
        "on_nonsquare": "pad", "clahe": "none", "clahe_clip_limit": 0.01, "channels": 1,
        "label_columns": ["label"], "key_column": None, "patient_column": None,
        "unlabelled": "reject", "patient_pattern": None, "patient_from": "none",
        "on_duplicates": "report",
        "patients": {"named_by": "pseudonym", "salt_check": "ef1b596e", "ids": "as_numbers"},
        "label_table_sha256": sha256_of(source / "labels.csv"),
    }  # fmt: skip
    text = (whole / "settings.json").read_text()
    assert text == json.dumps(expected, indent=1) + "\n"


def test_workers_change_nothing(source, whole, tmp_path):
    assert films(source, tmp_path / "two", "--workers", "2") == 0
    assert contents(tmp_path / "two") == contents(whole)


def test_killed_and_repeated_ends_with_the_same_bytes(source, whole, tmp_path):
    out = tmp_path / "killed"
    words = [
        "image_folder", "--source", source / "films", "--labels", source / "labels.csv", "--out",
        out, "--image-size", "24", "--margin", "0.1", "--clahe", "none",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "prepare.py", *words], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(out.glob("records/*.json")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    with pytest.raises(UserError, match="its preparation was interrupted"):
        FilmCache.open(out)
    assert films(source, out) == 0
    assert contents(out) == contents(whole)


def test_stopped_at_any_file_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """Every rename in the parent is one point at which a kill can strike."""
    source = make_films(tmp_path / "source", num=12)
    assert_same_bytes_wherever_stopped(films, source, tmp_path, monkeypatch, 5)


def test_parts_of_three_machines_merge_to_the_same_bytes(source, whole, tmp_path, capsys):
    parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        assert films(source, part, "--shard", f"{number}/3") == 0
    assert not (parts[0] / "manifest.json").exists()
    assert run("merge", *parts[:2], "--out", tmp_path / "merged") == 2
    assert "missing: --shard 3/3. Nothing was joined." in capsys.readouterr().err
    assert run("merge", *reversed(parts), "--out", tmp_path / "merged") == 0
    expected = contents(whole)
    del expected["sheet.png"]  # a merge has no source to draw films from
    assert contents(tmp_path / "merged") == expected
    assert contents(tmp_path / "merged.private") == contents(whole.with_name("cache.private"))
    for part in parts[1:]:
        shutil.rmtree(part.with_name(f"{part.name}.private"))
    assert run("merge", *parts, "--out", tmp_path / "again") == 0
    assert contents(tmp_path / "again") == expected
    known = (tmp_path / "again.private/films.csv").read_text().splitlines()
    assert len(known) == 1 + 128


@pytest.mark.parametrize("place", ["array", "shard", "shards", "layout", "list"])
def test_a_part_from_others_writes_nothing_outside_the_cache(source, tmp_path, capsys, place):
    """Names in a part become paths of the cache that it is joined to."""
    (tmp_path / "in").mkdir()
    parts = [tmp_path / "in" / f"part{number}" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        assert films(source, part, "--shard", f"{number}/2") == 0
    told = parts[0] / "part.json"
    content = json.loads(told.read_text())
    record = parts[0] / f"records/{content['shards'][0]}.json"
    shard = json.loads(record.read_text())
    (tmp_path / "in/planted.npy").write_bytes((parts[0] / shard["array"]).read_bytes())
    if place == "array":
        record.write_text(json.dumps({**shard, "array": "../planted.npy"}))
    elif place == "shard":
        content["shards"][0] = "../../planted"
        (tmp_path / "in/planted.json").write_text(record.read_text())
    elif place == "shards":
        content["shards"] = [1]
    elif place == "layout":
        content["layout"]["planted"] = 1
    told.write_text(json.dumps([content] if place == "list" else content))
    (tmp_path / "theirs").mkdir()
    assert run("merge", *parts, "--out", tmp_path / "theirs/merged") == 2
    assert "use the part as it was written" in capsys.readouterr().err
    assert not (tmp_path / "theirs/planted.npy").exists()
    assert not list((tmp_path / "theirs").glob("planted*"))


def test_an_unfinished_part_is_named(source, tmp_path, capsys):
    part = tmp_path / "part"
    assert films(source, part, "--shard", "1/3") == 0
    (part / "part.json").unlink()
    assert run("merge", part, "--out", tmp_path / "merged") == 2
    assert f"{part}: is not finished" in capsys.readouterr().err


def test_a_part_of_an_earlier_version_is_refused(source, tmp_path, capsys):
    """Its records named files of the source."""
    assert films(source, tmp_path / "first", "--shard", "1/2") == 0
    path = tmp_path / "first/part.json"
    content = json.loads(path.read_text())
    del content["settings"]["patients"]
    path.write_text(json.dumps(content))
    assert run("merge", tmp_path / "first", "--out", tmp_path / "merged") == 2
    assert "was made by an earlier version, and its records name files" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_damage_is_named_on_first_use_and_by_verify_and_made_good(source, whole, tmp_path, capsys):
    out = tmp_path / "damaged"
    assert films(source, out) == 0
    array = out / "arrays/films_000001.npy"
    bytes_before = array.read_bytes()
    array.write_bytes(bytes_before[:5000] + bytes([bytes_before[5000] ^ 1]) + bytes_before[5001:])
    cache = FilmCache.open(out)
    cache.image(0)
    row = (5000 - 128) // 27**2
    with pytest.raises(UserError, match=rf"films_000001.npy: row {row} .* is damaged"):
        cache.image(128 + row)
    assert run("verify", out) == 1
    assert "arrays/films_000001.npy: has changed" in capsys.readouterr().out
    capsys.readouterr()
    assert films(source, out, "--verify") == 0
    assert "made again from the source: films_000001." in capsys.readouterr().out
    assert run("verify", out) == 0
    assert contents(out) == contents(whole)


def test_a_crashing_decoder_costs_one_film(tmp_path, monkeypatch):
    """The reader ends its process, as a C library does that crashes."""
    from preparation.films.crash_isolation import make_shards
    from preparation.films.files.find import find_image_files
    from preparation.films.film_layout import FilmLayout
    from preparation.films.shards.make import MakeFilmShard
    from preparation.films.shards.patients import PatientsOfFilms
    from preparation.films.shards.shard import in_shards

    (tmp_path / "crashing_reader.py").write_text(
        "import os\n"
        "from preparation.films.image_files import ImageFileReader\n"
        "class Crashing(ImageFileReader):\n"
        "    def __call__(self, file):\n"
        "        if file.name.endswith('7.png'):\n"
        "            os.abort()\n"
        "        return super().__call__(file)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from crashing_reader import Crashing

    source = make_films(tmp_path / "source", num=9)
    layout = FilmLayout("image_folder", image_size=24, clahe="none")
    work = MakeFilmShard(
        tmp_path / "out", Crashing(), layout, PatientsOfFilms("salt"), may_crash=True
    )
    shards = in_shards(find_image_files(source / "films"))
    [(_, record)] = list(make_shards(work, shards, workers=1))
    assert record["num_films"] == 8
    assert [entry[1] for entry in record["rejected"]] == ["decoder_crashed"]


def test_bad_films_are_listed_and_counted(tmp_path, capsys):
    source = make_films(tmp_path / "source", num=12)
    bad = source / "films/Schmidt_0003.png"
    bad.write_bytes(bad.read_bytes()[:200])
    Image.fromarray(draw(1000)).save(source / "films/unlisted.png")
    assert films(source, tmp_path / "out", "--split-all-to", "train") == 3
    said = capsys.readouterr().out
    assert "2 were left out, so the exit status is 3." in said
    assert "13 files found, 11 films used, 2 refused: 1 no_label, 1 truncated." in said
    assert "Schmidt" not in said
    listed = (tmp_path / "out/rejected.csv").read_text()
    assert "Schmidt" not in listed
    assert f"{film_pseudonym('Schmidt_0003.png', 'understudy')},truncated," in listed
    listed = (tmp_path / "out.private/rejected.csv").read_text()
    assert "Schmidt_0003.png,truncated," in listed
    assert "unlisted.png,no_label," in listed


def test_without_patients_it_does_not_split(tmp_path, capsys):
    source = make_films(tmp_path / "source", num=12)
    words = ("image_folder", "--source", source / "films", "--out", tmp_path / "out")
    assert run(*words, "--clahe", "none") == 2
    said = capsys.readouterr().err
    assert "nothing says which patient an image shows" in said
    assert "--split-by image" in said
    pattern = ("--patient-pattern", r"Schmidt_\d\d", "--split-all-to", "test")
    assert run(*words[:-1], tmp_path / "told", *pattern, "--image-size", "24") == 0
    assert len({item["patient_id"] for item in items(tmp_path / "told")}) == 1


def test_changed_sources_and_settings_are_refused(tmp_path, capsys):
    source = make_films(tmp_path / "source", num=12)
    out, flags = tmp_path / "out", ("--split-all-to", "train")
    assert films(source, out, *flags) == 0
    assert films(source, out, *flags, "--bit-depth", "16") == 2
    assert "bit_depth was 8, is now 16" in capsys.readouterr().err
    Image.fromarray(draw(77, side=25)).save(source / "films/Schmidt_0003.png")
    assert films(source, out, *flags) == 2
    assert "was made from other files than those in the source now" in capsys.readouterr().err


@pytest.fixture
def divided(tmp_path):
    """Forty films of twenty patients, and a seed that divides the first from the last of them."""
    patients = [pseudonym(f"MRN-{number}", "understudy") for number in range(20)]
    splits = {
        seed: [split_of(patient, (0.6, 0.2, 0.2), seed) for patient in patients]
        for seed in range(200)
    }
    seed = next(s for s, drawn in splits.items() if drawn[0] != drawn[19] and len({*drawn}) == 3)
    return (
        make_films(tmp_path / "source", num=40),
        seed,
        dict(zip(patients, splits[seed], strict=True)),
    )


def test_equal_films_keep_their_patients_in_one_split(divided, tmp_path, capsys):
    source, seed, alone = divided
    first, again = source / "films/Schmidt_0000.png", source / "films/Schmidt_0039.png"
    Image.open(first).save(again, compress_level=1)  # another file with the same pixels
    assert first.read_bytes() != again.read_bytes()
    out = tmp_path / "out"
    assert films(source, out, "--split-seed", str(seed)) == 0
    said = capsys.readouterr().out
    assert "1 group of equal films" in said
    assert "lie in different splits" not in said
    lines = (out / "duplicates.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("exact,film_")
    now = {item["patient_id"]: item["split"] for item in items(out)}
    one, other = (pseudonym(f"MRN-{number}", "understudy") for number in (0, 19))
    moved = max(one, other)
    assert now == {**alone, moved: alone[min(one, other)]}
    found = FilmCache.open(out).manifest["duplicates"]
    assert found["across_splits"] == 0
    assert found["moved"] == {moved: [alone[moved], now[moved]]}
    assert f"{moved}: from {alone[moved]} to {now[moved]}" in said
    # A cache that an earlier version divided: what the command changes there, it says.
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "split_id": "of before"}))
    assert films(source, out, "--split-seed", str(seed)) == 0
    assert "the split of this cache has changed" in capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text()) == manifest


def test_of_equal_films_the_first_alone_can_be_kept(divided, tmp_path, capsys):
    """Copies with another label, and with that of the film that is kept; all of one patient."""
    source, seed, alone = divided
    darker = np.asarray(Image.open(source / "films/Schmidt_0020.png")).astype(np.float32) * 0.97
    Image.fromarray(darker.astype(np.uint8)).save(source / "films/Schmidt_0039.png")
    for number in (2, 3):
        Image.fromarray(draw(0)).save(source / f"films/Schmidt_{number:04d}.png", compress_level=1)
    out = tmp_path / "out"
    flags = ("--split-seed", str(seed), "--on-duplicates", "drop")
    assert films(source, out, *flags) == 0
    said = capsys.readouterr().out
    assert "40 files found, 38 films used, 2 refused: 2 duplicate." in said
    assert "1 of 2 dropped films have other labels than the equal film that is kept" in said
    listed, cache = items(out), FilmCache.open(out)
    gone = pseudonym("MRN-1", "understudy")
    assert {item["patient_id"]: item["split"] for item in listed} == {
        patient: split for patient, split in alone.items() if patient != gone
    }
    assert all(cache.image(index).any() for index in range(38))  # each row is compared by its hash
    assert cache.manifest["duplicates"]["dropped"] == 2
    assert (cache.manifest["duplicates"]["exact_groups"], len(listed)) == (0, 38)
    near = list(csv.reader((out / "duplicates.csv").open()))[1]
    assert near[:3] == ["near", listed[18]["id"], listed[37]["id"]]
    table = {row[0]: row[1:] for row in csv.reader((out / "rejected.csv").open())}
    kept = f"has the pixels of {listed[0]['id']}, which is kept."
    other = f"{kept} Their labels differ: label is normal here and abnormal there."
    assert sorted(table.values()) == sorted(
        [["reason", "sentence"], ["duplicate", kept], ["duplicate", other]]
    )
    named = list(csv.reader((tmp_path / "out.private/rejected.csv").open()))
    assert named[1:] == [
        ["Schmidt_0002.png", "duplicate", other],
        ["Schmidt_0003.png", "duplicate", kept],
    ]
    assert run("verify", out) == 0


def test_equal_images_share_a_split_where_images_are_divided(divided, tmp_path):
    source, _, _ = divided
    for number in range(6):
        again = source / f"films/Schmidt_{number + 30:04d}.png"
        Image.open(source / f"films/Schmidt_{number:04d}.png").save(again, compress_level=1)
    flags = ("--split-by", "image", "--workers", "2")
    assert films(source, tmp_path / "out", *flags) == 0
    listed = items(tmp_path / "out")
    assert all(listed[n]["split"] == listed[n + 30]["split"] for n in range(6))
    found = FilmCache.open(tmp_path / "out").manifest["duplicates"]
    assert found["exact_groups"] == 6
    assert len(found["moved"]) >= 1
    assert films(source, tmp_path / "all", *flags, "--split-all-to", "test") == 0
    assert {item["split"] for item in items(tmp_path / "all")} == {"test"}
    assert "moved" not in FilmCache.open(tmp_path / "all").manifest["duplicates"]


def test_nearly_equal_films_are_reported_and_can_be_kept_together(divided, tmp_path, capsys):
    source, seed, _ = divided
    first, again = source / "films/Schmidt_0000.png", source / "films/Schmidt_0039.png"
    darker = np.asarray(Image.open(first)).astype(np.float32) * 0.97
    Image.fromarray(darker.astype(np.uint8)).save(again)
    assert films(source, tmp_path / "out", "--split-seed", str(seed)) == 0
    assert (
        "1 pairs of equal or nearly equal films lie in different splits" in capsys.readouterr().out
    )
    together = tmp_path / "together"
    flags = ("--split-seed", str(seed), "--on-duplicates", "same_split")
    assert films(source, together, *flags) == 0
    listed = items(together)
    assert listed[0]["split"] == listed[39]["split"]
    assert FilmCache.open(together).manifest["duplicates"]["across_splits"] == 0


def test_sixteen_bits_and_colour(tmp_path):
    source = tmp_path / "source"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        for number in range(6):
            colour = np.stack([draw(number + ord(name) * 10 + c * 99) for c in range(3)], axis=-1)
            Image.fromarray(colour).save(source / name / f"{number}.png")
    flags = ("--channels", "3", "--bit-depth", "16", "--image-size", "24", "--margin", "0")
    out = tmp_path / "out"
    words = ("--patient-from", "file", "--split-all-to", "train")
    assert run("image_folder", "--source", source, "--out", out, *flags, *words) == 0
    cache = FilmCache.open(out)
    assert cache.image(0).shape == (3, 24, 24)
    assert cache.image(0).dtype == np.uint16
    assert cache.class_names("label") == ["a", "b"]


def test_a_manifest_of_a_newer_version_is_refused(whole, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(UserError, match="has format version 99"):
        FilmCache.open(copy)


def test_a_refused_command_does_not_bind_the_next_one(tmp_path):
    source = make_films(tmp_path / "source", num=12)
    words = ("image_folder", "--source", source / "films", "--out", tmp_path / "out")
    flags = ("--clahe", "none", "--image-size", "24", "--split-all-to", "train")
    assert run(*words, *flags) == 2
    assert run(*words, *flags, "--patient-from", "file") == 0


def test_an_archive_is_unpacked_and_a_hostile_one_refused(tmp_path, capsys):
    import zipfile

    source = make_films(tmp_path / "source", num=12)
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted((source / "films").iterdir()):
            stream.write(path, path.name)
    words = ("image_folder", "--patient-from", "file", "--split-all-to", "train")
    flags = ("--clahe", "none", "--image-size", "24")
    assert run(*words, *flags, "--source", archive, "--out", tmp_path / "out") == 0
    assert len(FilmCache.open(tmp_path / "out")) == 12
    assert not (tmp_path / "out/unpacked").exists()
    assert (tmp_path / "out.private/unpacked/Schmidt_0000.png").is_file()
    assert (tmp_path / "out.private").stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(archive, "a") as stream:
        stream.writestr("../outside.png", b"")
    assert run(*words, *flags, "--source", archive, "--out", tmp_path / "again") == 2
    assert "would lie outside the folder" in capsys.readouterr().err
    assert not (tmp_path / "outside.png").exists()


def test_a_phantom_is_drawn_read_and_wrong_files_are_refused(tmp_path, capsys):
    out = tmp_path / "phantom"
    assert run("phantom_cxr", "--out", out, "--num-patients", "20", "--image-size", "32") == 0
    said = capsys.readouterr().out
    for reason in ("view", "multi_frame", "colour", "body_part", "not_dicom", "truncated"):
        assert f"1 {reason}" in said or f" {reason}" in said
    cache = FilmCache.open(out)
    settings = json.loads((out / "settings.json").read_text())
    assert list(settings) == [
        "command", "format", "format_version", "films_per_shard", "num_patients", "seed",
        "image_size", "margin", "bit_depth", "on_nonsquare", "clahe", "clahe_clip_limit", "view",
        "view_from_text", "without_body_part", "orientation", "on_duplicates",
        "patients", "label_table_sha256",
    ]  # fmt: skip
    assert cache.class_names("label") == ["normal", "abnormal"]
    assert len(cache.patients(None)) == len({*cache.patient_ids.tolist()}) <= 20
    assert not (tmp_path / "phantom.private").exists()  # nobody's
    names = (out / "items.csv").read_text()
    assert "PHANTOM" not in names
    assert "MONOCHROME1" in names
    assert "MONOCHROME2" in names

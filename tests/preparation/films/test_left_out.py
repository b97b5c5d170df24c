"""One bad film never ends a batch: it is listed, the status says so, and --strict stops at it."""

import os

import numpy as np
import pytest
from PIL import Image

from preparation.films.files.find import find_image_files
from preparation.films.film_layout import FilmLayout
from preparation.films.image_files import ImageFileReader
from preparation.films.shards.make import MakeFilmShard
from preparation.films.shards.patients import PatientsOfFilms
from preparation.films.shards.shard import in_shards
from preparation.films.tally import Tally
from preparation.left_out import LEFT_OUT_STATUS
from tests.film_runs import draw, films, items, make_films
from tests.prepare_runs import contents, run

SMALL = ("--image-size", "24", "--margin", "0", "--clahe", "none")


class Faulty(ImageFileReader):
    """A reader whose library raises, for one file, what nobody foresaw."""

    def __call__(self, file):
        if file.name == "Schmidt_0001.png":
            raise AttributeError(f"no such thing in {file.path}")
        return super().__call__(file)


def test_whatever_a_reader_raises_costs_one_film_and_is_listed_by_its_type(tmp_path):
    source = make_films(tmp_path / "source", num=4) / "films"
    layout = FilmLayout("image_folder", image_size=24, margin=0, clahe="none")
    shards = in_shards(find_image_files(source))
    reader, patients = Faulty(patient_from="file"), PatientsOfFilms("s")
    record = MakeFilmShard(tmp_path / "out", reader, layout, patients)(shards[0])
    assert record["num_films"] == 3
    [(_, reason, sentence)] = record["rejected"]
    assert reason == "unreadable"
    assert sentence == "cannot be read (AttributeError: no such thing in). Left out."
    assert "Schmidt" not in sentence  # the message of the exception names the file
    assert Tally(tmp_path / "out", [shards[0].name], ()).num_left_out == 1


def test_a_bad_film_changes_nothing_of_the_others(tmp_path):
    source = make_films(tmp_path / "source", num=12)
    flags = ("--split-all-to", "train")
    assert films(source, tmp_path / "good", *flags, "--unlabelled", "keep") == 0
    (source / "films/zzz.png").write_bytes(b"no picture at all")
    assert films(source, tmp_path / "bad", *flags, "--unlabelled", "keep") == LEFT_OUT_STATUS == 3
    good, bad = contents(tmp_path / "good"), contents(tmp_path / "bad")
    for name in ("items.csv", "arrays/films_000000.npy"):
        assert good[name] == bad[name]


def test_strict_stops_at_the_first_and_goes_on_without(tmp_path, capsys):
    source = make_films(tmp_path / "source", num=140)  # two shards
    bad = source / "films/Schmidt_0130.png"
    bad.write_bytes(bad.read_bytes()[:200])
    flags = ("--split-all-to", "train")
    assert films(source, tmp_path / "out", *flags, "--strict") == 2
    said = capsys.readouterr().err
    assert "Schmidt_0130.png: truncated: is truncated. Copy it again." in said
    assert "Stopped here, as --strict says; what is finished is kept." in said
    assert not (tmp_path / "out/manifest.json").exists()
    assert (tmp_path / "out/records/films_000000.json").exists()
    assert films(source, tmp_path / "out", *flags) == 3
    said = capsys.readouterr().out
    assert "140 files found (128 finished before), 139 films used, 1 refused" in said
    assert "1 was left out, so the exit status is 3. Each is listed with its reason in" in said
    # What an earlier run has finished counts too.
    assert films(source, tmp_path / "out", *flags, "--strict") == 2
    assert "Schmidt_0130.png: truncated" in capsys.readouterr().err
    assert films(source, tmp_path / "strict", *flags, "--workers", "2", "--strict") == 2


def test_strict_passes_where_nothing_is_wrong(tmp_path):
    source = make_films(tmp_path / "source", num=6)
    assert films(source, tmp_path / "strict", "--split-all-to", "train", "--strict") == 0
    assert films(source, tmp_path / "plain", "--split-all-to", "train") == 0
    assert contents(tmp_path / "strict") == contents(tmp_path / "plain")


def test_names_that_are_no_utf8_are_films_as_others(tmp_path, capsys):
    """Of files, of patients' folders and of folders that are classes."""
    source = os.fsencode(tmp_path / "films")
    for number in range(6):
        for folder in (b"gesund", b"\xfcbel"):
            os.makedirs(os.path.join(source, folder), exist_ok=True)
            path = os.path.join(source, folder, b"M\xfcller_%d.png" % number)
            with open(path, "wb") as stream:
                Image.fromarray(draw(10 * number + len(folder))).save(stream, "PNG")
    words = ("image_folder", "--source", tmp_path / "films", *SMALL, "--split-all-to", "train")
    assert run(*words, "--out", tmp_path / "out", "--patient-from", "file") == 0
    assert {item["label:label"] for item in items(tmp_path / "out")} == {"gesund", r"\xfcbel"}
    named = (tmp_path / "out.private/films.csv").read_bytes()
    assert rb"\xfcbel/M\xfcller_3.png" in named
    renamed = ("--label-map", r"\xfcbel=abnormal")
    assert run(*words, "--out", tmp_path / "map", "--patient-from", "file", *renamed) == 0
    assert {item["label:label"] for item in items(tmp_path / "map")} == {"gesund", "abnormal"}
    kept = ("--labels", "none", "--patient-from", "folder")
    assert run(*words, "--out", tmp_path / "patients", *kept) == 0
    assert len({item["patient_id"] for item in items(tmp_path / "patients")}) == 2
    capsys.readouterr()
    assert run(*words, "--out", os.fsdecode(os.fsencode(tmp_path) + b"/\xfc"), *kept) == 2
    assert "holds bytes that are no UTF-8" in capsys.readouterr().err


def test_one_patient_goes_to_the_test_split_with_a_note(tmp_path, capsys):
    (tmp_path / "films").mkdir()
    for name in ("a", "b"):
        Image.fromarray(draw(1)).save(tmp_path / f"films/{name}.png")
    words = ("image_folder", "--source", tmp_path / "films", "--out", tmp_path / "out", *SMALL)
    for _ in range(2):  # the same command again finds its own cache
        assert run(*words, "--labels", "none", "--patient-from", "file") == 0
        assert "cannot be divided. All films go to the test split" in capsys.readouterr().out
    assert {item["split"] for item in items(tmp_path / "out")} == {"test"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_a_label_table(tmp_path, capsys, encoding):
    (tmp_path / "films").mkdir()
    for number in range(2):
        Image.fromarray(draw(number)).save(tmp_path / f"films/Müller_{number}.png")
    text = "image,patient,label\nMüller_0.png,1,x\nMüller_1.png,2,y\n"
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    words = ("--source", tmp_path / "films", "--labels", tmp_path / "labels.csv")
    status = run("image_folder", *words, "--out", tmp_path / "out", *SMALL, "--split-all-to", "val")
    if encoding == "cp1252":
        assert status == 2
        told = "line 2 is not UTF-8: it holds the byte 0xfc, in Windows-1252 the letter ü."
        assert told in capsys.readouterr().err
    else:
        assert status == 0
        assert len(np.unique([item["label:label"] for item in items(tmp_path / "out")])) == 2


@pytest.mark.parametrize("command", ["image_folder", "chest_xray"])
def test_a_link_to_nothing_is_listed_and_a_pipe_is_not_waited_for(tmp_path, capsys, command):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "films/pipe.png")
    Image.fromarray(draw(1)).save(tmp_path / "films/a.png")
    words = ("--source", tmp_path / "films", "--out", tmp_path / "out", "--patient-from", "file")
    status = run(command, *words, "--labels", "none", *SMALL)
    said = "".join(capsys.readouterr())
    if command == "image_folder":
        assert (status, "1 unreadable" in said) == (3, True)
    else:
        assert (status, "1 not_dicom, 1 unreadable" in said) == (2, True)

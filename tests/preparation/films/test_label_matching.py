"""Rows and films: paths that begin above the source or below it, and tables that match nothing."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preparation.films.film import FilmFile
from preparation.films.label_matching import matched
from preparation.films.label_table import LabelTable
from provenance import UserError
from tests.film_runs import draw, films, items, make_films
from tests.preparation.films.dicom_films import write
from tests.prepare_runs import run


def label_of(source: Path, name: str, *keys: str, others: tuple[str, ...] = ()) -> str | None:
    """The label of a film under `source` in a table that lists `keys` as labels 0, 1, ..."""
    rows = {key: {"label": str(number)} for number, key in enumerate(keys)}
    files = [FilmFile(one, source / one, 1) for one in (name, *others)]
    table, _ = matched(LabelTable(Path("t.csv"), rows, ("label",), None), files)
    path = Path(name)  # its keys are as those of the readers
    row = table.row_of((name, path.name, path.stem if path.suffix == ".jpg" else name))
    return None if row is None else row["label"]


@pytest.mark.parametrize(
    "key",
    [
        "set-small/train/p1/study1/view1.jpg",  # from two folders above the source
        "train/p1/study1/view1.jpg",
        "p1/study1/view1.jpg",
        "study1/view1.jpg",  # from a folder below it
        "view1.jpg",
        "view1",
        "set-small/train/p1/study1/view1",
        "another/name/of/it/p1/study1/view1.jpg",  # the folders above were renamed
        "D:/sets/p1/study1/view1.jpg",
        "/data/sets/p1/study1/view1",
    ],
)
def test_a_path_is_found_wherever_the_source_lies_in_it(key):
    source = Path("/data/set-small/train")
    assert label_of(source, "p1/study1/view1.jpg", key) == "0"
    assert label_of(source, "p1/study1/view1.jpg", "x/9.jpg", key, others=("9.jpg",)) == "1"


def test_the_longest_path_wins():
    name, source = "p1/view1.jpg", Path("/set/train")
    keys = ("view1.jpg", "p1/view1.jpg", "train/p1/view1.jpg", "valid/p1/view1.jpg")
    assert label_of(source, name, *keys) == "2"
    assert label_of(source, name, *keys[:2], keys[3]) == "1"


def test_a_film_of_another_folder_is_none():
    source = Path("/set/train")
    others = ("p1/view1.jpg",)
    assert label_of(source, "p2/view1.jpg", "p1/view1.jpg", "p3/view1.jpg", others=others) is None
    assert label_of(source, "1.2.840.4", "1.2.840", "x.dcm", others=("x.dcm",)) is None


@pytest.mark.parametrize(
    ("keys", "names", "sentence"),
    [
        (("1.png",), ("a/1.png", "b/1.png"), r"lists 1\.png, but 2 folders of the source hold"),
        (("a/1.png",), ("x/a/1.png", "y/a/1.png"), r"lists a/1\.png, but 2 folders"),
        (("p/1.png", "q/1.png"), ("1.png",), r"lists p/1\.png and q/1\.png with different"),
        (("a.png", "b.png"), ("x/1.jpg",), r"none of the 2 films .* lists a\.png, .* x/1\.jpg"),
        (("p1/1.png",), ("p2/1.png",), r".*lists p1/1\.png, the source holds p2/1\.png"),
        (("1.png",), ("11.png",), r".*lists 1\.png, the source holds 11\.png"),
    ],
)
def test_what_is_not_clear_is_refused(keys, names, sentence):
    with pytest.raises(UserError, match=rf"^t\.csv: {sentence}"):
        label_of(Path("/s"), names[0], *keys, others=names[1:])


def test_a_table_that_matches_nothing_says_so_before_anything_is_made(tmp_path, capsys):
    source = make_films(tmp_path / "source", num=6)
    table = source / "labels.csv"
    table.write_text(table.read_text().replace("Schmidt_", "Schmitt-"))
    for more in ((), ("--unlabelled", "keep")):
        assert films(source, tmp_path / "out", *more) == 2
        said = capsys.readouterr().err
        assert "none of the 6 films that it lists is among the 6 of the source" in said
        assert "It lists Schmitt-0000.png, the source holds Schmidt_0000.png" in said
        assert not list((tmp_path / "out").glob("records/*"))


def test_a_set_whose_table_names_its_own_folder(tmp_path, capsys):
    """As CheXpert does; once with that folder as the source, once renamed, once from above it."""
    top = tmp_path / "sets/Set-v1.0-small"
    rows = [("Path", "label")]
    for number in range(12):
        name = f"train/patient{number:05d}/study1/view1_frontal.jpg"
        (top / name).parent.mkdir(parents=True)
        Image.fromarray(draw(number)).save(top / name)
        rows.append((f"Set-v1.0-small/{name}", ("normal", "abnormal")[number % 2]))
    with open(tmp_path / "train.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    words = (
        "image_folder", "--labels", tmp_path / "train.csv", "--patient-pattern", r"patient\d+",
        "--image-size", "24", "--clahe", "none", "--split-all-to", "train",
    )  # fmt: skip
    for number, source in enumerate((top, top.parent, top / "train")):
        assert run(*words, "--source", source, "--out", tmp_path / f"out{number}") == 0
        assert "12 films used, 0 refused" in capsys.readouterr().out
        labels = [item["label:label"] for item in items(tmp_path / f"out{number}")]
        assert labels == ["normal", "abnormal"] * 6
    renamed = top.rename(tmp_path / "mine")
    assert run(*words, "--source", renamed, "--out", tmp_path / "renamed") == 0
    said = capsys.readouterr().out
    assert "its paths begin above the source; 12 films were found by the end of theirs" in said
    assert [item["label:label"] for item in items(tmp_path / "renamed")] == labels


def test_a_table_of_instance_numbers_matches_dicom_films(tmp_path, capsys):
    pixels = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    for number in range(3):
        film = np.roll(pixels, 100 * number)
        tags = {"SOPInstanceUID": f"1.2.3.{number}", "PatientID": f"P{number}"}
        write(tmp_path / f"films/IM{number}", film, **tags)
    table = tmp_path / "labels.csv"
    words = (
        "chest_xray", "--source", tmp_path / "films", "--labels", table, "--image-size", "32",
        "--clahe", "none", "--split-all-to", "train", "--out", tmp_path / "out",
    )  # fmt: skip
    table.write_text("sop_instance_uid,label\n9.9.1,x\n9.9.2,y\n")
    assert run(*words) == 2
    assert "It lists 9.9.1, the source holds IM0" in capsys.readouterr().err
    table.write_text("sop_instance_uid,label\n1.2.3.2,x\n1.2.3.1,y\n")
    assert run(*words) == 3
    assert "2 films used, 1 refused: 1 no_label" in capsys.readouterr().out

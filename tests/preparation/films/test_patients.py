"""Who is the same patient in films: tables, folders, patterns, PatientID, parts and phantoms."""

import csv
import json
import re
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from datamodules.film_cache import FilmCache
from patient_names import KNOWN_SALT, identity, pseudonym
from preparation.films.image_files import ImageFileReader
from preparation.films.label_table import read_label_table
from preparation.split import split_of
from provenance import UserError
from tests.film_runs import draw, items
from tests.preparation.films.dicom_films import write
from tests.prepare_runs import run

SMALL = ("--image-size", "24", "--margin", "0", "--clahe", "none")
RATIOS, SEED = (0.6, 0.2, 0.2), 85


def write_films(folder, names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number)).save(folder / name)


def write_table(path, rows, header=("image", "patient", "label")):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def patient_of(identifier):
    return pseudonym(identity(identifier), KNOWN_SALT)


def alone(identifier):
    """The split of a spelling by itself, as versions before the merging drew it."""
    return split_of(pseudonym(identifier, KNOWN_SALT), RATIOS, SEED)


@pytest.fixture
def thirty(tmp_path):
    """Two films of each of thirty people, whose number is a float's text the second time."""
    rows = [
        (f"p{person}_{visit}.png", spelt, "normal")
        for person in range(30)
        for visit, spelt in enumerate((str(person), f"{person}.0"))
    ]
    write_films(tmp_path / "films", [name for name, _, _ in rows])
    write_table(tmp_path / "labels.csv", rows)
    return tmp_path, {name: spelt for name, spelt, _ in rows}


def prepared(root, out, *more, status=0):
    words = ("--source", root / "films", "--labels", root / "labels.csv", "--out", root / out)
    assert run("image_folder", *words, *SMALL, *more) == status
    return items(root / out)


def test_whole_numbers_are_one_patient_and_who_is_merged_is_said(thirty, capsys):
    root, spelt = thirty
    listed = prepared(root, "out")
    said = capsys.readouterr().out
    splits = defaultdict(set)
    for item in listed:
        splits[item["patient_id"]].add(item["split"])
    assert set(splits) == {patient_of(str(person)) for person in range(30)}
    assert all(len(own) == 1 for own in splits.values())
    apart = [p for p in range(30) if alone(str(p)) != alone(f"{p}.0")]
    assert len(apart) == 19
    assert "60 spellings of 30 patients: whole numbers are one patient however they are" in said
    person = apart[0]
    now = splits[patient_of(str(person))].pop()
    lost = next(s for s in (str(person), f"{person}.0") if alone(s) != now)
    assert f"{person}, {person}.0: {lost} from {alone(lost)} to {now}" in said
    assert now in {alone(str(person)), alone(f"{person}.0")}
    with open(root / "out.private/patients.csv", newline="") as stream:
        assert {row["identifier"]: row["patient_id"] for row in csv.DictReader(stream)} == {
            text: patient_of(text) for text in spelt.values()
        }
    recorded = {"named_by": "pseudonym", "salt_check": "ef1b596e", "ids": "as_numbers"}
    assert FilmCache.open(root / "out").manifest["patients"] == recorded


def test_ids_as_written_are_divided_as_ever(thirty, capsys):
    root, spelt = thirty
    listed = prepared(root, "out", "--patient-ids", "as_written")
    assert "spellings" not in capsys.readouterr().out
    assert len({item["patient_id"] for item in listed}) == 60
    for item, name in zip(listed, sorted(spelt), strict=True):
        assert item["patient_id"] == pseudonym(spelt[name], KNOWN_SALT)
        assert item["split"] == alone(spelt[name])
    assert FilmCache.open(root / "out").manifest["patients"]["ids"] == "as_written"
    assert run(
        "image_folder", "--source", root / "films", "--labels", root / "labels.csv", "--out",
        root / "out", *SMALL,
    ) == 2  # fmt: skip
    assert "patients.ids was as_written, is now as_numbers" in capsys.readouterr().err


def test_who_is_spelt_in_one_way_stays_where_he_was(tmp_path):
    identifiers = ["MRN-7", "O'Neil^Pat", "12-07", "7a", "000", "42"] * 4
    rows = [(f"{n}.png", f"{text}x" * (n % 3) + text, "a") for n, text in enumerate(identifiers)]
    write_films(tmp_path / "films", [row[0] for row in rows])
    write_table(tmp_path / "labels.csv", rows)
    of_id = {row["id"]: row["split"] for row in prepared(tmp_path, "out")}
    with open(tmp_path / "out.private/films.csv", newline="") as stream:
        file_of = {row["id"]: row["file"] for row in csv.DictReader(stream)}
    spelt = {name: text for name, text, _ in rows}
    for film, split in of_id.items():
        assert split == alone(spelt[file_of[film]])


def test_folders_patterns_tables_and_dicom_name_the_same_people(tmp_path):
    """Ids 1 to 6 as folders, in files' names, in a table and in PatientID, each spelt otherwise."""
    names = [f"{n:05d}/film.png" for n in range(1, 7)]
    write_films(tmp_path / "folders", names)
    write_films(tmp_path / "files", [f"case_{n:08d}_pa.png" for n in range(1, 7)])
    write_films(tmp_path / "table", [f"{n}.png" for n in range(1, 7)])
    write_table(tmp_path / "t.csv", [(f"{n}.png", f"{n},0", "x") for n in range(1, 7)])
    for n in range(1, 7):
        stored = draw(n).astype(np.uint16) * 16
        write(tmp_path / f"dicom/{n}.dcm", stored, PatientID=f" {n:012d} ", SOPInstanceUID=f"1.{n}")
    flags = (*SMALL, "--split-all-to", "train")
    runs = {
        "folders": ("image_folder", "--patient-from", "folder"),
        "files": ("image_folder", "--patient-pattern", r"case_(\d+)"),
        "table": ("image_folder", "--labels", tmp_path / "t.csv"),
        "dicom": ("chest_xray", "--labels", "none"),
    }
    for name, (command, *more) in runs.items():
        words = ("--source", tmp_path / name, "--out", tmp_path / f"out_{name}")
        assert run(command, *words, *more, *flags) == 0
        people = [item["patient_id"] for item in items(tmp_path / f"out_{name}")]
        assert people == [patient_of(str(n)) for n in range(1, 7)], name


@pytest.mark.parametrize(("folders", "said"), [("p{0}/study{1}", True), ("all/p{0}", False),
                                               ("p{0}", False), ("p{0}/only", False)])  # fmt: skip
def test_folders_in_folders_are_asked_about(tmp_path, capsys, folders, said):
    """The folder may be the study's and the one above the patient's; one above all is nobody's."""
    names = [f"{folders.format(n // 2, n % 2)}/{n}.png" for n in range(6)]
    write_films(tmp_path / "films", names)
    words = ("--source", tmp_path / "films", "--out", tmp_path / "out", "--split-all-to", "train")
    assert run("image_folder", *words, *SMALL, "--patient-from", "folder") == 0
    assert ("people leak between splits" in capsys.readouterr().out) == said


def test_names_in_other_letters_and_in_another_unicode_form(tmp_path):
    """macOS names folders in NFD; a table has NFC. Two Chinese names are two people."""
    people = ["欧阳娜娜", "诸葛孔明", "M\u00fcller", "Mu\u0308ller"]
    rows = [(f"{n}.png", text, "x") for n, text in enumerate(people)]
    write_films(tmp_path / "films", [row[0] for row in rows])
    write_table(tmp_path / "labels.csv", rows)
    ids = [i["patient_id"] for i in prepared(tmp_path, "out", "--split-all-to", "train")]
    assert len({*ids[:3]}) == 3
    assert ids[2] == ids[3]


def test_every_file_stays_a_patient_of_its_own(tmp_path):
    """Also where files are called by numbers without an ending."""
    for n, name in enumerate(("7", "007", "7.0")):
        stored = draw(n).astype(np.uint16) * 16
        write(tmp_path / "dicom" / name, stored, SOPInstanceUID=f"1.2.{n + 1}")
    words = ("--source", tmp_path / "dicom", "--out", tmp_path / "out", "--labels", "none")
    flags = ("--patient-from", "file", "--split-all-to", "train")
    assert run("chest_xray", *words, *SMALL, *flags) == 0
    assert len({item["patient_id"] for item in items(tmp_path / "out")}) == 3


def test_a_rounded_number_is_refused_by_its_line_and_its_film(tmp_path, capsys):
    write_films(tmp_path / "films", ["a.png", "b.png"])
    write_table(tmp_path / "labels.csv", [("a.png", "7", "x"), ("b.png", "1.23457E+11", "y")])
    words = ("--source", tmp_path / "films", "--labels", tmp_path / "labels.csv")
    out = ("--out", tmp_path / "out", "--split-all-to", "train", *SMALL)
    assert run("image_folder", *words, *out) == 2
    said = capsys.readouterr().err
    assert "labels.csv: line 3 (1.23457E+11): its patient is a number that a spreadsheet" in said
    assert "--patient-ids as_written" in said
    assert not (tmp_path / "out/records").exists()
    assert run("image_folder", *words, *out, "--patient-ids", "as_written") == 0
    for n, patient in enumerate(("12", "1.23457E+11")):
        stored = draw(n).astype(np.uint16) * 16
        write(tmp_path / f"dicom/{n}.dcm", stored, PatientID=patient, SOPInstanceUID=f"1.2.{n + 1}")
    words = ("--source", tmp_path / "dicom", "--out", tmp_path / "films_out", "--labels", "none")
    assert run("chest_xray", *words, *SMALL, "--split-all-to", "train") == 3
    said = capsys.readouterr().out
    assert "1 refused: 1 rounded_patient" in said
    assert "1.23457E+11" not in said


def test_what_stands_for_nobody_is_nobody(tmp_path, capsys):
    """pandas writes nan where a table had no patient: not one person with many films."""
    write_films(tmp_path / "films", ["a.png", "b.png", "c.png"])
    rows = [("a.png", "nan", "x"), ("b.png", "7", "y"), ("c.png", "NaN", "x")]
    write_table(tmp_path / "labels.csv", rows)
    assert len(prepared(tmp_path, "out", "--split-all-to", "train", status=3)) == 1
    assert "2 refused: 2 no_patient" in capsys.readouterr().out
    # Where the file itself names the patient, that counts.
    flags = ("--patient-pattern", "[ac](?=.png)", "--split-all-to", "train")
    listed = prepared(tmp_path, "named", *flags)
    assert [i["patient_id"] for i in listed] == [patient_of(text) for text in ("a", "7", "c")]


def test_two_columns_of_patients_have_to_agree(tmp_path):
    header = ("image", "patient", "Patient ID", "label")

    def read(rows, column=None):
        write_table(tmp_path / "t.csv", rows, header)
        return read_label_table(tmp_path / "t.csv", None, ("label",), column)

    agreed = read([("a", "7", "MRN-1", "x"), ("b", "7.0", "MRN-1", "x"), ("c", "8", "", "x")])
    assert agreed.patient_column == "patient"
    rows = [("a", "1", "MRN-1", "x"), ("b", "2", "MRN-1", "x")]
    with pytest.raises(UserError, match=r"lines 2 and 3 are one patient by Patient ID and two by"):
        read(rows)
    with pytest.raises(UserError, match=r"are one patient by patient and two by Patient ID\. Say"):
        read([("a", "1", "MRN-1", "x"), ("b", "001", "MRN-2", "x")])
    assert read(rows, "Patient ID").patient_column == "Patient ID"


def test_a_table_that_divides_people_otherwise_than_the_films_is_said(tmp_path, capsys):
    """A column of examinations: 20 people by the files' names, 40 by the table."""
    rows = [(f"p{n % 20:02d}_{n}.png", f"exam-{n}", "x") for n in range(40)]
    write_films(tmp_path / "films", [row[0] for row in rows])
    write_table(tmp_path / "labels.csv", rows)
    listed = prepared(tmp_path, "out", "--patient-pattern", r"p\d\d")
    said = capsys.readouterr().out
    with open(tmp_path / "out.private/films.csv", newline="") as stream:
        of_id = {row["id"]: row["file"][:3] for row in csv.DictReader(stream)}
    splits = defaultdict(set)
    for item in listed:
        splits[of_id[item["id"]]].add(item["split"])
    torn = sum(len(own) > 1 for own in splits.values())
    assert torn > 5
    assert f"note: {torn} patients by the films themselves" in said
    prepared(tmp_path, "all", "--patient-pattern", r"p\d\d", "--split-all-to", "train")
    assert "by the films themselves" not in capsys.readouterr().out


@pytest.mark.parametrize("column", ["patient", "image"])
def test_a_column_of_names_is_no_label(tmp_path, column):
    write_table(tmp_path / "t.csv", [("a.png", "7", "x")])
    with pytest.raises(UserError, match=rf"{column} names the .* so it is no label"):
        read_label_table(tmp_path / "t.csv", None, (column,), None)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--patient-from", "folder"), True),
        (("--patient-pattern", "Schmidt|Meier"), True),
        (("--patient-pattern", r"\w+(?=/)"), True),
        (("--patient-pattern", r"film_\d+"), False),
        (("--patient-pattern", r".*_\d+"), False),  # it begins in the folder and ends in the file
    ],
)
def test_folders_that_name_patients_are_no_classes(tmp_path, capsys, flags, named):
    names = [f"{who}/film_{n}.png" for n, who in enumerate(("Schmidt", "Meier") * 2)]
    write_films(tmp_path / "films", names)
    words = ("--source", tmp_path / "films", "--out", tmp_path / "out", "--split-all-to", "train")
    assert run("image_folder", *words, *SMALL, *flags) == 0
    said = capsys.readouterr().out
    assert ("the names of the folders are the patients'" in said) == named
    assert FilmCache.open(tmp_path / "out").label_columns == ([] if named else ["label"])
    files = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".csv", ".json")]
    assert any("schmidt" in path.read_text().lower() for path in files) != named


def test_a_pattern_is_known_by_its_hash_alone(tmp_path, capsys):
    write_films(tmp_path / "films", ["Schmidt_1.png", "Meier_2.png"])
    words = ("--source", tmp_path / "films", "--out", tmp_path / "out", *SMALL)
    flags = ("--split-all-to", "train", "--patient-pattern")
    assert run("image_folder", *words, *flags, "Schmidt|Meier") == 0
    assert run("image_folder", *words, *flags, "Schmidt|Meier") == 0
    assert "Schmidt" not in (tmp_path / "out/settings.json").read_text()
    capsys.readouterr()
    assert run("image_folder", *words, *flags, "Schm|Mei") == 2
    said = capsys.readouterr().err
    assert re.search("patient_pattern was [0-9a-f]{16}, is now [0-9a-f]{16}", said)
    assert "Schmidt" not in said


def test_phantoms_of_two_seeds_are_different_people_divided_alike(tmp_path):
    listed = []
    for seed in ("0", "1"):
        out = tmp_path / seed
        words = ("--out", out, "--num-patients", "12", "--seed", seed, "--image-size", "32")
        assert run("phantom_cxr", *words) == 0
        assert not out.with_name(f"{seed}.private").exists()
        listed.append(items(out))
        patients = json.loads((out / "manifest.json").read_text())["patients"]
        assert patients == {"named_by": "source", "salt_check": None, "ids": "as_numbers"}
    people = [{item["patient_id"]: item["split"] for item in own} for own in listed]
    assert not people[0].keys() & people[1].keys()
    # As versions before drew them: by the number in PatientID alone.
    expected = {
        f"seed0_{pseudonym(f'PHANTOM-{n:06d}', KNOWN_SALT)[8:]}": alone(f"PHANTOM-{n:06d}")
        for n in range(12)
    }
    assert people[0].items() <= expected.items()


def test_the_reader_says_where_a_pattern_finds_the_patient():
    reader = ImageFileReader(patient_pattern=r"p(\d+)/|IM-\d+")
    for name, folder in (("a/p7/x.png", True), ("p7/a/x.png", False), ("a/IM-1.png", False)):
        assert reader.folder_names_patient(name) == folder, name
    assert not ImageFileReader(patient_pattern="nothing").folder_names_patient("a/x.png")


def test_names_that_are_no_utf_8_keep_people_apart(tmp_path):
    """Latin-1 folders of a Windows disk: ü and ö are other bytes, not one replacement mark."""
    for n, letter in enumerate(("\udcfc", "\udcf6")):
        stored = draw(n).astype(np.uint16) * 16
        path = tmp_path / f"dicom/M{letter}ller/1.dcm"
        write(path, stored, SOPInstanceUID=f"1.2.{n + 1}")
    words = ("--source", tmp_path / "dicom", "--out", tmp_path / "out", "--labels", "none")
    flags = ("--patient-from", "folder", "--split-all-to", "train")
    assert run("chest_xray", *words, *SMALL, *flags) == 0
    listed = items(tmp_path / "out")
    assert len({item["patient_id"] for item in listed}) == len({i["id"] for i in listed}) == 2
    assert rb"M\xfcller/1.dcm" in (tmp_path / "out.private/films.csv").read_bytes()

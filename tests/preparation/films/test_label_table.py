"""Label tables: what is kept, how films are matched, what is refused; the order of classes."""

import os
import pickle
import random
from pathlib import Path

import pytest

from preparation.films.files.find import find_image_files
from preparation.films.label_matching import matched
from preparation.films.label_table import class_order, read_label_table
from provenance import UserError

NIH = Path(__file__).parents[3] / "../shared/data/nih_pa"
TABLE = """image,patient,sex,label
a/1.png,7,M, Normal
2.png,8,F,abnormal

3.png,,M,
"""


def table(tmp_path, text, key=None, labels=("label",), patient=None):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_label_table(path, key, labels, patient)


def test_only_the_named_columns_are_kept_stripped(tmp_path):
    read = table(tmp_path, TABLE)
    assert read.rows == {
        "a/1.png": {"label": "Normal", "patient": "7"},
        "2.png": {"label": "abnormal", "patient": "8"},
        "3.png": {"label": "", "patient": ""},
    }
    assert (read.columns, read.patient_column) == (("label",), "patient")
    assert "'M'" not in repr(read)
    assert pickle.loads(pickle.dumps(read)) == read  # noqa: S301


def test_a_film_is_found_by_the_first_of_its_keys(tmp_path):
    read = table(tmp_path, TABLE)
    assert read.row_of(("a/1.png", "1.png", "1")) == {"label": "Normal", "patient": "7"}
    assert read.row_of(("b/2.png", "2.png", "2"))["label"] == "abnormal"
    assert read.row_of(("./a/1.png",)) is read.row_of(("a/1.png",))
    assert read.row_of(("9.png", "9")) is None
    both = table(tmp_path, "image,label\n1,stem\n1.png,file\n")
    assert both.row_of(("1.png", "1"))["label"] == "file"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_byte_order_marks_and_line_ends(tmp_path, separator, mark, end):
    lines = ["Image Index,Finding Labels,Patient ID", '"ä, 1;.png",x|y,12', "2.png,z,13"]
    quoted = lines[1].split('"')[1]
    text = end.join(line.replace(",", separator) for line in lines)
    text = text.replace(quoted.replace(",", separator), quoted)
    read = table(tmp_path, mark + text, labels=("Finding Labels",))
    assert read.rows["ä, 1;.png"] == {"Finding Labels": "x|y", "Patient ID": "12"}
    assert read.patient_column == "Patient ID"


def test_default_columns_in_any_case_and_order(tmp_path):
    read = table(tmp_path, "Label,FILE,Patient_ID\nx,1.png,4\n", labels=("Label",))
    assert read.rows == {"1.png": {"Label": "x", "Patient_ID": "4"}}
    read = table(tmp_path, "path,image,label\n1,2,x\n")
    assert list(read.rows) == ["2"]  # image comes first in the list, not in the table
    text = "image,label,sex,mother\n1,x,F,9\n"
    read = table(tmp_path, text, key="label", labels=("sex",), patient="mother")
    assert read.rows == {"x": {"sex": "F", "mother": "9"}}
    assert table(tmp_path, "image,label\n1,x\n").patient_column is None
    assert table(tmp_path, "image,patient\n1,x\n", labels=()).rows == {"1": {"patient": "x"}}


def test_the_same_row_twice_is_fine(tmp_path):
    read = table(tmp_path, "image,label,view\n1.png,x,PA\n1.png,x ,AP\n.\\1.png,x,\n")
    assert read.rows == {"1.png": {"label": "x"}}


def test_short_rows_and_empty_cells_after_the_last_column(tmp_path):
    read = table(tmp_path, "image,label,patient,\n1.png,x,4,,\n2.png,y\n,,,\n")
    assert read.rows["2.png"] == {"label": "y", "patient": ""}
    assert read.rows["1.png"] == {"label": "x", "patient": "4"}


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (
            TABLE,
            {"labels": ("finding",)},
            "no column finding .--label-columns.*image, patient, sex",
        ),
        (TABLE, {"key": "file"}, "no column file .--key-column"),
        (TABLE, {"patient": "id"}, "no column id .--patient-column"),
        (
            "name,label\n1,x\n",
            {},
            "none of the columns image, .*--key-column; there are name, label",
        ),
        ("image,label,label\n1,x,y\n", {}, "several columns label"),
        ("image,label\n1,x\n\n1,y\n", {}, "line 4 lists the film of line 2 again"),
        ("image,label,patient\n1,x,3\n1,x,4\n", {}, "another value in label or patient"),
        ("image,label\n1,x\n,y\n", {}, "line 3 does not name its film"),
        ("image,label\n1,x,y\n", {}, "line 2 has 3 cells, the header 2"),
        ("image,label\n", {}, "is empty"),
        ("", {}, "is empty"),
        ("image,label\n1,x\n2,\xe4\n".encode("latin-1"), {}, "line 3 is not UTF-8"),
        ("image,label\n1,x\n".encode("utf-16")[:-1], {}, "begins as UTF-16, but is no text"),
        ('image,label\n"1,x\n2,y\n', {}, "not a readable CSV"),
        ("image,label\n" + "1" * 200_000 + ",x\n", {}, "not a readable CSV"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, options, sentence):
    with pytest.raises(UserError, match=rf"labels\.csv: .*{sentence}"):
        table(tmp_path, text, **options)


def test_a_pipe_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")  # which nobody writes to: reading would wait for ever
    with pytest.raises(UserError, match="is a pipe or a device, which may never end"):
        read_label_table(tmp_path / "labels.csv", None, ("label",), None)


def test_a_missing_table(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: the label table cannot be read \(No such"):
        read_label_table(tmp_path / "nowhere.csv", None, ("label",), None)


@pytest.mark.parametrize(
    "expected",
    [
        ["Normal", "abnormal"],
        ["No Finding", "Cardiomegaly", "Effusion"],
        ["0", "1", "2", "10"],
        ["0.0", "-1.0", "1.0"],
        ["false", "true"],
        ["NO", "yes"],
        ["normal", "negative", "0", "no", "3", "20", "a", "b", "nan"],
    ],
)
def test_negative_classes_come_first_and_numbers_by_size(expected):
    values = expected * 2
    random.Random(0).shuffle(values)
    assert class_order(values) == expected


@pytest.mark.skipif(not NIH.is_dir(), reason="needs ../shared/data/nih_pa")
def test_nih_table():
    read = read_label_table(NIH / "labels.csv", None, ("label",), None)
    assert len(read.rows) == 346
    assert len({row["patient"] for row in read.rows.values()}) == 304
    files = find_image_files(NIH)
    keys = [path.name for path in (NIH / "images").iterdir()]
    assert matched(read, files)[1] == []
    assert all(read.row_of((f"images/{key}", key)) for key in keys)
    assert class_order(row["label"] for row in read.rows.values()) == ["normal", "abnormal"]

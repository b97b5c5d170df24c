"""PNG pairs with an index."""

import csv

import numpy as np
import pytest
from PIL import Image

from patient_names import pseudonym
from preparation.pseudonym import Naming
from preparation.volumes.command import slices
from preparation.volumes.png_slices import find_pairs, read_pairs, split_key
from preparation.volumes.volume import SkipVolume
from provenance import UserError
from tests.prepare_runs import LEFT_OUT, run


def make_pairs(root, cases=((28, 5), (28, 2), (7, 1)), size=10):
    rng = np.random.default_rng(0)
    rows = []
    for case, slice_index in cases:
        name = f"s_{case}_{slice_index}.png"
        write(root / "image" / name, rng.integers(0, 256, (size, size)).astype(np.uint8))
        write(root / "label" / name, rng.integers(0, 3, (size, size)).astype(np.uint8))
        rows.append({"file": name, "case": case, "slice": slice_index})
    write_index(root, rows)
    return rows


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_index(root, rows):
    with open(root / "index.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_one_shard_a_patient_sorted_by_slice(tmp_path):
    make_pairs(tmp_path)
    found = find_pairs(tmp_path, naming=Naming(None))
    assert [job.patient_id for job in found.jobs] == ["case_00007", "case_00028"]
    volume = read_pairs(found.jobs[1])
    assert volume.slice_indices == [2, 5]
    expected = np.array(Image.open(tmp_path / "image/s_28_2.png"))
    assert np.array_equal(volume.image[0], expected)
    assert volume.image.dtype == np.uint8
    assert volume.pixel_spacing_mm is None


def test_the_split_of_a_case_number_is_that_of_kits19s_name():
    assert split_key("28") == split_key(" 028") == split_key("\uff12\uff18") == "case_00028"
    assert split_key("0") == "case_00000"
    assert split_key("a/b c") == "a_b_c"
    assert split_key("张三") == "张三"
    assert split_key("9" * 5000) == "case_" + "9" * 5000


def test_a_patient_is_one_however_the_index_writes_it(tmp_path):
    make_pairs(tmp_path, [("12", 1), ("12.0", 2), ("0012", 3), ("7", 1)])
    found = find_pairs(tmp_path)
    twelve, seven = (pseudonym(text, "understudy") for text in ("12", "7"))
    assert {job.patient_id for job in found.jobs} == {twelve, seven}
    assert found.spellings[twelve] == {"12": "case_00012", "0012": "case_00012", "12.0": "12.0"}
    assert {job.shard for job in found.jobs} == {twelve, f"{twelve}_2", seven}
    apart = find_pairs(tmp_path, naming=Naming(ids="as_written"))
    assert len({job.patient_id for job in apart.jobs}) == 4


def test_other_scripts_keep_apart_and_who_is_nobody_is_left_out(tmp_path):
    cases = ["张三", "李四", "Müller", "Mu\u0308ller", "nan", "1.23457E+11", "12345678901234567890"]
    make_pairs(tmp_path, [(case, number) for number, case in enumerate(cases)])
    found = find_pairs(tmp_path)
    named = {identifier: job.patient_id for job in found.jobs for identifier in job.identifiers}
    assert set(named) == set(cases) - {"nan", "1.23457E+11"}
    assert named["Müller"] == named["Mu\u0308ller"]
    assert len(set(named.values())) == 4
    assert [file for file, _ in found.skipped] == ["index.csv"] * 2
    assert "line 6 lacks" in found.skipped[0][1]
    assert "line 7: its patient is a number that a spreadsheet" in found.skipped[1][1]


@pytest.mark.parametrize(
    ("break_it", "file", "sentence"),
    [
        (lambda r: (r / "label/s_28_2.png").unlink(), "label/s_28_2.png", "is missing"),
        (lambda r: write(r / "image/new.png", np.eye(10, dtype=np.uint8)), "image/new.png", "not"),
        (lambda r: _rows(r, slice=5), "index.csv", "line 3 is slice 5 of its case again, after"),
        (lambda r: _rows(r, slice="five"), "index.csv", "line"),
        (lambda r: _rows(r, file="../../x.png"), "index.csv", "line"),
        (lambda r: write(r / "label/s_28_2.png", np.full((10, 10), 255, np.uint8)),
         "label/s_28_2.png", r"label values \[255\]"),
        (lambda r: write(r / "image/s_28_2.png", np.zeros((10, 10), np.uint8)),
         "image/s_28_2.png", "constant"),
        (lambda r: write(r / "image/s_28_2.png", np.eye(9, dtype=np.uint8)),
         "label/s_28_2.png", "but image"),
        (lambda r: write(r / "image/s_28_2.png", np.zeros((10, 10, 3), np.uint8)),
         "image/s_28_2.png", "mode RGB"),
        (lambda r: (r / "image/s_28_2.png").write_bytes(b"no"), "image/s_28_2.png", "readable"),
        (lambda r: _cut(r / "image/s_28_2.png"), "image/s_28_2.png", "readable"),
    ],
)  # fmt: skip
def test_a_bad_slice_is_left_out_and_the_patient_stays(tmp_path, break_it, file, sentence):
    make_pairs(tmp_path)
    break_it(tmp_path)
    found = find_pairs(tmp_path, naming=Naming(None))
    volumes = [read_pairs(job) for job in found.jobs]
    skipped = found.skipped + [entry for volume in volumes for entry in volume.skipped]
    assert len(skipped) >= 1
    assert "s_28" not in " ".join(skipped[0])
    name, reason = (found.own_names.in_text(text) for text in skipped[0])
    assert name == file
    assert sentence in reason or "label values [255]" in reason
    assert {job.patient_id for job in found.jobs} == {"case_00007", "case_00028"}


def _rows(root, **changes):
    rows = [
        {"file": "s_28_2.png", "case": 28, "slice": 2},
        {"file": "s_28_5.png", "case": 28, "slice": 5},
        {"file": "s_7_1.png", "case": 7, "slice": 1},
    ]
    if changes.get("slice") == 5:
        rows[0]["slice"] = 5
    else:
        rows.append({**rows[1], **changes})
    write_index(root, rows)


def _cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_patient_without_a_usable_slice(tmp_path):
    make_pairs(tmp_path)
    write(tmp_path / "label/s_7_1.png", np.full((10, 10), 9, np.uint8))
    with pytest.raises(SkipVolume, match="label values"):
        read_pairs(find_pairs(tmp_path, naming=Naming(None)).jobs[0])


def test_a_name_too_long_for_a_file_is_listed_and_the_others_go_on(tmp_path):
    rows = make_pairs(tmp_path)
    write_index(tmp_path, [*rows, {"file": f"{'a' * 5000}.png", "case": 9, "slice": 1}])
    found = find_pairs(tmp_path, naming=Naming(None))
    assert [job.patient_id for job in found.jobs] == ["case_00007", "case_00028"]
    [(_, reason)] = found.skipped
    assert reason.startswith("is missing, though index.csv lists it. Left out; copy it there, or")


def test_missing_folder_index_and_column(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(UserError, match="there is no index"):
        find_pairs(tmp_path)
    (tmp_path / "index.csv").write_text("file,slice\na.png,1\n")
    with pytest.raises(UserError, match="no column case"):
        find_pairs(tmp_path)
    (tmp_path / "index.csv").write_bytes("file,case,slice\na.png,Müller,1\n".encode("cp1252"))
    with pytest.raises(UserError, match="line 2 is not UTF-8: it holds the byte 0xfc"):
        find_pairs(tmp_path)


def test_what_was_left_out_is_said_before_an_empty_split(tmp_path):
    make_pairs(tmp_path / "source", cases=[(case, 1) for case in range(12)])
    for case in range(10):
        write(tmp_path / f"source/label/s_{case}_1.png", np.full((10, 10), 3, np.uint8))
    with pytest.raises(UserError) as refused:
        slices(source=tmp_path / "source", out=tmp_path / "out")
    reasons, split = str(refused.value).splitlines()
    assert "10 left out, most often: has label values [3], expected only 0" in reasons
    assert "--label-map 3=0" in reasons
    empty = "There are 2 patients. Split 0.7 / 0.2 / 0.1 by seed 85, none of them"
    assert split.startswith(f"{empty} is in")
    assert "--split-seed 85" not in split, "nobody gave it"


def test_a_case_that_is_left_out_is_named_as_the_index_does(tmp_path, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    make_pairs(source, cases=[(case, number) for case in range(4) for number in range(3)])
    for number, value in enumerate((3, 3, 9)):
        write(source / f"label/s_2_{number}.png", np.full((10, 10), value, np.uint8))
    assert run("slices", "--source", source, "--out", out, "--split-all-to", "test") == LEFT_OUT
    said = capsys.readouterr().out
    assert "skipped case 2: has no usable slice. 2 of 3: has label values [3], expected" in said
    assert "1 of 3: has label values [9]" in said
    assert "Values only along the edges of structures come from lossy compression (JPEG)" in said
    assert "case 2" not in (out / "skipped.csv").read_text()
    private = (tmp_path / "out.private/skipped.csv").read_text()
    assert private.count("case 2") == 1
    assert "patient_" not in private


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_index_is_read_as_label_tables_are(tmp_path, separator, encoding):
    make_pairs(tmp_path)
    lines = [("File", "CASE", "Slice"), ("s_28_5.png", "28", "5.0"), ("s_28_2.png", "28", "2")]
    text = "\n".join(separator.join(line) for line in lines)
    (tmp_path / "index.csv").write_text(text, encoding=encoding)
    [job] = find_pairs(tmp_path, naming=Naming(None)).jobs
    assert job.options["slice_indices"] == [2, 5]
    (tmp_path / "index.csv").write_text("picture,case,slice\na.png,1,1\n")
    with pytest.raises(UserError, match=r"no column file.*There are picture, case, slice"):
        find_pairs(tmp_path)


def test_a_line_left_out_is_said_where_it_empties_a_split(tmp_path, capsys):
    make_pairs(tmp_path / "in", cases=((1, 1), (2, 2), (3, 3)))
    index = tmp_path / "in/index.csv"
    index.write_text(index.read_text().replace(",2,2", ",2,two"))
    words = ("slices", "--source", tmp_path / "in", "--out", tmp_path / "out")
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert "left out, first index.csv: line 3 lacks a file name" in said
    assert "--split-seed" in said or "Add patients" in said
    assert run(*words, "--strict") == 2
    assert "as --strict says" in capsys.readouterr().err

"""Labels that differ in spelling alone are refused by name until a map settles them."""

from pathlib import Path

import pytest

from preparation.films.label_spelling import check_spelling, fractions_note
from preparation.label_map import parse_label_map
from provenance import UserError
from tests.film_runs import draw, films, items, make_films
from tests.prepare_runs import run


@pytest.mark.parametrize(
    "twins",
    [
        ("Normal", "normal"), ("0", "0.0"), ("1", "01"), ("-1", "-1.0"), ("A|B", "B|A"),
        ("A;B", "b; a"), ("No Finding", "no_finding"), ("no finding", "nofinding"),
        ("true", "1"), ("yes", "TRUE"), ("tumor", "Tumour"), ("oedema", "Edema"),
        ("stage II", "stage \u2161"), ("normal", "normal\u200b"), ("normal", "normal."),
        ("1,5", "1.5"), ("pleural  effusion", "pleural\u00a0effusion"),
    ],
)  # fmt: skip
def test_twins_are_refused_and_a_map_settles_them(twins):
    first, second = sorted(twins)
    with pytest.raises(UserError, match=r"t\.csv: label holds .* differ in spelling alone") as why:
        check_spelling("t.csv", "label", [*twins, "other"], {})
    assert repr(first) in str(why.value)
    assert repr(second) in str(why.value)
    check_spelling("t.csv", "label", twins, {first: first, second: second})  # kept apart


@pytest.mark.parametrize(
    "values",
    [("0", "1", "-1"), ("1-2", "12"), ("A|B", "A", "B", "A|C"), ("no", "abnormal"), ("", "0"),
     ("stage 1", "stage 11"), ("+", "x"), ("1.5", "15")],
)  # fmt: skip
def test_other_labels_are_none(values):
    check_spelling("t.csv", "label", values, {})


@pytest.mark.parametrize("text", ["NaN", "nan", "N/A", "NULL", "None", "#N/A", "?", "-"])
def test_a_text_for_no_value_is_refused_until_it_is_mapped(text):
    with pytest.raises(UserError, match=r"which may be a label or stand for none"):
        check_spelling("t.csv", "label", ["0", text], {})
    check_spelling("t.csv", "label", ["0", text], {text: text})


def test_a_map_is_pairs_or_a_file_of_them(tmp_path):
    file = tmp_path / "map.txt"
    file.write_text("# new names\nB, then A = A, then B\n\nnan=\n")
    assert parse_label_map([str(file), "x=y, z =w"]) == {
        "B, then A": "A, then B", "nan": "", "x": "y", "z": "w",
    }  # fmt: skip
    for words, sentence in (
        (["x=y", "x=z"], "'x' becomes both 'y' and 'z'"),
        (["x=y,z"], "'z' is no pair old=new"),
        (["x=y=z"], "'x=y=z' is no pair"),
        ([str(tmp_path / "none")], "neither a pair old=new nor a file"),
    ):
        with pytest.raises(UserError, match=sentence):
            parse_label_map(words)


def test_a_table_with_twins_is_refused_and_prepared_with_a_map(tmp_path, capsys):
    source, out = make_films(tmp_path / "source", num=12), tmp_path / "out"
    table = source / "labels.csv"
    lines = table.read_text().splitlines()
    lines[1], lines[2] = lines[1].replace("abnormal", "Abnormal"), lines[2].replace(",nor", ",NaN,")
    lines[2] = "Schmidt_0001.png,MRN-0,NaN,Eva"
    table.write_text("\n".join(lines))
    flags = ("--split-all-to", "train")
    assert films(source, out, *flags) == 2
    assert "holds the text 'NaN'" in capsys.readouterr().err
    assert films(source, out, *flags, "--label-map", "NaN=") == 2
    assert "'Abnormal' and 'abnormal', which differ in spelling alone" in capsys.readouterr().err
    words = ("--label-map", "NaN=", "Abnormal=abnormal", "Norml=normal")
    assert films(source, out, *flags, *words) == 3
    said = capsys.readouterr().out
    assert "11 films used, 1 refused: 1 no_label" in said
    assert "--label-map names 'Norml', which no label is" in said
    assert {item["label:label"] for item in items(out)} == {"normal", "abnormal"}
    assert '"label_map": {\n  "NaN": "",' in (out / "settings.json").read_text()
    assert films(source, out, *flags, *words) == 3
    assert films(source, out, *flags, "--label-map", "NaN=", "Abnormal=normal") == 2
    table.write_text(table.read_text().replace("NaN", "").replace("Abnormal", "abnormal"))
    assert films(source, out, *flags) == 2  # without the map it is another cache
    assert "label_map was " in capsys.readouterr().err


def test_names_of_class_folders_are_labels_too(tmp_path, capsys):
    from PIL import Image

    for name in ("no finding", "No_Finding", "sick"):
        (tmp_path / "films" / name).mkdir(parents=True)
        for number in range(3):
            picture = Image.fromarray(draw(number + 10 * len(name) + ord(name[0])))
            picture.save(tmp_path / "films" / name / f"{number}.png")
    words: tuple[str | Path, ...] = (
        "image_folder", "--source", tmp_path / "films", "--out", tmp_path / "out", "--image-size",
        "24", "--clahe", "none", "--patient-from", "file", "--split-all-to", "train",
    )  # fmt: skip
    assert run(*words) == 2
    assert "'no finding' and 'no_finding', which differ in spelling" in capsys.readouterr().err
    told = (
        "--label-map names 'NORMAL', which no label is; is it misspelt? The labels are 'no finding'"
    )
    assert told not in capsys.readouterr().out
    pairs = "no_finding=no finding,sick=ill,NORMAL=no finding"
    assert run(*words[:4], tmp_path / "lost", *words[5:], "--label-map", pairs) == 0
    assert told in capsys.readouterr().out
    assert run(*words, "--label-map", "no_finding=a,NO_finding=b") == 2
    assert "becomes 'b', but 'a' in other capitals" in capsys.readouterr().err
    assert run(*words, "--label-map", "No_Finding=no finding,SICK=ill") == 0
    assert "--label-map names" not in capsys.readouterr().out
    assert {item["label:label"] for item in items(tmp_path / "out")} == {"no finding", "ill"}


def test_labels_that_are_no_whole_numbers_are_said(tmp_path, capsys):
    assert fractions_note("t.csv", "label", ["0", "1.0", "2e1", "-1", "", "normal", "v1.5"]) == []
    [note] = fractions_note("t.csv", "label", ["0", "0.3", "0,7", "0.3", "7.5E-1", "1"])
    assert note.startswith("t.csv: label holds 0,7, 0.3, 7.5E-1; each is a class of its own.")
    [many] = fractions_note("t.csv", "label", [f"0.{n}" for n in range(11, 20)])
    assert "0.15 and 4 more; each" in many
    source = make_films(tmp_path / "source", num=12)
    table = source / "labels.csv"
    table.write_text(table.read_text().replace("abnormal", "0.3").replace("normal", "1"))
    assert films(source, tmp_path / "out", "--split-all-to", "train") == 0
    assert "holds 0.3; each is a class of its own" in capsys.readouterr().out

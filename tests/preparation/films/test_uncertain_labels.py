"""Columns of 0, 1, -1 and blanks, each value by a policy that is stated and can be set."""

import json

import pytest

from preparation.films.label_options import LabelOptions
from provenance import UserError
from tests.film_runs import films, items, make_films

TABLE = "Path,Sex,No Finding,Pneumonia\na,M,1.0,\nb,F,,1.0\nc,F,,0.0\nd,M,,-1.0\n"


def labels(tmp_path, text, *columns, **flags):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table, notes = LabelOptions(labels=str(path), label_columns=columns, **flags).read()
    return [[row[column] for row in table.rows.values()] for column in columns], notes


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, ["0", "1", "0", ""]),
        ({"uncertain_labels": "positive"}, ["0", "1", "0", "1"]),
        ({"uncertain_labels": "negative"}, ["0", "1", "0", "0"]),
        ({"blank_labels": "unlabelled"}, ["", "1", "0", ""]),
        ({"label_map": ("-1.0=unsure",)}, ["0", "1", "0", "unsure"]),
        ({"label_map": ("-1=unsure",)}, ["0", "1", "0", "unsure"]),
        ({"label_map": ("1=ill,-1=unsure",)}, ["0", "ill", "0", "unsure"]),
        ({"label_map": ("1=ill",), "uncertain_labels": "positive"}, ["0", "ill", "0", "ill"]),
        ({"label_map": ("-1.0=1.0",)}, ["0", "1", "0", "1"]),
    ],
)
def test_uncertain_and_blank_labels(tmp_path, flags, expected):
    [column], notes = labels(tmp_path, TABLE, "Pneumonia", **flags)
    assert column == expected
    unsure = 0 if "-1" in str(flags.get("label_map")) else 1
    assert f"of Pneumonia, {unsure} of 4 are uncertain (-1) and " in notes[0]
    assert "1 are blank and " in notes[0]


def test_uncertain_ones_are_not_made_blank(tmp_path):
    with pytest.raises(UserError, match=r"--label-map -1=: Pneumonia of .*--uncertain-labels"):
        labels(tmp_path, TABLE, "Pneumonia", label_map=("-1=",))


def test_no_finding_is_the_negative_class(tmp_path):
    both, notes = labels(tmp_path, TABLE, "No Finding", "Pneumonia")
    assert both[0] == ["No Finding", "Finding", "Finding", "Finding"]
    assert both[1] == ["0", "1", "0", ""]
    assert len(notes) == 2


def test_a_blank_of_another_table_is_no_label_unless_it_is_said(tmp_path):
    text = "image,label\na,1\nb,0\nc,\n"
    assert labels(tmp_path, text, "label") == ([["1", "0", ""]], [])
    assert labels(tmp_path, text, "label", blank_labels="negative")[0] == [["1", "0", "0"]]
    assert labels(tmp_path, text.replace(",0", ",-1"), "label")[0] == [["1", "", "0"]]
    assert labels(tmp_path, text.replace(",0", ",2"), "label") == ([["1", "2", ""]], [])
    with pytest.raises(UserError, match=r"label of .*t\.csv holds '2'; expected 0, 1, -1"):
        labels(tmp_path, text.replace(",0", ",2"), "label", blank_labels="negative")


def test_the_table_of_another_split_has_the_same_classes(tmp_path):
    """CheXpert's valid.csv holds neither -1 nor blanks."""
    valid = TABLE.replace(",\n", ",0.0\n").replace(",,", ",0.0,").replace("-1.0", "1.0")
    assert labels(tmp_path, valid, "Pneumonia")[0] == [["0", "1", "0", "1"]]
    assert labels(tmp_path, valid, "No Finding")[0] == [["No Finding"] + ["Finding"] * 3]
    plain = valid.replace(".0", "")  # as a table of today's caches: nothing to decide
    assert labels(tmp_path, plain, "Pneumonia") == ([["0", "1", "0", "1"]], [])


def test_spelling_is_settled_before(tmp_path):
    with pytest.raises(UserError, match=r"'0' and '0\.0', which differ in spelling"):
        labels(tmp_path, "image,label\na,0\nb,0.0\nc,-1\n", "label")


def test_the_policy_is_printed_and_recorded(tmp_path, capsys):
    source, out = make_films(tmp_path / "source", num=12), tmp_path / "out"
    table = source / "labels.csv"
    values = ("1.0", "0.0", "-1.0", "") * 3
    lines = [f"Schmidt_{n:04d}.png,P{n},{value}" for n, value in enumerate(values)]
    table.write_text("\n".join(["image,patient,label", *lines]))
    flags = ("--split-all-to", "train")
    assert films(source, out, *flags) == 3
    said = capsys.readouterr().out
    assert "3 of 12 are uncertain (-1) and ignored" in said
    assert "9 films used, 3 refused: 3 no_label" in said
    assert sorted(item["label:label"] for item in items(out)) == ["0"] * 6 + ["1"] * 3
    settings = json.loads((out / "settings.json").read_text())
    assert (settings["uncertain_labels"], settings["blank_labels"]) == ("ignored", "negative")
    assert films(source, out, *flags, "--uncertain-labels", "positive") == 2
    assert "uncertain_labels was" in capsys.readouterr().err
    kept = tmp_path / "kept"
    assert films(source, kept, *flags, "--unlabelled", "keep") == 0
    assert sorted(item["label:label"] for item in items(kept)) == [""] * 3 + ["0"] * 6 + ["1"] * 3


@pytest.mark.parametrize("minus", ["-1", "-1.0"])
def test_minus_one_beside_other_classes_is_asked_about(tmp_path, minus):
    text = f"image,label\na.png,0\nb.png,1\nc.png,{minus}\nd.png,2\n"
    with pytest.raises(
        UserError, match=r"label holds -1 beside other labels.*--label-map=-1=unsure"
    ):
        labels(tmp_path, text, "label")
    for pair, kept in (("-1=unsure", "unsure"), ("-1=", ""), ("-1=-1", "-1")):
        [column], notes = labels(tmp_path, text, "label", label_map=(pair,))
        assert column == ["0", "1", kept, "2"]
        assert not notes

"""Films in the layouts of ChestX-ray14, CheXpert, MIMIC-CXR-JPG and MedMNIST, and wrong ones."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.film_cache import FilmCache
from datamodules.findings import finding_values
from preparation.films.assemble import FilmOutcome
from preparation.films.files.command import image_folder
from preparation.films.film_layout import LayoutOptions
from preparation.films.label_options import LabelOptions
from preparation.films.prepare import FilmOptions
from preparation.films.releases.chexpert import read_chexpert
from preparation.films.releases.nih import read_nih
from preparation.films.releases.options import ReleaseOptions
from preparation.films.releases.policy import Policy, age_in_years, normal_or_not
from preparation.films.releases.published_split import divided_by_the_source
from preparation.films.releases.table import read_table
from preparation.split import Split, own_keys
from provenance import UserError
from tests import released_films
from tests.film_runs import items
from tests.prepare_runs import run
from tests.released_films import CHEXPERT_HEADER, NIH_HEADER, table

NIH = ReleaseOptions(layout="nih")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("releases")
    released_films.nih(root / "nih")
    released_films.chexpert(root / "chexpert")
    released_films.mimic(root / "mimic")
    released_films.chestmnist(root / "chestmnist.npz")
    return root


def prepared(source: Path, out: Path, layout: str, **more: Any) -> FilmOutcome:
    """What prepare.py does with these flags, without its parser."""
    labels = {key: more.pop(key) for key in ("uncertain_labels", "blank_labels") if key in more}
    return image_folder(
        out=out,
        source=source,
        release=ReleaseOptions(layout=layout, **more),  # type: ignore[arg-type]
        layout=LayoutOptions(image_size=24, margin=0.0, clahe="none"),
        labels=LabelOptions(**labels),
    )


def of_file(out: Path) -> dict[str, dict[str, str]]:
    """Items by the file that they were made of."""
    with open(f"{out}.private/films.csv", newline="") as stream:
        names = {row["id"]: row["file"] for row in csv.DictReader(stream)}
    return {names[item["id"]]: item for item in items(out)}


def test_nih_has_its_findings_views_ages_and_patients(sources, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ("--image-size", "24", "--margin", "0", "--clahe", "none")
    source = sources / "nih"
    assert run("image_folder", "--layout", "nih", "--source", source, "--out", out, *flags) == 0
    told = capsys.readouterr().out
    assert "ages that nobody has, such as 411 years: 1" in told
    assert "licence: NIH ChestX-ray14" in told
    assert re.search(r"Effusion +\d+ / \d+ / 0 ", told)
    films, cache = of_file(out), FilmCache.open(out)
    second = films["images_002/images/00000001_001.png"]
    assert (second["label:label"], second["view"], second["label:sex"]) == ("abnormal", "AP", "M")
    assert second["label:age"] == ""
    there = {name for name in cache.findings if second[f"label:{name}"] == "1"}
    assert there == {"Effusion", "Mass"}  # the second of SAID
    first = films["images_001/images/00000001_000.png"]
    assert (first["label:label"], first["view"], first["label:age"]) == ("normal", "PA", "20")
    assert first["patient_id"] == second["patient_id"]
    assert len(cache.findings) == 14
    assert len(cache.patients(None)) == 20
    assert cache.label_columns[0] == "label"
    assert cache.label_columns[-2:] == ["sex", "age"]
    assert (finding_values(cache, "Fibrosis") == 0).all()  # nobody has it


def test_nih_keeps_the_views_and_findings_asked_for(sources, tmp_path):
    out = tmp_path / "out"
    findings = ("Pneumonia", "pleural thickening")
    outcome = prepared(sources / "nih", out, "nih", views=("AP",), findings=findings)
    assert not outcome.num_left_out  # other views were not asked for
    assert {item["view"] for item in items(out)} == {"AP"}
    assert FilmCache.open(out).findings == ["Pneumonia", "Pleural_Thickening"]
    assert {row["reason"] for row in _rejected(out)} == {"view"}


def test_published_splits_are_followed_and_their_gaps_drawn_by_patient(sources, tmp_path):
    for layout, tested in (("nih", 12), ("chexpert", 5), ("mimic", 2)):
        out = tmp_path / layout
        outcome = prepared(sources / layout, out, layout, published_split=True)
        cache = outcome.cache
        assert len(cache.indices("test")) == tested
        assert cache.split_by == "patient"
        assert cache.manifest["split"]["published"] is True
        patients = [set(cache.patients(split)) for split in ("train", "val", "test")]
        assert all(patients)
        assert not patients[0] & patients[1]
        assert not patients[2] & (patients[0] | patients[1])
        assert ("were drawn to validate" in " ".join(outcome.notes)) == (layout != "mimic")
    ids = {row["patient_id"]: row["identifier"] for row in _patients(tmp_path / "chexpert")}
    assert {ids[name][:12] for name in FilmCache.open(tmp_path / "chexpert").patients("test")} == {
        "patient64541", "patient64542", "patient64543", "patient64544", "patient64545"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, {"1.0": "1", "0.0": "0", "-1.0": "", "": "0"}),
        ({"uncertain_labels": "positive"}, {"1.0": "1", "0.0": "0", "-1.0": "1", "": "0"}),
        (
            {"uncertain_labels": "negative", "blank_labels": "unlabelled"},
            {"1.0": "1", "0.0": "0", "-1.0": "0", "": ""},
        ),
    ],
)
def test_chexpert_takes_uncertain_and_blank_findings_as_told(sources, tmp_path, flags, expected):
    out = tmp_path / "out"
    prepared(sources / "chexpert", out, "chexpert", **flags)
    films, seen = of_file(out), set()
    release = sources / "chexpert" / "CheXpert-v1.0-small"
    for path in (release / "train.csv", release / "valid.csv"):
        with open(path, newline="") as stream:
            for row in csv.DictReader(stream):
                name = row["Path"]
                if "lateral" in name:
                    assert name not in films
                    continue
                item = films[name]
                assert item["view"] == row["AP/PA"]
                assert item["label:sex"] == row["Sex"][0]
                for finding in CHEXPERT_HEADER[5:]:
                    assert item[f"label:{finding}"] == expected[row[finding]], finding
                    seen.add(row[finding])
                if row["No Finding"]:
                    assert item["label:label"] == "normal"  # though there is a device
    assert seen == {"1.0", "0.0", "-1.0", ""}


def test_mimic_joins_its_tables_by_film_and_study(sources, tmp_path):
    out = tmp_path / "out"
    outcome = prepared(sources / "mimic", out, "mimic", views=("PA", "lateral"))
    assert outcome.tally.rejected == {"no_view": 1}
    assert outcome.num_left_out == 1
    films = of_file(out)
    assert len(films) == 39
    pair = [name for name in films if "/s50414268/" in name]
    assert [films[name].get("view") for name in sorted(pair)] == ["PA", "lateral"]
    expected = dict(zip(released_films.OBSERVATIONS, released_films.observations(1), strict=True))
    meant = {"1.0": "1", "0.0": "0", "-1.0": "", "": "0"}
    for finding, cell in expected.items():
        assert films[pair[0]][f"label:{finding}"] == meant[cell]


def test_chestmnist_has_its_findings_with_the_layout_alone(sources, tmp_path):
    source = sources / "chestmnist.npz"
    cache = prepared(source, tmp_path / "all", "medmnist").cache
    truth = np.load(source)["val_labels"]
    kept = np.stack([finding_values(cache, name) for name in cache.findings], axis=1)
    assert cache.findings[0] == "atelectasis"
    assert (kept[cache.indices("val")] == truth).all()
    plain = image_folder(out=tmp_path / "plain", source=source)
    assert plain.cache.label_columns == ["label"]


def test_a_renamed_release_and_one_without_its_prefix_are_found(sources, tmp_path):
    renamed = tmp_path / "films"
    shutil.copytree(sources / "chexpert" / "CheXpert-v1.0-small", renamed)
    one = prepared(renamed, tmp_path / "one", "chexpert")
    assert "found by the end of theirs" in " ".join(one.notes)
    for name in ("train.csv", "valid.csv"):
        text = (renamed / name).read_text().replace("CheXpert-v1.0-small/", "")
        (renamed / name).write_text("\ufeff" + text, encoding="utf-8")  # with a mark
    prepared(renamed, tmp_path / "two", "chexpert")
    first, second = (items(tmp_path / name) for name in ("one", "two"))
    assert [film["label:Edema"] for film in first] == [film["label:Edema"] for film in second]


def _nih(root: Path, *rows: list[str], header: list[str] = NIH_HEADER) -> Path:
    released_films.film(root / "images" / "a.png", 1)
    table(root / "Data_Entry_2017.csv", [header, *rows])
    return root


def _row(said: str = "Mass", view: str = "PA") -> list[str]:
    return ["a.png", said, "0", "1", "50", "M", view, "24", "24", "0.1", "0.1"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Pnuemonia", "Did you mean Pneumonia?"),
        ("Effusion;Mass", "Findings are separated by |, not by ;"),
        ("No Finding|Mass", "names findings, and that there is none"),
    ],
)
def test_findings_that_are_none_are_named_with_their_line(tmp_path, said, sentence):
    source = _nih(tmp_path, _row(), ["b.png", said, *_row()[2:]])
    with pytest.raises(UserError, match=re.escape(sentence)) as refused:
        read_nih(source, NIH)
    assert "line 3" in str(refused.value)


def test_wrong_tables_are_refused_with_what_was_expected(sources, tmp_path):
    lacking = _nih(tmp_path / "1", _row()[:1] + _row()[2:], header=NIH_HEADER[:1] + NIH_HEADER[2:])
    with pytest.raises(UserError, match="has no column Finding Labels"):
        read_nih(lacking, NIH)
    with pytest.raises(UserError, match="line 2 has 1 cells, the header 11"):
        read_nih(_nih(tmp_path / "2", [";".join(_row())]), NIH)
    with pytest.raises(UserError, match=r"holds no Data_Entry_2017\.csv"):
        read_nih(sources / "chexpert", NIH)
    with pytest.raises(UserError, match=r"has no such finding\. Did you mean Edema\?"):
        read_nih(sources / "nih", ReleaseOptions(layout="nih", findings=("Edma",)))
    with pytest.raises(UserError, match="line 3 lists the film of line 2 again"):
        read_nih(_nih(tmp_path / "3", _row(), _row("Nodule")), NIH)
    with pytest.raises(UserError, match=r"holds no train_val_list\.txt"):
        read_nih(tmp_path / "3", ReleaseOptions(layout="nih", published_split=True))
    packed = sources / "mimic" / "mimic-cxr-2.0.0-split.csv.gz"
    cut = tmp_path / packed.name
    cut.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged or truncated"):
        read_table(cut)


def test_flags_that_say_what_the_tables_say_are_refused(sources, tmp_path):
    def refused(sentence: str, **flags: Any) -> None:
        with pytest.raises(UserError, match=sentence):
            image_folder(out=tmp_path / "out", source=sources / "nih", release=NIH, **flags)
        assert not (tmp_path / "out").exists()

    told = "the tables of the release say it"
    refused(told, labels=LabelOptions(labels="table.csv"))
    refused(told, labels=LabelOptions(label_columns=("Mass",)))
    refused(told, patient_from="folder")
    with pytest.raises(UserError, match="says another split"):
        image_folder(
            out=tmp_path / "out",
            source=sources / "nih",
            release=ReleaseOptions(layout="nih", published_split=True),
            options=FilmOptions(split_all_to="test"),
        )
    with pytest.raises(UserError, match="is of a release's layout"):
        ReleaseOptions(views=("PA",))
    with pytest.raises(UserError, match="name no views"):
        ReleaseOptions(layout="medmnist", views=("PA",))


def test_a_film_of_no_table_and_one_without_a_patient_are_left_out(tmp_path):
    source = _nih(tmp_path / "source", _row(), ["b.png", "Mass", "0", "", *_row()[4:]])
    for name, seed in (("b.png", 2), ("c.png", 3)):
        released_films.film(source / "images" / name, seed)
    outcome = prepared(source, tmp_path / "out", "nih")
    assert outcome.tally.rejected == {"no_label": 1, "no_patient": 1}


def test_normal_is_what_the_release_calls_so_and_devices_are_no_finding():
    nothing = {"No Finding": "1", "Edema": "", "Support Devices": "1"}
    assert normal_or_not(nothing) == "normal"
    assert normal_or_not({**nothing, "No Finding": "0"}) == ""
    assert normal_or_not({**nothing, "No Finding": "0", "Edema": "1"}) == "abnormal"


def test_ages_are_whole_years_and_the_oldest_are_one():
    ages = {"058Y": "58", "58": "58", "58.0": "58", "011M": "0", "025M": "2", "411Y": "", "": ""}
    assert {cell: age_in_years(cell) for cell in ages} == ages
    assert age_in_years("93") == age_in_years("090Y") == "90"


def test_other_values_of_a_finding_are_refused():
    with pytest.raises(UserError, match=r"Edema is '2'; expected 1 \(positive\)"):
        Policy().of("2", "train.csv: line 3: Edema")


def test_a_published_split_that_divides_a_patient_is_refused():
    people, keys = ["p", "q", "p"], own_keys(["p", "q"])
    with pytest.raises(UserError, match="1 patients have films in several parts"):
        divided_by_the_source(Split(), people, ["train", "test", "test"], keys, [])
    drawn, notes = divided_by_the_source(Split(), people, ["test", None, "test"], keys, [])
    assert drawn["p"] == "test"
    assert drawn["q"] in ("train", "val")
    assert len(notes) == 2  # what was drawn, and that a split is empty


def _rejected(out: Path) -> list[dict[str, str]]:
    with open(out / "rejected.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def _patients(out: Path) -> list[dict[str, str]]:
    with open(f"{out}.private/patients.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_film_of_two_tables_of_chexpert_is_refused(sources: Path) -> None:
    release = sources / "chexpert" / "CheXpert-v1.0-small"
    valid = release / "valid.csv"
    before = valid.read_bytes()
    try:
        shutil.copy(release / "train.csv", valid)
        with pytest.raises(UserError, match="which another table of the release has too"):
            read_chexpert(release, ReleaseOptions(layout="chexpert"), Policy())
    finally:
        valid.write_bytes(before)

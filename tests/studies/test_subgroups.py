"""Scores and differences within groups of patients that the data know."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import fake_verbs
import numpy as np
import pytest

from metrics.ranking import auroc
from provenance import UserError
from studies.report.downstream.subgroups import subgroups
from studies.report.write import build_report
from studies.run.runner import run_study
from studies.run.subgroups import groups_of_films
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture
def plan() -> dict:
    return {
        "name": "small", "title": "Small", "question": "Does it help?", "seeds": [0, 1],
        "metric": {"name": "auroc", "title": "AUROC", "percent": False},
        "scenarios": [{"id": "plain"}, {"id": "good"}],
        "models": [{"name": "vgg16", "config": "configs/vgg.yaml"}],
        "baseline_scenario": "plain",
    }  # fmt: skip


def test_a_column_of_ages_is_cut_into_bands(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    ages = ("5", "017Y", "18", "39", "40", "79", "80", "101", "60")
    root = film_cache(tmp_path / "ages", labels=ages, films=9)
    (found,) = groups_of_films(root, ("label",))
    assert list(found["films"].values()) == 2 * [
        *("0 to 17", "0 to 17", "18 to 39", "18 to 39", "40 to 59", "60 to 79"),
        *("80 and more", "80 and more", "60 to 79"),
    ]  # two test patients
    assert found["training"] == {
        "0 to 17": 8, "18 to 39": 8, "40 to 59": 4, "60 to 79": 8, "80 and more": 8,
    }  # fmt: skip


def test_other_columns_keep_their_values_and_films_without_one_are_left_out(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    root = film_cache(tmp_path / "sex", labels=("F", "M", ""))
    (found,) = groups_of_films(root, ("label",))
    assert sorted(found["films"].values()) == ["F", "F", "M", "M"]
    assert found["training"] == {"F": 4, "M": 4}
    assert groups_of_films(root, ()) == []


def test_what_the_data_do_not_know_is_refused_before_any_training(
    plan: dict, home: Path, film_cache: Callable[..., Path]
) -> None:
    specification = parse_specification(plan | {"subgroups": ["sex"]}, "plan")
    films = film_cache(home / "films")
    for root, known in ((films, "label"), (home / "data", "nothing")):
        with pytest.raises(UserError, match=rf"knows no 'sex' of its images \(it knows {known}\)"):
            run_study(specification, root, home / "out", fake_verbs.load_verbs, workers=0)
    of_classes = parse_specification(plan | {"subgroups": ["label"]}, "plan")
    with pytest.raises(UserError, match="subgroups: label is what the models tell apart"):
        run_study(of_classes, films, home / "out", fake_verbs.load_verbs, workers=0)
    assert fake_verbs.events() == []
    assert not (home / "out").exists()


def test_scores_of_a_group_are_those_of_its_films_alone(plan: dict, home: Path) -> None:
    specification = parse_specification(plan, "plan")
    out = home / "out"
    run_study(specification, home / "data", out, fake_verbs.load_verbs, workers=0, say=str)
    records = [json.loads(path.read_text()) for path in sorted(out.glob("cells/*.json"))]
    # Patients 0 to 9 are F; of the last one nothing is known.
    films = {
        f"film_{patient}_{film}": "F" if patient < 10 else "M"
        for patient in range(39)
        for film in range(2)
    }
    known = [{"column": "sex", "films": films, "training": {"F": 7, "M": 5}}]
    women, men = subgroups(specification, records, known)
    assert (women["group"], women["patients"], women["films"], women["training"]) == (
        "F",
        10,
        20,
        7,
    )
    assert (men["group"], men["patients"], men["films"], men["training"]) == ("M", 29, 58, 5)
    for found, group in ((women, "F"), (men, "M")):
        expected = []
        for record in records:
            rows = [r for r in record["evaluation"]["images"] if films.get(r["id"]) == group]
            of_all = (
                np.array([r["probability"] for r in rows]),
                np.array([r["label"] for r in rows]),
            )
            if record["scenario"] == "good":
                expected.append(auroc(*of_all))
        (good,) = [one for one in found["groups"] if one["scenario"] == "good"]
        assert good["value"] == pytest.approx(np.mean(expected))
        (difference,) = found["comparisons"]
        (plain,) = [one for one in found["groups"] if one["scenario"] == "plain"]
        assert difference["value"] == pytest.approx(good["value"] - plain["value"])
    study = json.loads((out / "study.json").read_text())
    (out / "study.json").write_text(json.dumps(study | {"subgroups": known}))
    page = build_report(out).read_text()
    assert "Who gains, who loses" in page
    markdown = (out / "report.md").read_text()
    assert "| Sex, vgg16 | F | M |" in markdown
    for told in ("Test patients | 10 | 29", "Test films | 20 | 58", "Real training films | 7 | 5"):
        assert f"| {told} |" in markdown
    assert re.search(r"\| good against plain \| \+\S+ \| \+\S+ \|", markdown)
    few = ("F (too few: 5 patients of a class, 20 needed)", "M (too few: 14 patients of a class")
    assert f"Without an interval: {few[0]}; {few[1]}" in markdown
    assert markdown.count("too few: 5 patients") == 1
    assert "no correction for the number of groups, and no verdict" in markdown

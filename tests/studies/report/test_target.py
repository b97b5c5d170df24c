"""A target that no model finds is the first thing that a report says, and every arm shows it."""

import json
from collections.abc import Callable
from pathlib import Path

import fake_verbs
import pytest

from provenance import UserError
from studies.report.downstream import analyse
from studies.report.downstream.page import page_tables
from studies.report.downstream.target import target_table
from studies.report.write import build_report
from studies.run import downstream
from studies.run.folder import Study
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")

RANGE = {"low": 140, "high": 146, "dice": 0.03, "low_hu": 19.6, "high_hu": 29.0}


def finished(plan: dict, home: Path) -> Path:
    specification = parse_specification(plan, "plan")
    run_study(
        specification,
        home / "data",
        home / "out",
        fake_verbs.load_verbs,
        workers=0,
        say=lambda line: None,
    )
    return home / "out"


def analysed(plan: dict, out: Path, dice: dict[str, list[float | None]]) -> dict:
    """The content with each patient's tumour Dice by cell as given, in turn; others keep theirs."""
    records = [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*seed?.json"))]
    for record in records:
        record["evaluation"]["trivial_grey_range"] = {"tumour": RANGE}
        values = dice.get(record["name"], dice.get("all"))
        if values is not None:
            for index, patient in enumerate(record["evaluation"]["patients"]):
                patient["dice_tumour"] = values[index % len(values)]
    return analyse(parse_specification(plan, "plan"), records, [])


@pytest.fixture
def study(plan: dict, home: Path) -> tuple[dict, Path]:
    plan["target"] = "tumour"
    return plan, finished(plan, home)


def test_a_target_that_no_model_finds_is_the_first_sentence(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(plan, out, {"all": [0.0]})

    first = "No model finds tumour: Dice of tumour is 0.0 % in every arm. "
    assert content["answer"]["headline"].startswith(first)
    without = analysed({**plan, "target": None}, out, {"all": [0.0]})
    assert content["answer"]["headline"] == first + without["answer"]["headline"]
    # Said once: no limit repeats it.
    assert not any("tumour" in limit for limit in content["answer"]["limits"])


def test_a_trace_of_it_is_not_finding_it(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(plan, out, {"all": [0.0], "1__fpn__seed0": [0.004]})

    assert content["answer"]["headline"].startswith(
        "No model finds tumour: Dice of tumour is 0.0 to 0.4 % in every arm. "
    )


def test_arms_without_it_are_named_where_others_find_it(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(
        plan, out, {"all": [0.5, 0.7], "1__fpn__seed0": [0.0], "3__fpn__seed0": [0.0]}
    )

    assert "tumour" not in content["answer"]["headline"]
    (limit,) = [limit for limit in content["answer"]["limits"] if "tumour" in limit]
    assert limit.startswith("Not found (Dice of tumour below 1.0 %): tumour, by FPN in scenarios 1")
    by_arm = {(g["scenario"], g["model"]): g for g in content["target"]["groups"]}
    found = by_arm["1", "unet_light"]
    assert found["value"] == pytest.approx(0.6)
    assert found["low_patients"] < 0.6 < found["high_patients"]


def test_no_better_than_a_threshold_is_said(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(plan, out, {"all": [0.5], "3__fpn__seed0": [0.02]})

    (limit,) = [limit for limit in content["answer"]["limits"] if "grey values" in limit]
    assert limit == (
        "No better at tumour than the best fixed range of grey values (20 to 29 HU, chosen on the "
        "test images themselves), with a Dice of 3.0 %: FPN in scenario 3."
    )


def test_of_several_channels_the_reference_names_its_own(study: tuple[dict, Path]) -> None:
    plan, out = study
    of_channel = {"low": 140, "high": 146, "dice": 0.03, "channel": "T2"}
    content = analysed(plan, out, {"all": [0.02]})
    content["target"]["grey_range"] = of_channel
    table = target_table(parse_specification(plan, "plan"), content)

    assert table is not None
    assert table.footnotes[-1] == (
        "Reference: the best fixed range of grey values (of T2, 140 to 146, chosen on the test "
        "images themselves). No threshold of one channel chosen elsewhere finds more."
    )


def test_nobody_holds_the_target(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(plan, out, {"all": [None]})

    assert "tumour" not in content["answer"]["headline"]
    assert content["answer"]["limits"].count(
        "No test patient holds tumour, so nothing is known of how well it is found."
    )


def test_every_arm_shows_it_beside_the_metric(study: tuple[dict, Path]) -> None:
    plan, out = study
    content = analysed(plan, out, {"all": [0.5, 0.7]})
    specification = parse_specification(plan, "plan")
    table = page_tables(specification, content)["target"]

    assert table is not None
    assert not isinstance(table, list)
    assert table.columns == ("Dice of tumour, %", "U-Net light", "FPN")
    arms = [cell for row in table.rows[:2] for cell in row[1:]]
    assert [cell.text for cell in arms] == ["60.0"] * 4
    values = [100 * group["value"] for group in content["groups"]]
    for cell, value in zip(arms, values, strict=True):
        assert cell.notes[1].startswith(f"IoU {value:.1f} [")
        assert [note.endswith(" patients only") for note in cell.notes] == [True, False]
    assert [cell.text for cell in table.rows[2]][1:] == ["3.0", "3.0"]
    assert table.footnotes[0] == "In small, what this study decides by: IoU in %."
    assert "20 to 29 HU" in table.footnotes[1]


def test_it_stands_before_the_verdicts_and_a_study_without_one_says_nothing(
    study: tuple[dict, Path], home: Path
) -> None:
    _, out = study
    html = build_report(out).read_text()
    assert html.index("Dice of tumour, %") < html.index('class="verdict')
    assert "## The class in question" in (out / "report.md").read_text()

    kept = json.loads((out / "study.json").read_text())
    assert kept["specification"].pop("target") == "tumour"
    (out / "study.json").write_text(json.dumps(kept))
    assert "Dice of tumour" not in build_report(out).read_text()
    assert json.loads((out / "report.json").read_text())["target"] is None


def test_a_classifier_is_shown_by_its_sensitivity(plan: dict, home: Path) -> None:
    plan |= {"target": "abnormal", "metric": {"name": "accuracy", "title": "accuracy"}}
    plan["models"] = [{"name": "vgg", "title": "VGG", "config": "configs/vgg.yaml"}]
    plan["scenarios"] = [{"id": "plain"}, {"id": "good"}]
    plan["baseline_scenario"] = "plain"
    specification = parse_specification(plan, "plan")
    records = []
    for cell in specification.cells():
        (home / cell.name).mkdir()
        evaluation = fake_verbs.classification(cell.name, cell.scenario.id, home / cell.name)
        records.append({**cell.as_dict(), "name": cell.name, "evaluation": evaluation})
    content = analyse(specification, records, [])

    for record, group in zip(records, content["target"]["groups"], strict=True):
        rows = [row for row in record["evaluation"]["images"] if row["label"] == 1]
        assert group["value"] == pytest.approx(sum(row["correct"] for row in rows) / len(rows))
    assert content["target"]["title"] == "sensitivity to abnormal"
    table = target_table(specification, content)
    assert table is not None
    specificity = content["target"]["specificity"][0]["value"]
    assert f"specificity {100 * specificity:.1f}, accuracy" in table.rows[0][1].notes[1]
    for record in records[:1]:  # calls every film abnormal
        for row in record["evaluation"]["images"]:
            row["correct"] = row["label"]
    limits = analyse(specification, records, [])["answer"]["limits"]
    told = (
        "Calls every film abnormal (specificity below 1.0 %), so that its sensitivity says nothing"
    )
    assert f"{told}: VGG in scenario plain." in limits
    for record in records:
        for row in record["evaluation"]["images"]:
            row["correct"] = row["label"]
    headline = analyse(specification, records, [])["answer"]["headline"]
    assert headline.startswith("Every model calls every film abnormal, so none tells them apart.")
    for record in records:
        for row in record["evaluation"]["images"]:
            row["correct"] = 1 - row["label"]
    headline = analyse(specification, records, [])["answer"]["headline"]
    assert headline.startswith(
        "No model finds abnormal: sensitivity to abnormal is 0.0 % in every arm."
    )


@pytest.mark.parametrize("target", ["kidneys", "background"])
def test_a_target_that_the_data_have_not_is_refused_before_training(
    target: str, plan: dict, home: Path
) -> None:
    specification = parse_specification({**plan, "target": target}, "plan")
    study = Study(specification, home / "data", home / "out")

    with pytest.raises(UserError, match=rf"target: {target}: .* it has kidney, tumour\."):
        downstream.ready(study)


def test_films_have_a_target_where_one_class_is_the_positive_one(
    plan: dict, home: Path, film_cache: Callable[..., Path]
) -> None:
    def ready(labels: tuple[str, ...], target: str) -> object:
        films = film_cache(home / f"{target}{len(labels)}", labels=labels)
        specification = parse_specification({**plan, "target": target}, "plan")
        return downstream.ready(Study(specification, films, home / "out")).specification.target

    two, three = ("normal", "pneumonia"), ("normal", "effusion", "mass")
    assert ready(two * 12, "pneumonia") == "pneumonia"
    with pytest.raises(UserError, match=r"target: normal: .* it has pneumonia\."):
        ready(two * 12, "normal")
    with pytest.raises(UserError, match=r"target: mass: .* has 3 classes"):
        ready(three * 8, "mass")


def test_a_study_of_generators_has_no_target(plan: dict) -> None:
    del plan["metric"], plan["generator"], plan["baseline_scenario"]
    plan |= {"distances": {"num_images": 8}, "target": "tumour"}
    plan["scenarios"] = [{"id": 1, "name": "real only"}]

    with pytest.raises(UserError, match="target: a study with `distances` trains generators"):
        parse_specification(plan, "plan")

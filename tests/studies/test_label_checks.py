"""`label_check: true`: the baseline's models are asked for the labels of every synthetic set."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from provenance import UserError
from studies.report.downstream.label_table import label_sentence
from studies.report.write import build_report
from studies.run.label_checks import judges_of
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")
CHECKED = "labels seed_0 by 1__unet_light__seed0 test"


def go(plan: dict, home: Path, **settings: Any) -> StudyOutcome:
    specification = parse_specification(plan, "small.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    settings = {"workers": 0, "say": lambda line: None} | settings
    return run_study(specification, home / "data", home / "out", fake_verbs.load_verbs, **settings)


def checks_done() -> list[str]:
    return [event for event in fake_verbs.events() if event.startswith("labels ")]


def test_a_set_is_asked_for_once_by_the_baseline_of_its_seed(plan: dict, home: Path) -> None:
    plan["label_check"] = True
    assert not go(plan, home).failed
    assert checks_done() == [CHECKED]  # of the first model
    assert go(plan, home).done == []
    assert checks_done() == [CHECKED]
    # made anew: other images are asked for again
    manifest = home / "out/synthetic/seed_0/manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 7'))
    go(plan, home)
    assert checks_done() == [CHECKED] * 2


def test_it_may_be_added_to_a_finished_study_and_waits_for_its_model(
    plan: dict, home: Path
) -> None:
    go(plan, home, only="3__*")
    plan["label_check"] = True
    assert not go(plan, home, only="3__*").failed
    assert not checks_done()  # the baseline is not trained yet
    assert not go(plan, home).failed
    assert checks_done() == [CHECKED]


def test_the_report_says_how_often_labels_are_found(plan: dict, home: Path) -> None:
    plan["label_check"] = True
    go(plan, home)
    build_report(home / "out")
    content = json.loads((home / "out/report.json").read_text())
    assert content["labels_found"]["seed_0"]["asked"] == "1__unet_light__seed0"
    assert (
        "Labels that models of real images find in synthetic images: kidney in 75 % (80 % of real "
        "ones) and tumour in 12 % (50 % of real ones)."
    ) in content["data_notes"]
    page, text = (home / "out/report.html").read_text(), (home / "out/report.md").read_text()
    assert "Are the labels of synthetic images found?" in page
    assert "marks it with a Dice of 0.5 or more" in page
    [row] = [line for line in text.splitlines() if line.startswith("|  | tumour |")]
    assert all(number in row for number in ("12.5", "50.0", "37.5"))


def test_a_check_that_fails_is_told_and_tried_again(plan: dict, home: Path) -> None:
    plan["label_check"] = True
    fake_verbs.order("labels", "fail")
    outcome = go(plan, home)
    assert [name for name, _ in outcome.failed] == ["labels__seed_0"]
    fake_verbs.order("labels", "")
    assert not go(plan, home).failed
    assert len(checks_done()) == 2


def test_sets_of_a_size_are_asked_of_the_baseline_of_that_size(plan: dict) -> None:
    plan["generator"]["labels"] = "masks"
    for scenario in plan["scenarios"]:
        scenario["sizes"] = [0.5, 1]
    plan["baseline_scenario"] = "1_100"
    specification = parse_specification(plan, "small.yaml")
    judges = judges_of(specification)
    assert judges["seed_0__size0.5"] == "1_50__unet_light__seed0"
    assert judges["seed_0"] == "1_100__unet_light__seed0"
    assert judges["given"] == "1_100__unet_light__seed0"
    assert judges.get("seed_4") is None


def test_nothing_to_ask_and_nobody_to_ask_are_refused(plan: dict) -> None:
    plan["label_check"] = True
    plan["baseline_scenario"] = 3
    with pytest.raises(UserError, match="the baseline 3 is shown synthetic ones"):
        parse_specification(plan, "small.yaml")
    plan["baseline_scenario"] = 1
    del plan["generator"]
    plan["scenarios"] = plan["scenarios"][:1]
    with pytest.raises(UserError, match="label_check: this study shows no model synthetic images"):
        parse_specification(plan, "small.yaml")


def test_each_generator_has_its_range(plan: dict) -> None:
    plan["generators"] = {name: dict(plan["generator"]) for name in ("a", "b")}
    plan["generators"]["a"]["title"] = "First"
    del plan["generator"]
    plan["scenarios"][1] |= {"generator": "a"}
    plan["scenarios"].append({"id": 4, "synthetic": True, "generator": "b"})
    shares = {"a__seed_0": 0.25, "a__seed_1": 0.5, "b__seed_0": 1.0}
    checks = {
        name: {"summary": {"found:x:synthetic": {"value": share}}} for name, share in shares.items()
    }
    told = label_sentence(parse_specification(plan, "small.yaml"), checks)
    assert told.endswith(": First: x in 25 to 50 %; b: x in 100 %.")

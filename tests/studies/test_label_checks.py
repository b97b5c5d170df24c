"""`label_check: true`: the baseline's models are asked for the labels of every synthetic set."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from datamodules.synthetic import SyntheticSet
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
    assert "16 images of 8 patients" in text  # of the class, of 32 in all
    assert "| seed_0 | kidney |" in text
    [row] = [line for line in text.splitlines() if line.startswith("|  | tumour |")]
    assert all(number in row for number in ("12.5", "50.0", "37.5"))


def test_a_check_by_another_model_does_not_stand_for_the_studys_own(plan: dict, home: Path) -> None:
    """Neither in the set's record nor in the report; what the other model found stays recorded."""
    plan["label_check"] = True
    go(plan, home)
    manifest = home / "out/synthetic/seed_0/manifest.json"
    content = json.loads(manifest.read_text())
    own, other = content["found_labels"], {"evaluation_sha256": "f" * 64}
    manifest.write_text(json.dumps({**content, "found_labels": other}))  # as earlier versions did
    go(plan, home)
    assert checks_done() == [CHECKED] * 2
    assert own[0] in SyntheticSet.open(manifest.parent).manifest["found_labels"]
    check = home / "out/labels/seed_0/evaluation.json"
    check.write_text(json.dumps({**json.loads(check.read_text()), "checkpoint_sha256": "0" * 64}))
    build_report(home / "out")
    found = json.loads((home / "out/report.json").read_text())
    assert "labels_found" not in found
    assert any("by another model than the study's own" in note for note in found["data_notes"])
    go(plan, home)
    build_report(home / "out")
    assert "seed_0" in json.loads((home / "out/report.json").read_text())["labels_found"]


def test_the_first_screen_carries_what_a_reader_must_know(plan: dict, home: Path) -> None:
    plan["label_check"] = True
    fake_verbs.order("painted", "yes")
    fake_verbs.order("told apart", "no")
    lines: list[str] = []
    go(plan, home, say=lines.append)
    told = "75 % of kidney and 12 % of tumour found in 8 images; shows nothing about tumour ("
    assert any(told in line for line in lines)
    build_report(home / "out")
    content = json.loads((home / "out/report.json").read_text())
    assert (
        "Labels that models of real images find in synthetic images: kidney in 75 % (80 % of real "
        "ones) and tumour in 12 % (50 % of real ones; shows nothing, since the model is not shown "
        "to recognise tumour in real images), but the painted slices are real ones outside the "
        "lesion, and the model that is asked was trained on the same patients' slices."
    ) in content["data_notes"]
    assert "seed_0: Nothing is shown." in (home / "out/report.md").read_text()


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
        name: {
            "summary": {"found:x:synthetic": {"value": share}},
            "shows_nothing": {},
            "painted": False,
        }
        for name, share in shares.items()
    }
    told = label_sentence(parse_specification(plan, "small.yaml"), checks)
    assert told.endswith(": First: x in 25 to 50 %; b: x in 100 %.")

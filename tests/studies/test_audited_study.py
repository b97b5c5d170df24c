"""A study that audits its synthetic sets: when, what is said, and the report's second answer."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

import study
from provenance import UserError
from studies.report.copies import next_steps
from studies.report.write import build_report
from studies.run.outcome import StudyOutcome, closing_lines
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


def go(plan: dict, home: Path, said: list[str] | None = None, **settings: Any) -> StudyOutcome:
    specification = parse_specification(plan, "small.yaml")
    say = said.append if said is not None else lambda line: None
    return run_study(
        specification, home / "data", home / "out", fake_verbs.load_verbs, workers=0, say=say,
        **settings,
    )  # fmt: skip


def told(home: Path) -> dict[str, Any]:
    build_report(home / "out")
    content: dict[str, Any] = json.loads((home / "out/report.json").read_text())
    return content


def audits_done() -> list[str]:
    return [event for event in fake_verbs.events() if event.startswith("audit")]


def test_a_set_is_audited_once_and_after_the_trainings(plan: dict, home: Path) -> None:
    said: list[str] = []
    outcome = go({**plan, "audit": True}, home, said)
    assert outcome.failed == []
    assert audits_done() == ["audit seed_0 None"]
    assert fake_verbs.events()[-1] == "audit seed_0 None"
    assert any(line.startswith("audit__seed_0: nothing found (") for line in said)
    go({**plan, "audit": True}, home)
    assert len(audits_done()) == 1


def test_an_audit_is_added_to_a_finished_study_and_nothing_is_trained(
    plan: dict, home: Path
) -> None:
    go(plan, home)
    content = told(home)
    assert content["copies"]["headline"].startswith("Copies or not: not audited.")
    assert any("write `audit: true` into the study's YAML" in one for one in content["next_steps"])
    before = fake_verbs.events()
    outcome = go({**plan, "audit": {"require": "copies<=0.5"}}, home)
    assert outcome.done == []
    new = fake_verbs.events()[len(before) :]
    assert [one for one in new if one != "load_verbs"] == ["audit seed_0 copies<=0.5"]
    assert outcome.required[0]["verdict"] == "holds"
    assert "Required: all hold (exit status 0)" in closing_lines(outcome, home / "out", 1.0)
    # Other rules or settings: audited again.
    go({**plan, "audit": {"require": "copies<=0.4", "num_images": 100}}, home)
    assert len(audits_done()) == 2


def test_the_report_opens_with_both_answers(plan: dict, home: Path) -> None:
    go({**plan, "audit": {"require": "copies<=0.5"}}, home)
    content = told(home)
    assert content["copies"]["headline"] == (
        "No copies found in 1 synthetic set. With 95 % confidence, at most 30.0 % of a set are "
        "copies mixed evenly over the planted kinds; if all were of the kind “noise 0.2”, at most "
        "80.0 %."
    )
    [line] = content["copies"]["lines"]
    assert (line["set"], line["verdict"]) == ("seed_0", "nothing found")
    assert "does not decide whether a set may be handed on" in content["next_steps"][-1]
    assert "images" not in content["audits"]["seed_0"]
    page = (home / "out/report.html").read_text()
    first, second = page.index(content["answer"]["headline"]), page.index("No copies found in 1")
    assert first < second < page.index("What to do next") < page.index('class="meta"')
    assert "copies&lt;=0.5: holds" in page
    text = (home / "out/report.md").read_text()
    assert "**No copies found in 1 synthetic set" in text
    assert "What to do next:" in text


def test_copies_are_told_with_what_to_do(plan: dict, home: Path) -> None:
    fake_verbs.order("audit", "copies")
    outcome = go({**plan, "audit": {"require": "copies<=0.01"}}, home)
    assert outcome.required[0]["verdict"] == "does not hold"
    content = told(home)
    assert content["copies"]["headline"].startswith(
        "Copies: images of 1 of 1 synthetic set (seed_0) resemble training images more than by"
    )
    steps = " ".join(content["next_steps"])
    for wanted in ("Keep the sets where the data are", "duplicates", "earlier checkpoint",
                   "--drop-copies"):  # fmt: skip
        assert wanted in steps


def test_an_attack_that_succeeds_is_no_clean_answer(plan: dict, home: Path) -> None:
    go({**plan, "audit": True}, home)
    file = home / "out/audits/seed_0/audit.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps({**found, "attacks_succeeded": ["a membership attack"]}))
    content = told(home)
    assert "an attack succeeded on seed_0" in content["copies"]["headline"]
    assert "who was in the training set" in content["next_steps"][-1]


def test_the_status_of_the_command_is_that_of_the_rules(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    monkeypatch.setattr(study, "load_verbs", fake_verbs.load_verbs)
    monkeypatch.setattr("study.load_specification", lambda path: parse_specification(
        yaml.safe_load(path.read_text()), str(path)
    ))  # fmt: skip
    fake_verbs.order("audit", "copies")
    words = ["run", "small.yaml", "--data.root", "data", "--out", "out", "--workers", "0"]
    monkeypatch.chdir(home)
    for audit, status in (({"require": "copies<=0.01"}, 3), (True, 0)):
        (home / "small.yaml").write_text(yaml.safe_dump({**plan, "audit": audit}))
        assert study.main(words) == status
    assert "copies<=0.01: does not hold" in capsys.readouterr().out


def test_an_audit_that_fails_is_a_failure_of_its_own_and_tried_again(
    plan: dict, home: Path
) -> None:
    fake_verbs.order("audit", "fail")
    outcome = go({**plan, "audit": True}, home)
    assert [name for name, _ in outcome.failed] == ["audit__seed_0"]
    content = told(home)
    assert [failure["name"] for failure in content["failures"]] == ["audit__seed_0"]
    assert "an audit needs 30" in content["failures"][0]["message"]
    assert content["copies"]["headline"].startswith("Copies or not: not audited.")
    fake_verbs.order("audit", "")
    assert go({**plan, "audit": True}, home).failed == []
    assert told(home)["failures"] == []


def test_an_audit_of_other_images_is_none(plan: dict, home: Path) -> None:
    go({**plan, "audit": True}, home)
    manifest = home / "out/synthetic/seed_0/manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "seed": 7}))
    assert told(home)["copies"]["headline"].startswith("Copies or not: not audited.")
    go({**plan, "audit": True}, home)
    assert len(audits_done()) == 2
    (home / "out/audits/seed_0/audit.json").write_text("{}")
    with pytest.raises(UserError, match=r"audit.json: is not what evaluate.py audit writes"):
        build_report(home / "out")


@pytest.mark.parametrize(
    ("audit", "sentence"),
    [
        ({"require": "copies"}, r"audit.require 'copies': 'copies' is no rule"),
        ({"split": "train"}, r"audit.split: train: expected one of val, test, val\+test"),
        ({"num_planted": 3}, r"audit.num_planted: 3: expected 20 or more"),
        ({"num_images": -1}, r"audit.num_images: -1: expected 0 or more"),
        ({"requires": "a<1"}, r"audit.requires: unknown key. Did you mean require"),
        ("yes", r"audit: expected a mapping"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    plan: dict, home: Path, audit: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        go({**plan, "audit": audit}, home)
    assert fake_verbs.events() == []


def test_a_study_without_synthetic_images_has_one_answer(plan: dict, home: Path) -> None:
    real = {**plan, "scenarios": [plan["scenarios"][0]], "generator": None}
    with pytest.raises(UserError, match=r"audit: this study makes no synthetic set to audit"):
        go({**real, "audit": True}, home)
    go({**real, "audit": False}, home)
    assert told(home)["copies"] is None


def test_a_study_of_generators_audits_the_films_of_every_cell(home: Path) -> None:
    plan = {
        "name": "gans", "title": "GANs", "question": "Which?", "seeds": [0], "audit": True,
        "distances": {"extractor": "random_vgg", "num_images": 8},
        "scenarios": [{"id": "all", "name": "all films"}],
        "models": [{"name": "dcgan", "title": "DCGAN", "config": "configs/dcgan.yaml"}],
    }  # fmt: skip
    assert go(plan, home).failed == []
    assert audits_done() == ["audit all__dcgan__seed0 None"]
    assert told(home)["copies"]["lines"][0]["set"] == "all__dcgan__seed0"


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        ("helps", "It helps where the first answer says so"),
        ("hurts", "train without it there"),
        ("no difference shown", "more seeds or more test patients"),
    ],
)
def test_what_to_do_follows_from_the_first_answer(verdict: str, wanted: str) -> None:
    assert wanted in next_steps({"lines": [{"verdict": verdict}]}, None)[0]
    assert next_steps({"lines": []}, None) == []

"""External test sets of a study: when cells are tested on them, what is refused, what is shown."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from provenance import UserError
from studies.report.write import build_report
from studies.run.external_sets import external_lines, paths_given
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
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


def go(plan: dict, home: Path, said: list[str] | None = None, **external: Path) -> StudyOutcome:
    specification = parse_specification(plan, "small.yaml")
    say = said.append if said is not None else lambda line: None
    return run_study(
        specification, home / "data", home / "out", fake_verbs.load_verbs, workers=0, say=say,
        external=external,
    )  # fmt: skip


def evaluated() -> list[str]:
    return [event for event in fake_verbs.events() if event.startswith("external")]


def test_a_set_is_added_to_a_finished_study_and_nothing_is_trained(plan: dict, home: Path) -> None:
    far = fake_verbs.write_cache(home / "far", hashes="far")
    go(plan, home)
    trained = [event for event in fake_verbs.events() if event.startswith("fit")]
    whole = {**plan, "external": ["far"]}
    said: list[str] = []
    assert go(whole, home, said, far=far).failed == []
    assert [event for event in fake_verbs.events() if event.startswith("fit")] == trained
    assert len(evaluated()) == 4
    assert any("4 evaluations on external sets, which train nothing" in one for one in said)
    go(whole, home)  # its path is known from before, and all is done
    assert len(evaluated()) == 4

    build_report(home / "out")
    content: dict[str, Any] = json.loads((home / "out/report.json").read_text())
    (one,) = content["external"]
    assert (one["name"], one["declared"], one["missing"]) == ("far", False, [])
    assert one["tested"][0] == {"images": 80, "patients": 40}
    for group in one["groups"]:
        there, here = group["external"]["value"], group["internal"]["value"]
        assert group["drop"]["value"] == pytest.approx(there - here)
    (pair,) = one["comparisons"]
    assert pair["verdict"] == "exploratory"
    drops = {group["scenario"]: group["drop"]["value"] for group in one["groups"]}
    assert pair["value"] == pytest.approx(drops["good"] - drops["plain"])
    text = (home / "out/report.md").read_text()
    assert "## Tested elsewhere" in text
    assert "| far, vgg16 | Own test split | External | Drop | Each seed's drop |" in text
    assert "Tested on far too (80 images of 40 patients): AUROC of scenario plain: vgg16" in text
    assert f"--external far={far}" in text

    # Other images under the name: tested again.
    other = fake_verbs.write_cache(home / "other", hashes="other")
    go(whole, home, far=other)
    assert len(evaluated()) == 8
    # Without the weights nothing can be tested, and it is said.
    for checkpoint in (home / "out/runs").glob("good*seed0/**/*.ckpt"):
        checkpoint.unlink()
    failed = go(whole, home, far=far).failed
    assert [name for name, _ in failed] == ["external__far__good__vgg16__seed0"]
    assert "checkpoint is gone" in failed[0][1]
    build_report(home / "out")
    text = (home / "out/report.md").read_text()
    assert "Not tested there: good\\_\\_vgg16" in text or "Not tested there: good__vgg16" in text


def test_a_declared_set_has_verdicts_of_its_own_family(plan: dict, home: Path) -> None:
    far = fake_verbs.write_cache(home / "far", hashes="far")
    both = ["far", "further"]
    whole = {**plan, "external": both, "external_primary": ["far"], "placebo": True}
    go(whole, home, far=far, further=fake_verbs.write_cache(home / "further", hashes="further"))
    build_report(home / "out")
    sets = json.loads((home / "out/report.json").read_text())["external"]
    declared, explored = ({row["scenario"]: row for row in one["comparisons"]} for one in sets)
    assert declared["good"]["verdict"] in ("drops less", "drops more", "no difference shown")
    assert explored["good"]["verdict"] == "exploratory"
    assert declared["good"]["p_holm"] == pytest.approx(declared["good"]["p"])  # alone in its family
    assert declared["placebo"]["verdict"] == "placebo"
    decides = json.loads((home / "out/study.json").read_text())["decisions"][-1]["decides"]
    assert decides["the external sets that decide"] == "far"


def test_what_is_wrong_is_told_before_anything_is_trained(plan: dict, home: Path) -> None:
    far = fake_verbs.write_cache(home / "far", hashes="far")
    whole = {**plan, "external": ["far"]}
    small = fake_verbs.write_cache(home / "small", image_size=32, hashes="small")
    manifest = json.loads((far / "manifest.json").read_text())
    for given, wrong, sentence in (
        (whole, {}, r"external: far: where it lies is not known. Add --external far=CACHE"),
        (plan, {"far": far}, r"no external set 'far'. It has none. Write `external: \[far\]`"),
        (whole, {"fra": far}, "no external set 'fra'. Did you mean far"),
        (whole, {"far": home / "data"}, "holds the study's own images"),
        (whole, {"far": small}, "holds images of 32 px, and the study's are of 64 px"),
    ):
        with pytest.raises(UserError, match=sentence):
            go(given, home, **wrong)
    (far / "manifest.json").write_text(
        json.dumps({**manifest, "class_names": ["background", "kidney", "cyst"]})
    )
    with pytest.raises(UserError, match="has the classes background, kidney, cyst, and the study"):
        go(whole, home, far=far)
    assert fake_verbs.events() == []
    assert not (home / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"external": ["data/far"]}, r"external: 'data/far': expected the name of a test set"),
        ({"external": ["far", "far"]}, "external holds far more than once"),
        ({"external": "far"}, r"external: expected a list of names such as \[kermany\]"),
        (
            {"external": ["far"], "external_primary": ["fra"]},
            "external_primary: fra: is no external set of this study. Did you mean far",
        ),
    ],
)
def test_names_that_are_none_are_refused(plan: dict, wrong: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_specification({**plan, **wrong}, "plan")


def test_paths_are_given_by_name(plan: dict, home: Path) -> None:
    given = paths_given(["near=a", "far=b=c"])
    assert given == {"near": Path("a"), "far": Path("b=c")}
    for words, sentence in ((["far"], "expected NAME=CACHE"), (["a=b", "a=c"], "a is b already")):
        with pytest.raises(UserError, match=sentence):
            paths_given(words)
    study = parse_specification({**plan, "external": ["far", "near"]}, "plan")
    lines = external_lines(study, {"far": home / "data"})
    assert lines[1].startswith("External tests: 2 external sets x 4 cells: 8 evaluations, which")
    assert lines[2].endswith("32 images of 8 patients")
    assert "--external near=CACHE" in lines[3]
    assert external_lines(parse_specification(plan, "plan"), {}) == []

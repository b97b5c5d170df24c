"""A study may be given a finished set of synthetic images in place of a generator."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import numpy as np
import pytest
from PIL import Image

import study
from datamodules.synthetic import SyntheticSet
from provenance import UserError
from studies.report.write import build_report
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.listing import size_of
from studies.specification.read import load_specification, parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


def write_set(root: Path, grey: int = 90) -> Path:
    """A set of two slices of the fake cache's size, of a generator that nobody knows."""
    for kind, value in (("images", grey), ("masks", 1)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            image = Image.fromarray(np.full((64, 64), value, np.uint8))
            image.save(root / kind / f"s{number}.png")
    manifest = {
        "format": "understudy-synthetic",
        "image_size": 64,
        "class_names": fake_verbs.CLASS_NAMES,
        "shows": "slices",
        "source": {"images_sha256": str(grey)},
        "generator": {"made_by": "a vendor", "trained_on": "unknown", "of_unknown": True},
        "items": [{"id": f"s{number}", "class_pixels": [0, 4096, 0]} for number in range(2)],
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture
def given(plan: dict[str, Any], home: Path) -> dict[str, Any]:
    """The small study with two seeds and a set."""
    del plan["generator"]
    return plan | {"synthetic": str(write_set(home / "vendor")), "seeds": [0, 1]}


def go(plan: dict[str, Any], home: Path, **settings: Any) -> StudyOutcome:
    settings = {"workers": 0, "say": lambda line: None} | settings
    read = parse_specification(plan, "a")
    return run_study(read, home / "data", home / "out", fake_verbs.load_verbs, **settings)


def test_no_generator_is_trained_and_all_seeds_share_the_set(
    given: dict[str, Any], home: Path
) -> None:
    outcome = go(given, home)
    assert len(outcome.done) == 8
    assert not any("generate" in event for event in fake_verbs.events())
    for seed in (0, 1):
        cell = json.loads((home / f"out/cells/3__fpn__seed{seed}.json").read_text())
        assert f"--data.synthetic {home / 'vendor'}" in cell["commands"][0]
        made = SyntheticSet.open(home / "vendor")
        assert cell["settings"]["synthetic_set"] == made.content_sha256
    baseline = json.loads((home / "out/cells/1__fpn__seed0.json").read_text())
    assert "synthetic_set" not in baseline["settings"]
    page = build_report(home / "out").read_text()
    assert "All seeds share one set of synthetic images (vendor)" in page
    assert "is one draw" in page
    assert "The set vendor, of all seeds." in page
    assert size_of(parse_specification(given, "a")).startswith("8 trainings (2 scenarios")
    assert "generator" not in size_of(parse_specification(given, "a"))


def test_the_set_is_audited_once(given: dict[str, Any], home: Path) -> None:
    go(given | {"audit": {"require": "copies<=0.5"}}, home, only="3__fpn*")
    assert [event for event in fake_verbs.events() if event.startswith("audit")] == [
        "audit vendor copies<=0.5"
    ]
    report = json.loads((build_report(home / "out").parent / "report.json").read_text())
    assert [*report["audits"]] == ["given"]
    assert report["copies"]["audited"] == 1
    write_set(home / "vendor", grey=12)  # another set in its place: the audit was not of it
    report = json.loads((build_report(home / "out").parent / "report.json").read_text())
    assert report["audits"] == {}


def test_another_set_in_its_place_is_another_study(given: dict[str, Any], home: Path) -> None:
    go(given, home, only="3__fpn__seed0")
    moved = (home / "vendor").rename(home / "elsewhere")
    again = go(given | {"synthetic": str(moved)}, home, only="3__fpn__seed0")
    assert again.already_done == ["3__fpn__seed0"]  # where it lies does not count
    write_set(moved, grey=91)
    with pytest.raises(UserError, match="synthetic_set was"):
        go(given | {"synthetic": str(moved)}, home)
    assert "holds other images than those of the study" in build_report(home / "out").read_text()


def test_the_plan_counts_with_the_set_and_the_path_is_found_beside_the_study(
    given: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import yaml

    monkeypatch.setattr(study, "load_verbs", fake_verbs.load_verbs)
    for model in given["models"]:
        (home / model["config"]).parent.mkdir(exist_ok=True)
        (home / model["config"]).write_text("model: {}\n")
    path = home / "plan.yaml"
    path.write_text(yaml.safe_dump(given | {"synthetic": "vendor"}))
    assert load_specification(path).synthetic == str(home / "vendor")
    words = ["plan", str(path), "--data.root", str(home / "data"), "--no-measure"]
    assert study.main(words) == 0
    printed = capsys.readouterr().out
    assert "of the generator" not in printed
    assert any(f"--data.synthetic {home / 'vendor'}" in event for event in fake_verbs.events())
    assert study.main(["list", str(home)]) == 0
    assert f"the synthetic set {home / 'vendor'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"generator": {"config": "g.yaml", "num_images": 1}}, "Leave one out"),
        ({"scenarios": [{"id": 1}, {"id": 2}]}, "so the set joins none"),
        ({"synthetic": None}, "or give a finished set with `synthetic: FOLDER`"),
    ],
)
def test_what_does_not_go_together_is_said(
    given: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_specification(given | change, "a")


def test_a_set_that_is_not_there_or_labels_for_it_stop_the_study(
    given: dict[str, Any], home: Path
) -> None:
    with pytest.raises(UserError, match="is not a finished synthetic set"):
        go(given | {"synthetic": str(home / "none")}, home)
    with pytest.raises(UserError, match="are for a generator, and this study has a finished set"):
        go(given, home, labels=home / "data")
    assert not (home / "out/cells").exists()

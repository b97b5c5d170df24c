"""What decides is kept as it was at the first cell; a later change is said, and stays said."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from studies.report.write import build_report
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


def go(plan: dict, home: Path, **settings: Any) -> list[str]:
    """What a run says, and then the first limits of its report."""
    said: list[str] = []
    specification = parse_specification(plan, "small.yaml")
    out = home / "out"
    given = {"workers": 0, "say": said.append} | settings
    run_study(specification, home / "data", out, fake_verbs.load_verbs, **given)
    build_report(out)
    limits = json.loads((out / "report.json").read_text())["answer"]["limits"]
    told = [line for line in said if line.startswith("Changed after")]
    assert [limit for limit in limits if limit.startswith("Changed after")] == told
    assert limits[: len(told)] == told
    for line in told:
        assert line in (out / "report.md").read_text()
    return told


@pytest.fixture
def finished(plan: dict, home: Path) -> dict:
    plan |= {"models": plan["models"][:1], "seeds": [0, 1]}
    plan["scenarios"].append({"id": "5", "arguments": ["--data.x", "1"]})
    assert go(plan, home) == []
    return plan


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"confidence": 0.8}, "confidence was 0.95, is 0.8"),
        ({"primary": ["3"]},
         "the primary family was 3 against 1, 5 against 1, is 3 against 1"),
        ({"metric": {"name": "iou_foreground"}},
         "metric was iou_mean (higher is better), is iou_foreground (higher is better)"),
        ({"target": "tumour"}, "target was none, is tumour"),
        ({"extra_comparisons": [["3", "5"]]}, "is 3 against 1, 5 against 1, 3 against 5"),
        ({"seeds": [0, 1, 2]}, "seeds was 0, 1, is 0, 1, 2"),
    ],
)  # fmt: skip
def test_a_change_after_results_is_said(
    finished: dict, home: Path, change: dict, sentence: str
) -> None:
    (told,) = go(finished | change, home)
    assert told.startswith("Changed after 6 cells had been finished, and results could be seen: ")
    assert sentence in told


def test_a_change_stays_said_by_run_and_report_for_ever(finished: dict, home: Path) -> None:
    assert go(finished, home) == []
    changed = finished | {"confidence": 0.8}
    (told,) = go(changed, home)
    assert go(changed, home) == [told]
    first, second = go(finished, home)
    assert first == told  # turned back: both changes stay
    assert second.startswith("Changed after 6 cells")


def test_what_decides_nothing_or_comes_before_any_cell_is_no_change(plan: dict, home: Path) -> None:
    plan |= {"models": plan["models"][:1], "seeds": [0]}
    fake_verbs.order("1__unet_light__seed0", "fail")
    fake_verbs.order("3__unet_light__seed0", "fail")
    assert go(plan, home) == []
    (home / "control/1__unet_light__seed0").unlink()
    assert go(plan | {"confidence": 0.9}, home) == []
    other = plan | {"confidence": 0.9, "title": "Another title", "placebo": True, "seeds": [0, 1]}
    assert go(other, home) == []  # from one seed more are what the report asks for


def test_a_folder_of_an_earlier_version_is_held_to_its_last_specification(
    finished: dict, home: Path
) -> None:
    path = home / "out/study.json"
    study = json.loads(path.read_text())
    del study["decisions"]
    path.write_text(json.dumps(study))
    build_report(home / "out")
    (told,) = go(finished | {"confidence": 0.9}, home)
    assert "confidence was 0.95, is 0.9" in told

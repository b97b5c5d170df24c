"""The report of fair arms: both controls decide, and the placebo stands beside them."""

import json
from pathlib import Path

import fake_verbs
import pytest

from studies.report.write import build_report
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")

STEPS, REAL = "as many images, all real", "as many real images"


def report(plan: dict, home: Path, **gains: float) -> dict:
    """report.json of the small study, whose scenario 3 has controls and a placebo beside it."""
    plan["scenarios"][1] |= {"controls": True, "name": "half of the images synthetic"}
    plan |= {"placebo": True, "models": plan["models"][:1], "seeds": [0, 1, 2]}
    fake_verbs.order("gains", json.dumps({name.strip("_"): gain for name, gain in gains.items()}))
    specification = parse_specification(plan, "plan")
    out = home / "out"
    run_study(specification, home / "data", out, fake_verbs.load_verbs, workers=0, say=str)
    build_report(out)
    content: dict = json.loads((out / "report.json").read_text())
    return content


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"_3": 0.2}, "helps"),
        ({"_3": -0.2}, "hurts"),
        ({"_3": 0.2, "_3_steps": 0.4}, "no difference shown"),  # as many real images do better
        ({"_3": 0.2, "_1": 0.4}, "no difference shown"),
        ({"_3": 0.2, "_1": 0.2}, "no difference shown"),
    ],
)
def test_a_scenario_helps_only_against_both_controls(
    plan: dict, home: Path, gains: dict[str, float], verdict: str
) -> None:
    content = report(plan, home, **gains)
    line, placebo = content["answer"]["lines"]
    assert line["verdict"] == verdict
    assert line["pair"] == "half of the images synthetic: scenario 3 against 3_steps and 1"
    assert f"against {STEPS}; " in line["numbers"]
    assert f"against {REAL}, p" in line["numbers"]
    named = "Synthetic data hel" if verdict == "helps" else "Synthetic data hur"
    beats = content["answer"]["headline"].startswith(named)
    assert beats == (verdict in ("helps", "hurts"))
    if beats:
        assert "U-Net light (half of the images synthetic)." in content["answer"]["headline"]
    assert placebo["pair"] == "placebo: the difference that nothing made"
    assert placebo["verdict"] == "placebo"
    assert not any("`controls: true`" in limit for limit in content["answer"]["limits"])


def test_the_family_holds_claims_and_neither_controls_nor_placebo(plan: dict, home: Path) -> None:
    content = report(plan, home, _3=0.2)
    rows = {(c["scenario"], c["against"]): c for c in content["comparisons"]}
    assert {pair: row["role"] for pair, row in rows.items()} == {
        ("3", "3_steps"): "primary", ("3", "1"): "primary", ("placebo", "1"): "placebo",
    }  # fmt: skip
    assert content["tests"]["family_size"] == 1
    steps, real = rows["3", "3_steps"], rows["3", "1"]
    assert steps["p_holm"] == real["p_holm"] == max(steps["p"], real["p"])
    assert rows["placebo", "1"]["p_holm"] is None
    assert len(rows["placebo", "1"]["per_seed"]) == 3
    assert abs(rows["placebo", "1"]["value"]) < 0.02  # the fake's noise


def test_the_page_says_what_was_shown(plan: dict, home: Path) -> None:
    content = report(plan, home)
    assert [(row["scenario"], row["images"], row["real"]) for row in content["shown"]] == [
        ("1", 768, 768), ("3", 1536, 768), ("3_steps", 1536, 1536), ("placebo", 768, 768),
    ]  # fmt: skip
    markdown = (home / "out/report.md").read_text()
    assert "images synthetic 1,536 images shown: half of the images synthetic |" in markdown
    assert "an intersection-union test" in markdown
    assert "Nothing made its difference" in markdown


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "3 against 1: it shows 1,536 images, and no control as many (scenario 1: 768)."),
        (
            ["--data.synthetic_share", "1"],
            "3 against 1: it shows 384 real images, and no control as many (scenario 1: 768).",
        ),
    ],
)
def test_a_lacking_control_is_said(
    plan: dict, home: Path, flags: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if flags:  # as with --data.images_per_epoch
        monkeypatch.setattr(fake_verbs, "shown", lambda args: (768, 384))
    plan["scenarios"][1]["arguments"] = flags
    plan["seeds"] = [0, 1, 2]
    fake_verbs.order("gains", json.dumps({"3": 0.2}))
    specification = parse_specification(plan, "plan")
    out = home / "out"
    run_study(specification, home / "data", out, fake_verbs.load_verbs, workers=0, say=str)
    build_report(out)
    answer = json.loads((out / "report.json").read_text())["answer"]
    limits = answer["limits"]
    assert answer["headline"].startswith(
        "Whether synthetic data helps or hurts is not shown, since "
    )
    assert "a control is lacking: scores are better for" in answer["headline"]
    assert {line["verdict"] for line in answer["lines"]} == {"better, without control"}
    assert any(limit.startswith(sentence) and "`controls: true`" in limit for limit in limits)


def _numbers(content: dict) -> tuple[list, list]:
    """All comparisons and scores but the placebo's."""
    return (
        [row for row in content["comparisons"] if row["role"] != "placebo"],
        [row for row in content["groups"] if row["scenario"] != "placebo"],
    )


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_placebo_changes_no_other_number_to_the_digit(
    plan: dict, home: Path, collapsed: bool
) -> None:
    content = report(plan, home, _3=0.05)
    out = home / "out"
    if collapsed:
        path = out / "cells/placebo__unet_light__seed10001.json"
        cell = json.loads(path.read_text())
        for image in cell["evaluation"]["images"]:
            image["iou_mean"] /= 10
        path.write_text(json.dumps(cell))
        build_report(out)
        content = json.loads((out / "report.json").read_text())
    beside = _numbers(content)
    said = [limit for limit in content["answer"]["limits"] if "vary far more" in limit]
    assert len(said) == collapsed
    if collapsed:
        assert said[0].startswith("U-Net light in scenario placebo: its trainings vary")
        assert "farthest from them is seed 10001, with 7." in said[0]
    study = json.loads((out / "study.json").read_text())
    study["specification"]["placebo"] = False
    scenarios = study["specification"]["scenarios"]
    study["specification"]["scenarios"] = [one for one in scenarios if not one["placebo"]]
    (out / "study.json").write_text(json.dumps(study))
    build_report(out)
    alone = json.loads((out / "report.json").read_text())
    assert "placebo" not in {row["scenario"] for row in alone["groups"]}
    assert _numbers(alone) == beside


def test_a_training_that_collapsed_widens_no_other_comparison_and_is_named(
    plan: dict, home: Path
) -> None:
    plan["extra_comparisons"] = [["3_real", "1"]]
    plan["scenarios"].append({"id": "3_real", "control_of": 3, "control": "real"})
    plan["scenarios"] += [{"id": f"aug{n}", "arguments": ["--data.x", str(n)]} for n in range(4)]
    before = report(plan, home, _3=0.05)
    out = home / "out"
    path = out / "cells/aug2__unet_light__seed1.json"
    cell = json.loads(path.read_text())
    for image in cell["evaluation"]["images"]:
        image["iou_mean"] /= 10
    path.write_text(json.dumps(cell))
    build_report(out)
    after = json.loads((out / "report.json").read_text())
    widths = [
        {(r["scenario"], r["against"]): r["high"] - r["low"] for r in one["comparisons"]}
        for one in (before, after)
    ]
    for pair, width in widths[1].items():
        assert width < (1.6 if "aug2" not in pair else 1000) * widths[0][pair]
    limits = [limit for limit in after["answer"]["limits"] if "vary far more" in limit]
    assert len(limits) == 1
    assert limits[0].startswith("U-Net light in scenario aug2: ")
    assert "is seed 1, with 7." in limits[0]


def _named(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch, shown: dict, **scenario: object
) -> dict:
    """The answer on scenario 3, which is far better than 1, where trainings show such images."""

    def images(args: list[str]) -> tuple[int, int]:
        name = Path(str(fake_verbs.flag(args, "--run_folder") or "")).name.split("__")[0]
        return shown.get(name, (768, 768))

    monkeypatch.setattr(fake_verbs, "shown", images)
    plan["scenarios"][1] |= scenario
    plan |= {"models": plan["models"][:1], "seeds": [0, 1, 2]}
    fake_verbs.order("gains", json.dumps({"3": 0.3}))
    out = home / "out"
    said: list[str] = []
    specification = parse_specification(plan, "plan")
    run_study(specification, home / "data", out, fake_verbs.load_verbs, workers=0, say=said.append)
    build_report(out)
    content: dict = json.loads((out / "report.json").read_text())
    return content["answer"]


@pytest.mark.parametrize(
    ("shown", "controls", "sentence"),
    [
        (
            (7680, 3840),
            ["1"],
            "it shows 7,680 images, and no control as many (scenario 1: 768)",
        ),
        (
            (7680, 3840),
            None,
            "it shows 3,840 real images, and no control as many (scenario 1: 768)",
        ),
        (
            (768, 384),
            ["1"],
            "it shows 384 real images, and no control as many (scenario 1: 768)",
        ),
        ((768, 384), ["1", "half"], ""),
        ((768, 384), ["1", "other"], "it differs from other in --model.learning_rate too"),
        ((768, 0), ["1"], ""),  # nothing real that a control could show as often
        ((800, 400), ["1", "half"], ""),  # as whole batches make it
    ],
)
def test_nothing_helps_without_controls_that_showed_as_much(
    plan: dict,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    shown: tuple[int, int],
    controls: list[str] | None,
    sentence: str,
) -> None:
    """Whether they are named, or left out beside flags that make the training longer."""
    plan["scenarios"].append({"id": "half", "arguments": ["--data.images_per_epoch", "384"]})
    plan["scenarios"].append({"id": "other", "arguments": ["--model.learning_rate", "1"]})
    plan["primary"] = ["3"]
    images = {"3": shown, "half": (384, 384), "other": (384, 384)}
    named = {"arguments": ["--trainer.max_epochs", "20"]}
    named |= {"controls": controls} if controls else {}
    answer = _named(plan, home, monkeypatch, images, **named)
    (line,) = answer["lines"]
    assert line["verdict"] == ("better, without control" if sentence else "helps")
    assert ("helps or hurts is not shown" in answer["headline"]) == bool(sentence)
    assert any(sentence in limit for limit in answer["limits"]) or not sentence
    assert any("no claim about synthetic data" in one for one in answer["limits"]) == bool(sentence)


def test_a_change_of_real_images_is_not_called_synthetic_data(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan["scenarios"].append({"id": "3x", "synthetic": True, "arguments": ["--data.x", "1"]})
    plan |= {"primary": [["3", "3x"]]}
    answer = _named(plan, home, monkeypatch, {})
    assert answer["headline"].startswith("The change helps U-Net light")

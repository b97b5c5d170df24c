"""Methods x sizes: the first sentence, the grid, the ranking, the cost and what to take."""

import json
import shutil
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

import study
from provenance import UserError
from studies.report.downstream.methods import recommendations
from studies.report.side_by_side import write_side_by_side
from studies.report.write import build_report
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")

GEOMETRIC = ["--data.augmentation", "geometric"]


@pytest.fixture
def methods(plan: dict) -> dict:
    return plan | {
        "seeds": [0, 1, 2],
        "models": plan["models"][:1],
        "scenarios": [
            {"id": "none", "sizes": [0.5, 1]},
            {"id": "geo", "name": "geometric", "sizes": [0.5, 1], "arguments": GEOMETRIC},
            {"id": "gan", "name": "GAN", "sizes": [0.5], "synthetic": True, "controls": True},
            {"id": "x_flip", "name": "flip", "sizes": [0.5], "num_seeds": 2,
             "arguments": ["--data.augmentation", "[horizontal_flip]"]},
            {"id": "x_crop", "name": "crop", "sizes": [0.5], "num_seeds": 2},
        ],
        "baseline_scenario": "none_100",
        "placebo": True,
        "primary": ["geo_50", "gan_50", "geo_100"],
    }  # fmt: skip


def report(plan: dict, home: Path, **gains: float) -> dict[str, Any]:
    """report.json of the study, run with fake verbs, with gains of scenarios."""
    fake_verbs.order("gains", json.dumps(gains))
    specification, out = parse_specification(plan, "plan"), home / "out"
    outcome = run_study(
        specification, home / "data", out, fake_verbs.load_verbs, workers=0, say=str,
        labels=home / "data",
    )  # fmt: skip
    assert not outcome.failed
    build_report(out)
    content: dict[str, Any] = json.loads((out / "report.json").read_text())
    return content


def test_a_method_that_is_shown_is_recommended_and_another_is_not(
    methods: dict, home: Path
) -> None:
    content = report(methods, home, geo_50=0.3, x_flip_50=0.1)
    assert content["answer"]["headline"].startswith(
        "The smallest difference that this study could have shown is "
    )
    half, whole, explored = content["answer"]["recommendations"]
    assert half.startswith("With 50 % of patients: take geometric (+")
    assert "to none_50" in half
    assert "larger than the placebo's difference" in half
    assert whole.startswith("With all patients: no recommendation. Nothing is shown")
    assert explored.startswith("Of 2 arms explored, flip with 50 % of patients came out best (+")
    assert content["next_steps"][:3] == [half, whole, explored]
    entries = {one["scenario"]: one for one in content["methods"]}
    assert "gan_50_steps" not in entries
    assert entries["placebo_50"]["placebo"]
    assert entries["geo_50"]["verdict"] == "helps"
    assert entries["none_50"]["against_baseline"] is None
    assert len(entries["x_flip_50"]["score"]["seeds"]) == 2
    # 768 images in 1.5 s, and no YAML here says the batch
    assert entries["geo_50"]["cost"] == {"images_a_second": 512.0, "seconds_a_step": None}
    page, text = ((home / "out" / f"report.{kind}").read_text() for kind in ("html", "md"))
    for told in ("Methods and sizes", "Images a second", "nothing made it"):
        assert told in page + text, told
    assert "cannot be shown" not in page.split("Methods and sizes")[1].split("All scores")[0]
    assert "only 2 of 3 seeds" not in text  # as many as were planned
    ranked = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert ranked[0].startswith("| 1 | geometric |")


def test_generators_of_a_size_see_its_patients(methods: dict, home: Path) -> None:
    content = report(methods, home)
    made = content["commands"]["generator__seed1__size0.5"][0]
    assert "--data.fraction_of_patients 0.5 --data.patients_seed 1" in made
    cell = content["commands"]["gan_50__unet_light__seed1"][0]
    assert "--data.fraction_of_patients 0.5 --data.patients_seed 1" in cell
    assert f"--data.synthetic {home}/out/synthetic/seed_1__size0.5" in cell
    assert content["settings"]["generator__seed1__size0.5"]["patients"][1] == "0.5"


def test_few_patients_are_not_painted_from_the_label_maps_of_all(methods: dict, home: Path) -> None:
    specification = parse_specification(methods, "plan")
    with pytest.raises(UserError, match="scenario gan_50: its generator would paint the label map"):
        run_study(specification, home / "data", home / "out", fake_verbs.load_verbs, workers=0)


def test_studies_stand_side_by_side(methods: dict, home: Path) -> None:
    report(methods, home, geo_50=0.3)
    other = home / "other"
    shutil.copytree(home / "out", other)
    page = home / "pages" / "compared.html"
    assert study.main(["compare", str(home / "out"), str(other), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count("With 50 % of patients: take geometric (+") == 2
    assert text.count("<img ") == 1
    with pytest.raises(UserError, match="is there already"):
        write_side_by_side([home / "out", other], page)
    with pytest.raises(UserError, match="two or more folders of studies, each once"):
        write_side_by_side([home / "out", home / "out"], home / "new.html")
    kept = json.loads((other / "study.json").read_text())
    for scenario in kept["specification"]["scenarios"]:
        scenario["size"] = None
    (other / "study.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match="its scenarios have no `sizes`"):
        write_side_by_side([home / "out", other], home / "new.html")


def entry(method: str, verdict: str | None, value: float, **more: Any) -> dict[str, Any]:
    ends = {"low": value - 0.01, "high": value + 0.01, "low_patients": None, "high_patients": None}
    row = {"value": value, **ends, "num_patients": 60, "no_interval": None}
    return {
        "method": method, "size": 1.0, "model": "unet_light", "baseline": False,
        "placebo": False, "role": "primary" if verdict else "placebo", "verdict": verdict,
        "p_holm": 0.01, "against_baseline": row, "claimed": [{**row, "against": "none_100"}],
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([entry("a", "helps", 0.02), entry("p", None, 0.03, placebo=True)],
         "a (+2.0 points), but"),
        ([entry("a", "helps", 0.02)], "but no placebo says how large"),
        ([entry("a", "helps", 0.05), entry("b", "helps", 0.04),
          entry("p", None, 0.01, placebo=True)],
         "which of them is best was not tested"),
        ([entry("a", "hurts", -0.05), entry("p", None, 0.01, placebo=True)],
         "leave out a, which hurt"),
        ([entry("a", "no difference shown", 0.01)], "no recommendation. Nothing is shown"),
        ([entry("a", "better, without control", 0.3)], "no recommendation. Nothing is shown"),
        ([entry("a", "in this one training", 0.3)], "nothing could be tested yet"),
        ([entry("a", "not tested", 0.0)], "nothing could be tested yet"),
    ],
)  # fmt: skip
def test_a_recommendation_says_no_more_than_tests_and_placebo(
    methods: dict, entries: list[dict[str, Any]], told: str
) -> None:
    (line,) = recommendations(parse_specification(methods, "plan"), {"methods": entries})
    assert line.startswith("With all patients: ")
    if told == "a (+2.0 points), but":
        assert "a (+2.0 [" in line
        told = "but nothing made a difference as large (the placebo): repeat it first"
        assert "take a" not in line
    assert told in line


def test_the_gain_over_every_control_must_pass_the_placebo(methods: dict) -> None:
    near = entry("gan", "helps", 0.2)
    near["claimed"] = [near["claimed"][0], {**near["claimed"][0], "value": 0.005}]
    noise = entry("p", None, 0.01, placebo=True)
    (line,) = recommendations(parse_specification(methods, "plan"), {"methods": [near, noise]})
    assert "take gan" not in line
    assert "repeat it first" in line

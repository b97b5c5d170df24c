"""Controls and placebo are cells like any other: their flags, their seeds, and old studies."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from studies.report.write import build_report
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


def go(plan: dict, home: Path, **settings: Any) -> StudyOutcome:
    specification = parse_specification(plan, "small.yaml")
    settings = {"workers": 0, "say": lambda line: None} | settings
    return run_study(specification, home / "data", home / "out", fake_verbs.load_verbs, **settings)


def read(home: Path, name: str) -> dict:
    return json.loads((home / "out" / name).read_text())


@pytest.fixture
def one_model(plan: dict) -> dict:
    plan["models"] = plan["models"][:1]
    return plan


def test_controls_are_trained_beside_their_scenario(one_model: dict, home: Path) -> None:
    one_model["generator"]["with_class"] = "tumour"
    one_model["scenarios"][1] |= {"controls": True, "arguments": ["--data.augmentation", "x"]}
    outcome = go(one_model, home)
    assert sorted(outcome.done) == [
        *("1__unet_light__seed0", "3__unet_light__seed0", "3_real__unet_light__seed0"),
        *("3_steps__unet_light__seed0", "generator__seed0"),
    ], outcome.failed
    shown = {}
    for name in ("3", "3_steps", "3_real"):
        cell = read(home, f"cells/{name}__unet_light__seed0.json")
        fit = cell["commands"][0]
        assert f"--data.synthetic {home}/out/synthetic/seed_0" in fit
        assert "--data.augmentation x" in fit
        assert ("--data.control" in fit) == (name != "3")
        if name != "3":
            assert f"--data.control {name[2:]} " in fit
            assert cell["settings"]["control"] == name[2:]
        assert cell["settings"]["generator"]["with_class"] == "tumour"
        shown[name] = (cell["timings"]["images_seen"], cell["timings"]["real_images_seen"])
    assert shown == {"3": (1536, 768), "3_steps": (1536, 1536), "3_real": (768, 768)}
    assert go(one_model, home).done == []


def test_a_control_of_pretraining_sees_real_images_in_both_trainings(
    one_model: dict, home: Path
) -> None:
    one_model["scenarios"][1] = {"id": "first", "pretrain": True, "controls": True}
    outcome = go(one_model, home)
    assert not outcome.failed
    assert len(outcome.done) == 4  # the baseline is the control with as many real images
    for name, control in (("first", False), ("first_steps", True)):
        first, second, _ = read(home, f"cells/{name}__unet_light__seed0.json")["commands"]
        assert "--data.real_slices false" in first  # what a cache of slices calls it
        assert ("--data.control steps" in first) == control
        assert "--data.synthetic" not in second
        assert "--model.start_from" in second
    timings = read(home, "cells/first_steps__unet_light__seed0.json")["timings"]
    assert (timings["images_seen"], timings["real_images_seen"]) == (1536, 1536)
    assert read(home, "study.json")["specification"]["scenarios"][1]["pretrain"] == [
        "--data.real_slices", "false"
    ]  # fmt: skip


def test_the_placebo_has_seeds_of_its_own(one_model: dict, home: Path) -> None:
    """Also a generator of its own, where the baseline has one."""
    one_model |= {"seeds": [0, 1], "baseline_scenario": 3}
    outcome = go(one_model, home, placebo=True)
    assert not outcome.failed
    placebo = [name for name in outcome.done if name.startswith("placebo")]
    assert sorted(placebo) == [f"placebo__unet_light__seed{seed}" for seed in (10000, 10001)]
    command = read(home, f"cells/{placebo[0]}.json")["commands"][0]
    assert "--seed_everything 10000" in command
    assert f"--data.synthetic {home}/out/synthetic/seed_10000" in command
    given = [read(home, f"cells/{name}.json") for name in outcome.done if "generator" not in name]
    given += [read(home, f"generators/{n}.json") for n in outcome.done if "generator" in n]
    seeds = {True: set(), False: set()}
    for record in given:
        if not record["name"].startswith("1__"):  # which has seeds of its own
            seeds["placebo" in record["name"] or "seed10" in record["name"]].add(
                record["settings"]["seed"]
            )
    assert seeds == {True: {10_000, 10_001}, False: {0, 1}}
    own, baseline = (
        read(home, f"cells/{name}.json")["settings"]
        for name in ("placebo__unet_light__seed10000", "3__unet_light__seed0")
    )
    assert own | {"seed": 0} == baseline
    # A study that has one keeps it, whether it is asked for again or not.
    assert go(one_model, home).done == []
    assert read(home, "study.json")["specification"]["placebo"] is True
    assert go(one_model | {"placebo": True}, home).done == []


def test_a_study_of_an_earlier_version_goes_on_with_controls_and_a_placebo(
    one_model: dict, home: Path
) -> None:
    """Its cells know nothing of controls or of how many images were real; they count as done."""
    go(one_model | {"shared_seeds": True}, home)
    out = home / "out"
    for path in [*out.glob("cells/*.json"), *out.glob("generators/*.json")]:
        record = json.loads(path.read_text())
        del record["timings"]["real_images_seen"]
        path.write_text(json.dumps(record))
    for path in out.glob("*/*/study_fit.json"):
        fit = json.loads(path.read_text())
        del fit["real_images_seen"]
        path.write_text(json.dumps(fit))
    study = read(home, "study.json")
    for key in ("placebo", "shared_seeds"):
        del study["specification"][key]
    for scenario in study["specification"]["scenarios"]:
        for key in ("ratios", "controls", "control_of", "control", "placebo"):
            del scenario[key]
    (out / "study.json").write_text(json.dumps(study))
    build_report(out)
    (out / "cells/3__unet_light__seed0.json").unlink()  # its training is kept
    one_model["scenarios"][1]["controls"] = True
    outcome = go(one_model | {"placebo": True}, home)
    assert sorted(outcome.done) == [
        *("3__unet_light__seed0", "3_steps__unet_light__seed0", "placebo__unet_light__seed10000"),
    ]
    assert fake_verbs.events().count("fit 3__unet_light__seed0") == 1
    assert outcome.already_done == ["1__unet_light__seed0"]
    seeds = {path.stem: read(home, f"cells/{path.name}")["settings"]["seed"]
             for path in out.glob("cells/*seed0.json")}  # fmt: skip
    assert set(seeds.values()) == {0}  # a new scenario too
    assert read(home, "study.json")["specification"]["shared_seeds"] is True
    assert read(home, "cells/3__unet_light__seed0.json")["timings"]["real_images_seen"] is None
    build_report(out)


def test_every_scenario_trains_with_seeds_of_its_own_whatever_others_there_are(
    one_model: dict, home: Path
) -> None:
    """The baseline with the study's; the generator, and so the images, are the seed's in all."""
    one_model |= {"seeds": [0, 1], "placebo": True}
    one_model["scenarios"][1]["controls"] = True
    assert not go(one_model, home).failed
    used: dict[str, list[int]] = {}
    for path in sorted((home / "out/cells").glob("*.json")):
        cell = json.loads(path.read_text())
        used.setdefault(cell["scenario"], []).append(cell["settings"]["seed"])
        assert f"--seed_everything {cell['settings']['seed']} " in cell["commands"][0]
        if cell["scenario"] == "3":
            assert f"/synthetic/seed_{cell['seed']} " in cell["commands"][0]
    assert (used["1"], used["placebo"]) == ([0, 1], [10_000, 10_001])
    assert used["3"] == [854_890_406, 804_537_198]  # sha256 of "3/0" and of "3/1"
    every = [seed for seeds in used.values() for seed in seeds]
    assert len(set(every)) == len(every) == 8
    for other in (["a", "b"], ["5"]):
        more = [{"id": one, "arguments": ["--data.x", "1"]} for one in other]
        specification = parse_specification(
            one_model | {"scenarios": [*more, *one_model["scenarios"]]}, "more.yaml"
        )
        for cell in specification.cells():
            if cell.scenario.id in used:
                assert specification.training_seed(cell) in used[cell.scenario.id]
    assert not any("share their seeds" in one for one in _limits(home))


def test_a_folder_with_shared_seeds_says_what_that_means(one_model: dict, home: Path) -> None:
    go(one_model | {"seeds": [0, 1], "shared_seeds": True}, home)
    assert any(one.startswith("The scenarios share their seeds") for one in _limits(home))
    assert go(one_model | {"seeds": [0, 1]}, home).done == []  # it keeps them


def _limits(home: Path) -> list[str]:
    build_report(home / "out")
    limits: list[str] = read(home, "report.json")["answer"]["limits"]
    return limits

"""Scenarios that a study makes of one line: sweeps, controls, the placebo."""

import re
from pathlib import Path
from typing import Any

import pytest

from provenance import UserError
from studies.specification.arms import flags_beside_synthetic, with_placebo
from studies.specification.parts import Scenario
from studies.specification.read import load_specification, parse_specification
from studies.specification.specification import PROJECT_ROOT, Specification

FIXED = ["--data.images_per_epoch", 64]


def parsed(plan: dict, *scenarios: dict, **more: Any) -> Specification:
    """The small study with real images and these scenarios, read back from its plain values."""
    given = [{"id": 1, "name": "real only"}, *scenarios]
    specification = parse_specification(plan | {"scenarios": given} | more, "study.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    return specification


def told(specification: Specification) -> list[tuple]:
    return [(s.id, s.control_of, s.control, s.controls) for s in specification.scenarios]


def test_controls_are_made_where_there_are_none(plan: dict) -> None:
    plan["generator"]["with_class"] = "tumour"
    with_flags = {"id": 3, "name": "half", "synthetic": True, "arguments": ["--data.augmentation",
                  "geometric"], "controls": True}  # fmt: skip
    specification = parsed(plan, with_flags)
    assert told(specification) == [
        ("1", None, None, ()),
        ("3", None, None, ("3_steps", "3_real")),
        ("3_steps", "3", "steps", ()),
        ("3_real", "3", "real", ()),
    ]
    arm, steps, real = specification.scenarios[1:]
    assert steps.arguments == real.arguments == arm.arguments
    assert steps.name == "half: real images in place of the synthetic ones"
    assert not steps.synthetic
    assert specification.needs_images(steps)


@pytest.mark.parametrize(("flags", "there"), [([], "real"), (FIXED, "steps")])
def test_the_baseline_is_the_control_that_it_is_already(
    plan: dict, flags: list, there: str
) -> None:
    """Epochs of all images show each real one once; epochs of a fixed length as many images."""
    arm = {"id": 3, "synthetic": True, "controls": True}
    specification = parsed(plan, arm, arguments=flags)
    controls = {"steps": "3_steps", "real": "3_real"} | {there: "1"}
    assert specification.scenario("3").controls == tuple(controls.values())
    assert len(specification.scenarios) == 3


def test_the_epoch_of_a_configuration_counts_too(plan: dict, tmp_path: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text("data: {init_args: {images_per_epoch: 64}}\n")
    arm = {"id": 3, "synthetic": True, "controls": True}
    models = [{"name": "a", "config": str(config)}, {"name": "b", "config": str(config)}]
    fixed = parsed(plan, arm, models=models)
    assert fixed.scenario("3").controls == ("1", "3_real")
    models[1]["arguments"] = ["--data.images_per_epoch", "null"]  # the models do not agree
    assert parsed(plan, arm, models=models).scenario("3").controls == ("3_steps", "3_real")
    models[0]["arguments"] = ["--data.images_per_epoch=null"]
    assert parsed(plan, arm, models=models).scenario("3").controls == ("3_steps", "1")


@pytest.mark.parametrize(
    ("change", "arm"),
    [
        ({"per_class": "all"}, {}),
        ({}, {"arguments": ["--data.balance", "synthetic"]}),
    ],
)
def test_images_of_other_classes_than_the_real_ones_have_a_control_of_their_own(
    plan: dict, change: dict, arm: dict
) -> None:
    plan["generator"] |= change
    arm = {"id": 3, "synthetic": True, "controls": True} | arm
    assert parsed(plan, arm, arguments=FIXED).scenario("3").controls == ("3_steps", "3_real")
    if change:  # a share is of each class
        arm["arguments"] = ["--data.synthetic_share", 1]
        assert parsed(plan, arm, arguments=FIXED).scenario("3").controls == ("1", "3_real")


@pytest.mark.parametrize(
    "change",
    [
        {"with_class": "tumour"},
        {"into": "any"},
        {"into": "healthy"},
        {"config": "configs/kits19/lesions.yaml"},
    ],
)
@pytest.mark.parametrize("flags", [[], ["--data.synthetic_share", 1]])
def test_slices_that_all_hold_a_class_have_a_control_of_their_own(
    plan: dict, change: dict, flags: list
) -> None:
    """Each synthetic slice holds a lesion; of the real ones, as few as the data have."""
    plan["generator"] |= change
    arm = {"id": 3, "synthetic": True, "controls": True, "arguments": flags}
    assert parsed(plan, arm, arguments=FIXED).scenario("3").controls == ("3_steps", "3_real")


def test_images_that_are_drawn_unequally_have_a_control_of_their_own(plan: dict) -> None:
    arm = {"id": 3, "synthetic": True, "controls": True}
    balanced = ["--data.balance", "oversample"]
    assert parsed(plan, arm, arguments=balanced).scenario("3").controls == ("3_steps", "3_real")


def test_a_sweep_is_one_line(plan: dict) -> None:
    sweep = {"id": "r", "ratios": [0.25, 1, 4], "controls": True, "arguments": ["--x", 1]}
    specification = parsed(plan, sweep, arguments=FIXED)
    assert [(s.id, s.name, s.arguments) for s in specification.scenarios if s.synthetic] == [
        ("r25", "20 % of the images synthetic", ("--data.synthetic_share", "0.25", "--x", "1")),
        ("r100", "half of the images synthetic", ("--data.synthetic_share", "1", "--x", "1")),
        ("r400", "80 % of the images synthetic", ("--data.synthetic_share", "4", "--x", "1")),
    ]
    assert [s.id for s in specification.scenarios if s.control] == [
        f"r{ratio}_{control}" for ratio in (25, 100, 400) for control in ("steps", "real")
    ]
    named = parsed(plan, sweep | {"name": "GAN", "arguments": []}, arguments=FIXED)
    assert named.scenarios[1].name == "GAN, 20 % of the images synthetic"
    # all of them beside the baseline, which shows as many images: one control each, not two
    assert [s.id for s in named.scenarios if s.control] == ["r25_real", "r100_real", "r400_real"]
    assert named.scenario("r100").controls == ("1", "r100_real")


def test_pretraining_is_one_line(plan: dict) -> None:
    specification = parsed(plan, {"id": "p", "name": "first", "pretrain": True, "controls": True})
    arm, steps = specification.scenarios[1:]
    assert arm.synthetic
    assert arm.controls == ("p_steps", "1")  # the second training is as long as the baseline's
    assert (steps.pretrain, steps.control) == (True, "steps")
    assert not steps.synthetic
    alone = parsed(plan, {"id": "p", "pretrain": True, "controls": True,
                          "arguments": ["--model.learning_rate", 1]})  # fmt: skip
    real = alone.scenario("p_real")
    assert (real.pretrain, real.arguments) == (None, ("--model.learning_rate", "1"))
    assert not alone.needs_images(real)


def test_without_real_images_there_is_one_control(plan: dict) -> None:
    arm = {"id": 3, "synthetic": True, "controls": True, "arguments": ["--data.real_films", False]}
    assert parsed(plan, arm).scenario("3").controls == ("3_steps",)
    assert parsed(plan, arm, arguments=FIXED).scenario("3").controls == ("1",)


def test_a_study_names_its_own_controls(plan: dict) -> None:
    specification = parsed(
        plan,
        {"id": 3, "name": "half", "synthetic": True, "arguments": ["--x", 1], "controls": [5, 1]},
        {"id": 5, "control_of": 3, "control": "steps"},
    )
    assert told(specification)[1:] == [
        ("3", None, None, ("5", "1")),
        ("5", "3", "steps", ()),
    ]
    control = specification.scenario("5")
    assert control.arguments == ("--x", "1")
    assert control.name == "half: real images in place of the synthetic ones"


def test_the_placebo_is_the_baseline_with_other_seeds(plan: dict) -> None:
    plan["seeds"] = [0, 1, 7]
    plan["scenarios"][0]["arguments"] = ["--x", 1]
    specification = parse_specification(plan | {"placebo": True}, "study.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    assert with_placebo(parse_specification(plan, "study.yaml")) == specification
    assert with_placebo(specification) == specification
    placebo, baseline = specification.scenario("placebo"), specification.scenario("1")
    assert placebo.arguments == baseline.arguments
    seeds = {
        arm: {cell.seed for cell in specification.cells() if cell.scenario.id == arm}
        for arm in ("1", "3", "placebo")
    }
    assert seeds["1"] == seeds["3"] == {0, 1, 7}
    assert len(seeds["placebo"]) == 3
    assert not seeds["placebo"] & seeds["1"]
    # adding seeds later changes none of those that are there
    more = parse_specification(plan | {"seeds": [0, 1, 7, 8], "placebo": True}, "study.yaml")
    assert seeds["placebo"] < {*more.seeds_of(more.scenario("placebo"))}


def test_how_many_synthetic_films_join_is_no_other_training() -> None:
    def training(*arguments: str) -> list[tuple[str, ...]]:
        return flags_beside_synthetic(Scenario("a", "a", True, arguments))

    assert training("--data.synthetic_share", "0.5", "--x", "1") == [("--x", "1")]
    assert training("--data.synthetic_share=2") == []
    assert training("--data.balance", "synthetic") == []
    assert training("--data.balance", "oversample") == [("--data.balance", "oversample")]
    assert training("--data.real_films", "false") == [("--data.real_films", "false")]


@pytest.mark.parametrize(
    ("scenarios", "message"),
    [
        ([{"id": 3, "controls": True}], "scenario 3 has controls, but nothing synthetic"),
        ([{"id": 3, "controls": "yes"}], "controls: expected a list of scenarios such as [5, 1]"),
        ([{"id": 3, "synthetic": True, "controls": [5]}], "its control '5' is no scenario of real"),
        ([{"id": 3, "synthetic": True, "controls": [3]}], "its control '3' is no scenario of real"),
        ([{"id": 5, "control_of": 1, "control": "real"}], "control of '1', which is no synthetic"),
        ([{"id": 5, "control_of": 1}], "scenario 5: give both `control_of` and `control`"),
        ([{"id": 5, "control_of": 1, "control": "all"}], "control: expected steps or real"),
        (
            [{"id": 3, "synthetic": True},
             {"id": 5, "control_of": 3, "control": "real", "arguments": ["--x", 1]}],
            "scenario 5 takes the flags of 3",
        ),
        ([{"id": "r", "ratios": [0]}], "ratios must be above 0"),
        ([{"id": "r", "ratios": [float("nan")]}], "ratios: expected numbers such as [0.5, 1, 2]"),
        ([{"id": "r", "ratios": [1, float("inf")]}], "ratios: expected numbers such as"),
        (
            [{"id": "r", "ratios": [1], "arguments": ["--data.synthetic_share", 3]}],
            "scenario r has ratios, which are its --data.synthetic_share, and a flag says another",
        ),
        ([{"id": "r", "ratios": [1], "pretrain": True}], "scenario r has ratios and a pretraining"),
        ([{"id": "r", "ratios": [1]}, {"id": "r100"}], "scenarios holds r100 more than once"),
        ([{"id": 3, "arguments": ["--data.control", "real"]}], "--data.control is set by"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_arm_is_named(plan: dict, scenarios: list, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parsed(plan, *scenarios)


def test_seeds_that_the_placebo_s_would_meet_are_refused(plan: dict) -> None:
    with pytest.raises(UserError, match="seeds: the placebo's are each 10,000 higher"):
        parse_specification(plan | {"seeds": [0, 10_000], "placebo": True}, "study.yaml")


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "configs/studies").glob("*.yaml")))
def test_studies_of_the_project_survive_their_own_plain_values(path: Path) -> None:
    specification = load_specification(path)
    assert parse_specification(specification.as_dict(), "study.json") == specification

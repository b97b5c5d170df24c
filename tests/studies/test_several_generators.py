"""A study of several generators: each trained for its scenarios, and compared with each other."""

import json
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from provenance import UserError
from studies.report.downstream.analysis import analyse
from studies.report.write import build_report
from studies.run.folder import Study, StudyFolder
from studies.run.logged import labels_of
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.generator_names import GeneratorJob, generator_job
from studies.specification.listing import size_of
from studies.specification.read import parse_specification
from studies.specification.specification import Specification

pytestmark = pytest.mark.usefixtures("unrendered")

HALF = ["--data.synthetic_share", 1]
FIXED = ["--data.images_per_epoch", 64]


@pytest.fixture
def two(plan: dict) -> dict:
    """Plain values of a study of one model and two generators, compared with each other."""
    del plan["generator"]
    plan["models"] = plan["models"][:1]
    plan["generators"] = {
        "dcgan": {"title": "DCGAN", "config": "configs/gan.yaml", "num_images": 8},
        "msg": {"config": "configs/msg.yaml", "num_images": 8, "arguments": ["--rate", 1]},
    }
    plan["arguments"] = FIXED
    plan["scenarios"] = [
        {"id": 1, "name": "real only"},
        *(
            {"id": f"half_{name}", "name": f"half of {name}", "synthetic": True, "arguments": HALF,
             "generator": name, "controls": True}
            for name in ("dcgan", "msg")
        ),
    ]  # fmt: skip
    plan["extra_comparisons"] = [["half_msg", "half_dcgan"]]
    return plan


def parsed(plan: dict) -> Specification:
    specification = parse_specification(plan, "study.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    return specification


def go(plan: dict, home: Path, **settings: Any) -> StudyOutcome:
    settings = {"workers": 0, "say": lambda line: None} | settings
    root, out = home / "data", home / "out"
    return run_study(parsed(plan), root, out, fake_verbs.load_verbs, **settings)


def read(home: Path, name: str) -> Any:
    return json.loads((home / "out" / name).read_text())


def test_each_generator_is_trained_once_a_seed_and_its_images_reach_its_scenarios(
    two: dict, home: Path
) -> None:
    assert go(two, home).done == [
        *("1__unet_light__seed0", "generator_dcgan__seed0", "half_dcgan__unet_light__seed0"),
        *("half_dcgan_real__unet_light__seed0", "generator_msg__seed0"),
        "half_msg__unet_light__seed0",
    ]
    for name in ("dcgan", "msg"):
        made = read(home, f"generators/generator_{name}__seed0.json")
        cell = read(home, f"cells/half_{name}__unet_light__seed0.json")
        images = home / "out" / "synthetic" / f"{name}__seed_0"
        assert f"--run_folder {home}/out/generators/{name}__seed_0" in made["commands"][0]
        assert f"--data.synthetic {images} " in cell["commands"][0]
        assert (images / "manifest.json").is_file()
        assert cell["settings"]["generator"] == made["settings"]["generator"]
    assert "--rate 1" in read(home, "generators/generator_msg__seed0.json")["commands"][0]
    assert len(StudyFolder(home / "out").finished_generators()) == 2
    before = fake_verbs.events()
    assert go(two, home).done == []
    assert fake_verbs.events() == before
    # a change of one generator is about its own cells alone
    two["generators"]["msg"]["num_images"] = 9
    with pytest.raises(UserError, match="2 of its 6 finished runs do not fit") as error:
        go(two, home)
    assert "[half_msg__unet_light__seed0, generator_msg__seed0]" in str(error.value)


def test_only_the_generators_of_chosen_cells_are_trained(two: dict, home: Path) -> None:
    assert go(two, home, only="half_msg__*").done == [
        "generator_msg__seed0",
        "half_msg__unet_light__seed0",
    ]
    assert not any("configs/gan.yaml" in event for event in fake_verbs.events())


def test_a_failed_generator_leaves_the_cells_of_the_other(two: dict, home: Path) -> None:
    fake_verbs.order("dcgan__seed_0", "fail")
    outcome = go(two, home)
    assert sorted(name for name, _ in outcome.failed) == [
        "generator_dcgan__seed0",
        "half_dcgan__unet_light__seed0",
        "half_dcgan_real__unet_light__seed0",
    ]
    told = dict(outcome.failed)["half_dcgan__unet_light__seed0"]
    assert told == "The generator it needs failed: see generator_dcgan__seed0."
    assert "half_msg__unet_light__seed0" in outcome.done
    build_report(home / "out")
    content = read(home, "report.json")
    assert (
        "Real and synthetic images: DCGAN: no generator DCGAN is finished."
        in (content["not_shown"])
    )
    fake_verbs.order("dcgan__seed_0", "")
    assert len(go(two, home).done) == 3


def test_the_pair_has_a_verdict_in_the_family_and_generators_are_told_apart(
    two: dict, home: Path
) -> None:
    two |= {"seeds": [0, 1, 2], "audit": {}}
    fake_verbs.order("gains", json.dumps({"half_dcgan": 0.1, "half_msg": 0.4}))
    assert not go(two, home).failed
    page = build_report(home / "out").read_text()
    content = read(home, "report.json")
    rows = {(row["scenario"], row["against"]): row for row in content["comparisons"]}
    pair = rows["half_msg", "half_dcgan"]
    assert (pair["role"], pair["verdict"], pair["lacking"]) == ("primary", "helps", [])
    assert content["tests"]["family_size"] == 3
    answer = content["answer"]
    assert (
        "The choice of the generator helps U-Net light (half_msg against half_dcgan)."
        in (answer["headline"])
    )
    assert (answer["lines"][-1]["verdict"], answer["lines"][-1]["pair"]) == (
        "helps",
        "images of msg in place of those of DCGAN: scenario half_msg against half_dcgan",
    )
    assert not any("half_msg against half_dcgan" in limit for limit in answer["limits"])
    for title in ("The training of DCGAN", "The training of msg", "images: DCGAN", "images: msg"):
        assert title in page, title
    told = content["copies"]["headline"]
    assert told.count("No copies found in 3 synthetic sets.") == 2
    assert told.startswith("DCGAN: No copies")
    assert " msg: No copies" in told
    assert [line["set"] for line in content["copies"]["lines"]] == [
        *(f"dcgan__seed_{seed}" for seed in range(3)),
        *(f"msg__seed_{seed}" for seed in range(3)),
    ]


def test_unequal_numbers_of_images_withhold_the_verdict_of_a_pair(
    two: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a share, more images of one generator also are fewer real ones beside them."""
    own = fake_verbs.shown

    def shown(args: list[str]) -> tuple[int, int]:
        images, real = own(args)
        return (images, real // 2) if "msg" in str(fake_verbs.flag(args, "--data.synthetic")) else (
            images, real,
        )  # fmt: skip

    monkeypatch.setattr(fake_verbs, "shown", shown)
    said: list[str] = []
    two["seeds"] = [0, 1, 2]
    fake_verbs.order("gains", json.dumps({"half_msg": 0.4}))
    go(two, home, say=said.append)
    lacking = "half_msg against half_dcgan: it shows 1,536 images, 384 of them real, and half_dcgan"
    assert any(lacking in line for line in said)
    content = analyse(parsed(two), StudyFolder(home / "out").finished(), [])
    (pair,) = (row for row in content["comparisons"] if row["against"] == "half_dcgan")
    assert pair["verdict"] == "better, without control"
    assert any(lacking in limit for limit in content["answer"]["limits"])


@pytest.mark.parametrize(
    ("change", "controls"),
    [
        ({}, ("1", "half_dcgan_real")),  # a share of the real films, whatever there are
        ({"num_images": 9}, ("1", "half_dcgan_real")),
        ({"arguments": []}, ("1", "half_dcgan_real")),
        ({"arguments": [], "num_images": 9}, ("1", "half_msg_real")),
        ({"arguments": [], "per_class": "all"}, ("half_dcgan_steps", "half_dcgan_real")),
        (
            {"arguments": [], "per_class": "all", "num_images": 9},
            ("half_msg_steps", "half_msg_real"),
        ),
        ({"with_class": "tumour"}, ("half_msg_steps", "half_dcgan_real")),
        ({"arguments": [], "with_class": "tumour"}, ("half_msg_steps", "half_dcgan_real")),
        ({"other flags": True}, ("half_msg_steps", "half_msg_real")),
    ],
)  # fmt: skip
def test_a_control_that_two_generators_share_is_trained_once(
    two: dict, change: dict[str, Any], controls: tuple[str, str]
) -> None:
    for scenario in two["scenarios"][1:]:
        scenario["arguments"] = change.get("arguments", HALF)
    if "other flags" in change:
        two["scenarios"][2]["arguments"] = [*HALF, "--x", 1]
    for plan in two["generators"].values():
        plan |= {key: change[key] for key in ("per_class", "with_class") if key in change}
    two["generators"]["msg"]["num_images"] = change.get("num_images", 8)
    assert parsed(two).scenario("half_msg").controls == controls


def test_sizes_ratios_and_a_placebo_know_their_generator(two: dict) -> None:
    two["scenarios"] = [
        {"id": 1, "synthetic": True, "generator": "dcgan", "arguments": HALF},
        {"id": "r", "ratios": [1, 4], "generator": "msg", "controls": True},
        {"id": "first", "pretrain": True, "generator": "dcgan", "sizes": [0.25]},
        {"id": 5, "control_of": "first_25", "control": "steps"},
    ]
    del two["extra_comparisons"]
    specification = parsed(two | {"placebo": True})
    needed = {c.scenario.id: specification.generator_of(c) for c in specification.cells()}
    assert needed == {
        "1": "generator_dcgan__seed0",
        "r100": "generator_msg__seed0",
        "r100_steps": "generator_msg__seed0",
        "r100_real": "generator_msg__seed0",
        "r400": "generator_msg__seed0",
        "r400_steps": "generator_msg__seed0",
        "r400_real": "generator_msg__seed0",
        "first_25": "generator_dcgan__seed0__size0.25",
        "5": "generator_dcgan__seed0__size0.25",
        "placebo": "generator_dcgan__seed10000",
    }
    assert "3 generators DCGAN; 1 generator msg" in size_of(specification)


def test_runs_in_wandb_say_whose_they_are(two: dict, home: Path) -> None:
    study = Study(parsed(two), home / "data", home / "out")
    labels = labels_of(study, "generator_msg__seed0", "normal")
    assert (labels.name, labels.job_type) == ("generator_msg__seed0__normal", "generator")
    assert labels.config["study"] == {
        "name": "small", "folder": "out", "generator": "msg", "seed": 0,
    }  # fmt: skip


def test_no_cell_has_the_name_of_a_generator() -> None:
    for job in (GeneratorJob("", 3), GeneratorJob("a.b_c", 3, 0.25), GeneratorJob("", 0, 1e-5)):
        assert generator_job(job.name) == job
    assert GeneratorJob("a", 0, 0.5).set_name == "a__seed_0__size0.5"
    for cell in ("generator__a__seed0", "generator_a__seed0__seed0", "generator_a__b__seed0"):
        assert generator_job(cell) is None
    assert generator_job("audit__a__seed_0") is None


def test_one_generator_with_a_name_needs_no_word_at_its_scenarios(plan: dict) -> None:
    plan["generators"] = {"dcgan": plan.pop("generator")}
    specification = parsed(plan)
    assert specification.generator_of(specification.cell("3__fpn__seed0")) == (
        "generator_dcgan__seed0"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"generator": {"config": "a", "num_images": 1}}, "generator and generators: write the"),
        ({"generators": {}}, "generators is empty"),
        ({"generators": ["a"]}, "generators: expected names with their keys"),
        ({"generators": {"a": {"config": "a"}}}, "generators.a.num_images: is missing"),
        ({"generators": {"a__b": {"config": "a", "num_images": 1}}},
         "generators: 'a__b' becomes part of a file name"),
        ({"synthetic": "set"}, "synthetic and generators: each says where"),
        ({"num_images": 0}, "generators.msg.num_images must be at least 1"),
        ({"arguments": ["--data.root", "x"]}, "generators.msg.arguments: --data.root is set by"),
        ({"scenario": {"generator": None}},
         "scenario half_msg is synthetic, and the study has several generators. Say whose images "
         "it is shown: `generator:` with one of dcgan, msg."),
        ({"scenario": {"generator": "mgs"}},
         "scenario half_msg: generator: mgs: there is no generator of this name. Did you mean msg? "
         "There are dcgan, msg."),
        ({"scenario": {"generator": "dcgan"}}, "generators.msg: no scenario is of its images"),
        ({"scenario": {"synthetic": False, "controls": []}},
         "scenario half_msg names a generator, but is shown no synthetic images"),
        ({"more": {"id": 5, "control_of": "half_dcgan", "control": "real", "generator": "msg"}},
         "scenario 5 takes the generator of half_dcgan"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(two: dict, change: dict[str, Any], told: str) -> None:
    two["scenarios"][2] |= change.get("scenario", {})
    two["scenarios"] += [change["more"]] if "more" in change else []
    if change.keys() & {"num_images", "arguments"}:
        two["generators"]["msg"] |= change
    elif not change.keys() & {"scenario", "more"}:
        two |= change
    with pytest.raises(UserError) as error:
        parse_specification(two, "study.yaml")
    assert told in str(error.value)


def test_a_study_of_one_generator_has_no_names_to_choose_from(plan: dict) -> None:
    plan["scenarios"][1]["generator"] = "dcgan"
    with pytest.raises(UserError, match="scenario 3: generator: dcgan: this study has no `gen"):
        parse_specification(plan, "study.yaml")


def test_each_generator_may_have_label_maps_of_its_own(two: dict, home: Path) -> None:
    maps = fake_verbs.write_cache(home / "maps", hashes="other")
    two["generators"]["msg"]["labels"] = str(maps)
    go(two, home, only="half*")
    made = [event for event in fake_verbs.events() if event.startswith("generate ")]
    assert sorted(made) == ["generate dcgan__seed_0 None", f"generate msg__seed_0 {maps}"]
    settings = {
        name: read(home, f"generators/generator_{name}__seed0.json")["settings"]["generator"]
        for name in ("dcgan", "msg")
    }
    assert settings["dcgan"]["labels"] is None
    assert settings["msg"]["labels"]["dataset"] == "drawings"


def test_what_one_generator_writes_is_unchanged(plan: dict) -> None:
    """Studies that were begun with one generator go on: no new word in their records."""
    specification = parse_specification(plan, "study.yaml")
    plain = specification.as_dict()
    assert "generators" not in plain
    assert "title" not in plain["generator"]
    assert not any("generator" in scenario for scenario in plain["scenarios"])

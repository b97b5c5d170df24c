"""Paths in a study lead to the same files from whichever folder it is run."""

import os
from pathlib import Path

import pytest
import yaml

from provenance import UserError
from studies.run.downstream.jobs import trainings_of_cell
from studies.run.fingerprint import by_content, describe_training
from studies.specification.paths import from_this_folder
from studies.specification.read import load_specification, parse_specification
from studies.specification.specification import PROJECT_ROOT

LIGHT = "configs/kits19/unet_light.yaml"


@pytest.fixture
def written(plan: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A study in lab/study.yaml with a configuration of its own; the working folder is another."""
    for folder in ("lab/maps", "here"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("lab/own.yaml", "lab/short.yaml", "lab/w.pth", "here/local.yaml"):
        (tmp_path / file).write_text("trainer: {max_epochs: 1}\n")
    monkeypatch.chdir(tmp_path / "here")
    plan["models"] = [
        {"name": "own", "config": "own.yaml", "arguments": ["--config=short.yaml"]},
        {"name": "ours", "config": LIGHT},
        {"name": "local", "config": "local.yaml"},
    ]
    plan["generator"] |= {"config": "./configs/kits19/pix2pix.yaml", "labels": "maps"}
    plan["arguments"] = ["--model.network.weights_path", "w.pth", "--data.root_of", "none/there"]
    return plan


def load(plan: dict, tmp_path: Path) -> object:
    file = tmp_path / "lab" / "study.yaml"
    file.write_text(yaml.safe_dump(plan))
    return load_specification(Path(os.path.relpath(file)))


def test_paths_are_found_beside_the_study_in_the_project_and_from_here(
    written: dict, tmp_path: Path
) -> None:
    study = load(written, tmp_path)
    lab = tmp_path / "lab"
    configs = [str(lab / "own.yaml"), LIGHT, str(tmp_path / "here" / "local.yaml")]
    assert [model.config for model in study.models] == configs
    assert study.models[0].arguments == (f"--config={lab / 'short.yaml'}",)
    assert study.generator.config == "configs/kits19/pix2pix.yaml"
    assert study.generator.labels == str(lab / "maps")
    given = (study.arguments[1], study.arguments[3])
    assert given == (str(lab / "w.pth"), "none/there"), "what is nowhere stays as it is"
    assert parse_specification(study.as_dict(), "study.json") == study, "found already"


def test_a_path_beside_the_study_wins_over_the_projects(written: dict, tmp_path: Path) -> None:
    (tmp_path / "lab" / "configs" / "kits19").mkdir(parents=True)
    (tmp_path / "lab" / LIGHT).write_text("trainer: {max_epochs: 1}\n")
    assert load(written, tmp_path).models[1].config == str(tmp_path / "lab" / LIGHT)


def test_trainings_are_given_paths_that_lead_from_here(
    written: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = "configs/trainer/gpu.yaml"
    written["arguments"] = ["--config", gpu, "--data.root_of", "none/there"]
    study = load(written, tmp_path)
    flags = trainings_of_cell(study, study.cells()[1], Path("images"))[""]
    assert flags == ["--config", str(PROJECT_ROOT / gpu), "--data.root_of", "none/there"]
    assert from_this_folder([LIGHT]) == [str(PROJECT_ROOT / LIGHT)]
    monkeypatch.chdir(PROJECT_ROOT)  # as they were always recorded
    assert trainings_of_cell(study, study.cells()[1], Path("images"))[""] == written["arguments"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"config": "owm.yaml"}, "the configuration owm.yaml does not exist, neither beside"),
        ({"config": "owm.yaml"}, "Did you mean ../lab/own.yaml?"),
        ({"config": "configs/kits19/unet_ligth.yaml"}, f"Did you mean {LIGHT}?"),
        ({"config": "unet_ligth.yaml"}, f"Did you mean {LIGHT}?"),
        ({"arguments": ["--config", "shrot.yaml"]}, "Did you mean ../lab/short.yaml?"),
    ],
)
def test_what_is_nowhere_is_answered_with_what_is_near(
    written: dict, tmp_path: Path, change: dict, sentence: str
) -> None:
    written["models"][0] |= change
    with pytest.raises(UserError) as caught:
        load(written, tmp_path)
    told = str(caught.value).replace(str(tmp_path / "lab"), "../lab")
    assert sentence in told


def test_settings_are_compared_by_content_and_not_by_folder(tmp_path: Path) -> None:
    (tmp_path / "unet_light.yaml").write_bytes((PROJECT_ROOT / LIGHT).read_bytes())
    here = describe_training(LIGHT, ["--config", LIGHT, "--model.weights", "weights/w.pth"])
    copied, weights = str(tmp_path / "unet_light.yaml"), str(PROJECT_ROOT / "weights/w.pth")
    elsewhere = describe_training(copied, ["--config", copied, "--model.weights", weights])
    assert here != elsewhere
    assert by_content({"model": here, "seed": 0}) == by_content({"model": elsewhere, "seed": 0})
    Path(copied).write_text("trainer: {max_epochs: 1}\n")
    other = describe_training(copied, here["arguments"])
    assert by_content(here) != by_content(other)

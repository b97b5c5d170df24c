"""Reading a study's YAML: what is accepted, and the sentence for each mistake."""

import re
from pathlib import Path

import pytest
import yaml

from provenance import UserError
from studies.run.cells import cells_of
from studies.run.folder import yaml_text
from studies.specification.read import load_specification, parse_specification

CONFIGS = Path(__file__).parents[3] / "configs" / "studies"


def test_the_papers_study_has_its_cells_and_numbers() -> None:
    specification = load_specification(CONFIGS / "kits19_scenarios.yaml")
    assert len(cells_of(specification)) == 12 * len(specification.seeds)
    assert specification.paper is not None
    assert specification.paper.values["1"]["unet_light"] == 58.51
    assert specification.paper.values["4"]["fpn"] == 91.41
    assert [scenario.synthetic for scenario in specification.scenarios] == [
        False,
        False,
        True,
        True,
    ]


def test_the_quickstart_is_a_valid_study() -> None:
    assert load_specification(CONFIGS / "quickstart.yaml").name == "quickstart"


def test_the_recorded_yaml_reads_back_as_the_same_study(plan: dict) -> None:
    plan["paper"] = {"title": "P", "values": {1: {"fpn": 88.98}}}
    plan["extra_comparisons"] = [[3, 1]]
    specification = parse_specification(plan, "a")
    text = yaml_text(specification.as_dict())
    assert parse_specification(yaml.safe_load(text), "b") == specification


def test_numbers_and_booleans_among_arguments_become_words(plan: dict) -> None:
    plan["arguments"] = ["--trainer.max_epochs", 3, "--data.shuffle", True]
    assert parse_specification(plan, "a").arguments[1::2] == ("3", "true")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [0, 0]}, "seeds holds 0 more than once"),
        ({"seeds": ["0"]}, "seeds: expected whole numbers, found '0'"),
        ({"seeds": [-1]}, "must not be negative"),
        ({"sceanrios": []}, "sceanrios: unknown key. Did you mean 'scenarios'"),
        ({"metric": {"title": "IoU"}}, "metric.name: is missing"),
        ({"metric": {"name": "a", "percent": "yes"}}, "metric.percent: expected true or false"),
        ({"baseline_scenario": 9}, "there is no scenario '9'; there are 1, 3"),
        ({"generator": None}, "scenario 3 is synthetic, but there is no generator"),
        ({"generator": {"config": "x"}}, "generator.num_images: is missing"),
        ({"generator": {"config": "x", "num_images": 0}}, "num_images must be at least 1"),
        ({"extra_comparisons": [[3]]}, "expected pairs such as [4, 2]"),
        ({"arguments": ["--data.root=x"]}, "arguments: --data.root is set by the study"),
        ({"name": "a b"}, "name: 'a b' becomes part of a file name"),
        ({"confidence": 95}, "confidence is 95.0"),
        ({"paper": {"title": "P", "values": {1: {"vgg": 1.0}}}}, "'vgg' is no scenario or model"),
        ({"models": {}}, "models: expected a list"),
    ],
)
def test_mistakes_are_named(plan: dict, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_specification(plan | change, "study.yaml")


def test_two_underscores_would_break_cell_names(plan: dict) -> None:
    plan["models"][0]["name"] = "a__b"
    with pytest.raises(UserError, match="'a__b' becomes part of a file name"):
        parse_specification(plan, "study.yaml")


def test_files_are_named_in_errors(tmp_path: Path, plan: dict) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        load_specification(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"broken\.yaml: is not valid YAML"):
        load_specification(tmp_path / "broken.yaml")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(UserError, match=r"configuration configs/gan\.yaml does not exist"):
        load_specification(tmp_path / "study.yaml")

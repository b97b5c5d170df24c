"""Reading a study's YAML: what is accepted, and the sentence for each mistake."""

import re
from pathlib import Path

import pytest
import yaml

from provenance import UserError
from studies.run.folder import yaml_text
from studies.specification.parts import Metric, Scenario
from studies.specification.read import load_specification, parse_specification

CONFIGS = Path(__file__).parents[3] / "configs" / "studies"


def test_the_papers_study_has_its_cells_and_numbers() -> None:
    specification = load_specification(CONFIGS / "kits19_scenarios.yaml")
    assert len(specification.cells()) == (12 + 6) * len(specification.seeds)
    assert specification.paper is not None
    assert specification.paper.values["1"]["unet_light"] == 58.51
    assert specification.paper.values["4"]["fpn"] == 91.41
    synthetic = [scenario.synthetic for scenario in specification.scenarios]
    assert synthetic == [False, False, True, True, False, False]  # the last two are controls


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_reads_and_reads_back(path: Path) -> None:
    specification = load_specification(path)
    assert specification.name == path.stem
    assert parse_specification(specification.as_dict(), "study.json") == specification


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
        ({"seeds": ["0"]}, "seeds: expected whole numbers such as [0, 1], found ['0']"),
        ({"seeds": 0}, "seeds: expected whole numbers such as [0, 1], found 0"),
        ({"seeds": [-1]}, "must not be negative"),
        ({"sceanrios": []}, "study.yaml: sceanrios: unknown key. Did you mean scenarios?"),
        ({"modles": []}, "study.yaml: modles: unknown key. Did you mean models?"),
        ({"metric": {"title": "IoU"}}, "metric.name: is missing"),
        ({"metric": None}, "metric: is missing"),
        ({"metric": 1}, "metric: expected a mapping of keys, found 1"),
        ({"metric": {"name": "a", "percent": "yes"}}, "metric.percent: expected true or false"),
        ({"baseline_scenario": 9}, "there is no scenario '9'; there are 1, 3"),
        ({"generator": None}, "scenario 3 is synthetic, but there is no generator"),
        ({"generator": {"config": "x"}}, "generator.num_images: is missing"),
        ({"generator": {"config": "x", "num_images": 0}}, "num_images must be at least 1"),
        ({"extra_comparisons": [[3]]}, "expected pairs such as [4, 2]"),
        ({"extra_comparisons": [[3, 3]]}, "extra_comparisons: 3 is compared with itself"),
        ({"extra_comparisons": [[1, 3]]}, "['1', '3'] has the baseline first"),
        ({"subgroups": "sex"}, "subgroups: expected a list of label columns such as [sex, age]"),
        ({"subgroups": ["sex", "sex"]}, "subgroups holds sex more than once"),
        ({"confidence": float("nan")}, "confidence: expected a number, found nan"),
        (
            {"paper": {"title": "P", "values": {1: {"fpn": float("inf")}}}},
            "paper.values: expected rows of named numbers",
        ),
        ({"arguments": ["--data.root=x"]}, "arguments: --data.root is set by the study"),
        (
            {"generator": {"config": "x", "num_images": 8, "arguments": ["--resume", True]}},
            "study.yaml: generator.arguments: --resume is set by the study for every cell",
        ),
        (
            {"scenarios": [{"id": 1, "pretrain": ["--run_folder", "x"]}]},
            "study.yaml: scenarios[0].pretrain: --run_folder is set by the study for every cell",
        ),
        ({"name": "a b"}, "name: 'a b' becomes part of a file name"),
        ({"confidence": 95}, "confidence is 95.0"),
        ({"paper": {"title": "P", "values": {1: {"vgg": 1.0}}}}, "'vgg' is no scenario or model"),
        ({"models": {}}, "models: expected a list"),
        ({"models": []}, "models is empty"),
        ({"models": ["fpn"]}, "models[0]: expected a mapping of keys, found 'fpn'"),
        ({"models": [{"name": "fpn"}]}, "models[0].config: is missing"),
        ({"models": [{"name": "a", "confg": "b"}]}, "confg: unknown key. Did you mean config?"),
        ({"scenarios": [{"id": 1}, {"id": [2]}]}, "scenarios[1].id: expected text, found [2]"),
        ({"scenarios": [{"id": 1}, {"id": 1}]}, "scenarios holds 1 more than once"),
        ({"scenarios": [{"id": 1, "pretrain": 2}]}, "scenarios[0].pretrain: expected a list of"),
        ({"generator": {"config": "x", "num_image": 8}}, "Did you mean num_images?"),
        ({"generator": {"config": "x", "num_images": 8.5}}, "expected a whole number, found 8.5"),
        ({"generator": "gan.yaml"}, "generator: expected a mapping of keys, found 'gan.yaml'"),
        ({"title": True}, "title: expected text, found True"),
        ({"arguments": [{"a": 1}]}, "arguments: expected a list of words"),
        ({"paper": {"title": "P", "values": {1: 58.5}}}, "paper.values: expected rows of"),
    ],
)
def test_mistakes_are_named(plan: dict, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_specification(plan | change, "study.yaml")


@pytest.mark.parametrize("content", [None, [], "name: small"])
def test_what_is_no_mapping_is_refused(content: object) -> None:
    with pytest.raises(UserError, match=r"study\.yaml: expected a mapping of keys, found"):
        parse_specification(content, "study.yaml")


def test_what_may_be_left_out(plan: dict) -> None:
    plan["metric"] = "iou_mean"
    plan["paper"] = None
    for key in ("title", "question"):
        del plan[key]
    plan["scenarios"][0] = {"id": 1}
    specification = parse_specification(plan, "study.yaml")
    assert specification.title == "small"
    assert specification.question == "Does synthetic data help my model?"
    assert specification.metric == Metric("iou_mean", "iou_mean")
    assert specification.scenarios[0] == Scenario("1", "1")
    assert (specification.seeds, specification.confidence) == ((0,), 0.95)


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


@pytest.mark.parametrize(
    ("scenario", "placebo"),
    [({"id": "placebo"}, True), ({"id": "placebo"}, False), ({"id": "x", "placebo": True}, True)],
)
def test_the_name_of_the_placebo_is_kept_for_it(plan: dict, scenario: dict, placebo: bool) -> None:
    plan["scenarios"].append(scenario)
    with pytest.raises(UserError, match="this name is kept for the placebo, which `placebo: true`"):
        parse_specification(plan | {"placebo": placebo}, "a.yaml")


def test_seeds_that_would_be_those_of_another_scenario_are_refused(plan: dict) -> None:
    specification = parse_specification(plan, "a.yaml")
    drawn = specification.training_seed(specification.cells()[2])
    assert specification.cells()[2].scenario.id == "3"
    with pytest.raises(UserError, match=f"scenarios 1 and 3 would each train with seed {drawn}"):
        parse_specification(plan | {"seeds": [drawn, 0]}, "a.yaml")
    parse_specification(plan | {"seeds": [drawn, 0], "shared_seeds": True}, "a.yaml")


def test_the_same_control_twice_is_refused(plan: dict) -> None:
    plan["scenarios"][1]["controls"] = ["1", "1"]
    with pytest.raises(UserError, match="scenario 3: controls holds one scenario more than once"):
        parse_specification(plan, "a.yaml")


def test_few_images_are_of_the_same_patients_in_every_arm_and_may_go_on_from_a_checkpoint(
    plan: dict,
) -> None:
    generators = load_specification(CONFIGS / "few_images_cpu.yaml")
    for cell in generators.cells():
        flags = generators.flags_of(cell)
        assert flags[-2:] == ["--data.patients_seed", str(cell.seed)]
    seeds = {generators.training_seed(cell) for cell in generators.cells()}
    assert len(seeds) == 3 * len(generators.seeds)  # one for each number of films and seed
    plan["arguments"] = ["--model.start_from", "runs/first/checkpoints/last.ckpt"]
    with pytest.raises(UserError, match=r"--model\.start_from is set by the study for every cell"):
        parse_specification(plan, "a")

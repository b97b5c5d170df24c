"""`per_class: all` and `smaller`: the data says which classes get a generator."""

from collections.abc import Callable
from pathlib import Path

import fake_verbs
import pytest

from provenance import UserError, read_json
from studies.run.downstream import ready
from studies.run.downstream.jobs import trainings_of_cell
from studies.run.folder import Study
from studies.run.runner import run_study
from studies.specification.read import parse_specification

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture
def films(home: Path, film_cache: Callable[..., Path]) -> Path:
    """Of three classes, in training 3 normal, 6 effusion and 3 mass; a film without a label."""
    labels = ("normal", "effusion", "effusion", "mass") * 3 + ("",) * 12
    return film_cache(home / "films", labels=labels, films=3)


def resolved(plan: dict, films: Path, per_class: object, *arguments: str) -> object:
    plan["generator"] |= {"per_class": per_class, "arguments": list(arguments)}
    study = Study(parse_specification(plan, "small.yaml"), films, films / "study")
    generator = ready(study).specification.generator
    assert generator is not None
    return generator.per_class


def test_all_classes_or_those_smaller_than_the_largest(plan: dict, films: Path) -> None:
    assert resolved(plan, films, "all") == ("normal", "effusion", "mass")
    assert resolved(plan, films, "smaller") == ("normal", "mass")
    assert resolved(plan, films, "smaller", "--data.label_column", "label") == ("normal", "mass")
    assert resolved(plan, films, ["mass"]) == ("mass",)
    assert resolved(plan, films, []) == ()


def test_the_study_keeps_the_names(plan: dict, films: Path, home: Path) -> None:
    plan["generator"]["per_class"] = "smaller"
    study, out = parse_specification(plan, "small.yaml"), home / "out"
    arguments = (study, films, out, fake_verbs.load_verbs)
    outcome = run_study(*arguments, workers=0, only="3__fpn__*", say=print)
    assert not outcome.failed
    (record,) = (out / "generators").glob("*.json")
    assert [part["name"] for part in read_json(record)["parts"]] == ["normal", "mass"]
    kept = read_json(out / "study.json")["specification"]["generator"]["per_class"]
    assert kept == ["normal", "mass"]
    # the same YAML again finds the same study
    assert run_study(*arguments, workers=0, only="3__fpn__*", say=print).done == []


def test_what_cannot_be_chosen_is_said(
    plan: dict, films: Path, home: Path, film_cache: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match="no label column 'finding'"):
        resolved(plan, films, "all", "--data.label_column=finding")
    plain = film_cache(home / "plain", labels=None)
    with pytest.raises(UserError, match="has no labels, which `per_class: all`"):
        resolved(plan, plain, "all")
    one = film_cache(home / "one", labels=("normal",))
    with pytest.raises(UserError, match="two classes with training films in label; there are norm"):
        resolved(plan, one, "smaller")
    with pytest.raises(UserError, match=r"per_class: expected all, or smaller .* found 'rare'"):
        resolved(plan, films, "rare")


def test_scenarios_of_a_seed_keep_the_same_films_of_a_rare_class(plan: dict) -> None:
    """Those that the generator saw, though each scenario trains with seeds of its own."""
    plan["arguments"] = ["--data.imbalance", "4"]
    first = ["--data.real_films", "false"]
    plan["scenarios"] += [{"id": "first", "synthetic": True, "pretrain": first}]
    specification = parse_specification(plan, "small.yaml")
    parts = {
        cell.scenario.id: trainings_of_cell(specification, cell, Path("images"))
        for cell in specification.cells()
        if cell.model.name == "fpn"
    }
    assert "--data.imbalance_seed" not in parts["1"][""]  # it is the training's own
    for flags in (*parts["3"].values(), *parts["first"].values()):
        assert flags.count("--data.imbalance_seed") == 1
        assert flags[flags.index("--data.imbalance_seed") + 1] == "0"
    assert len(parts["first"]) == 2
    plan["arguments"] = []
    whole = parse_specification(plan, "small.yaml")
    for cell in whole.cells():
        for flags in trainings_of_cell(whole, cell, Path("images")).values():
            assert "--data.imbalance_seed" not in flags


def test_a_lesion_infilling_is_told_into_which_slices(plan: dict, home: Path) -> None:
    plan["generator"]["into"] = "any"
    study, out = parse_specification(plan, "small.yaml"), home / "out"
    run_study(study, home / "data", out, fake_verbs.load_verbs, workers=0, only="3__fpn__*",
              say=print)  # fmt: skip
    assert any(line.endswith(" into any") for line in fake_verbs.events())
    [record] = (out / "generators").glob("*.json")
    assert read_json(record)["settings"]["generator"]["into"] == "any"
    plan["generator"]["into"] = "everywhere"
    with pytest.raises(UserError, match=r"small.yaml: generator.into: expected healthy or any"):
        parse_specification(plan, "small.yaml")

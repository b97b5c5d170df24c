"""A study of generators: its cells, what they record, and the page that ranks them."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_verbs
import pytest

from display import numbers
from provenance import UserError
from studies.report import generators
from studies.report.generators import analyse
from studies.report.write import build_report
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.specification.read import parse_specification


@pytest.fixture
def plan() -> dict:
    return {
        "name": "gans",
        "title": "GANs",
        "question": "Which is nearest?",
        "seeds": [0],
        "distances": {"extractor": "timm:tiny", "num_images": 8, "epochs": [1, 2, 12]},
        "scenarios": [{"id": "all", "name": "all films"}],
        "models": [
            {"name": "dcgan", "title": "DCGAN", "config": "configs/dcgan.yaml"},
            {"name": "pggan", "title": "PGGAN", "config": "configs/pggan.yaml"},
        ],
        "paper": {"title": "Paper", "values": {"dcgan": {10: 9045.36}, "pggan": {10: 305.43}}},
    }


def go(plan: dict, home: Path, **settings: object) -> StudyOutcome:
    specification = parse_specification(plan, "gans.yaml")
    weights = home / "tiny.safetensors"
    weights.write_bytes(b"weights")
    settings = {"weights": weights, "workers": 0, "say": lambda line: None} | settings
    return run_study(specification, home / "data", home / "out", fake_verbs.load_verbs, **settings)


def test_a_cell_is_a_training_its_films_and_their_distances(plan: dict, home: Path) -> None:
    outcome = go(plan, home)
    assert sorted(outcome.done) == ["all__dcgan__seed0", "all__pggan__seed0"], outcome.failed
    cell = json.loads((home / "out/cells/all__dcgan__seed0.json").read_text())
    fit, films, *distances = cell["commands"]
    assert f"--distance.extractor timm:tiny --distance.weights {home}/tiny.safetensors" in fit
    assert "--distance.num_images 8 --distance.every_epochs 1" in fit
    assert "--distance.random_vgg_too true" in fit
    assert films.startswith("python generate.py --checkpoint")
    assert "--num-images 8" in films
    assert [command.split("--extractor ")[1].split()[0] for command in distances] == [
        "timm:tiny",
        "random_vgg",
    ]
    assert all(command.startswith("python evaluate.py images --root") for command in distances)
    assert "--weights" in distances[0]
    assert "--weights" not in distances[1]
    # every measurement, not the thinned curve, with its epoch
    assert cell["measured"]["val/frechet_tiny"][:2] == [[64.0, 0, 117.0], [128.0, 1, 58.5]]
    assert set(cell["evaluation"]["summary"]) == {
        "frechet_tiny",
        "frechet_random_vgg",
        "precision_tiny",
        "precision_random_vgg",
    }
    before = fake_verbs.events()
    assert len(go(plan, home).already_done) == 2
    assert fake_verbs.events() == before


def finished(model: str, value: float, half_width: float, floor: float = 4.0) -> dict:
    """A cell's record with a distance and its interval."""
    entry = {"value": value, "low": value - half_width, "high": value + half_width}
    entry |= {"floor": floor, "value_at_floor_size": value, "num_images_at_floor": 30}
    sizes = {"num_real": 60, "num_real_patients": 50, "num_synthetic": 8}
    return {
        "name": f"all__{model}__seed0",
        "scenario": "all",
        "model": model,
        "seed": 0,
        "measured": {"val/frechet_tiny": [[64, 0, 9.0], [128, 1, 7.0]]},
        "evaluation": {"summary": {"frechet_tiny": entry}, "by_extractor": {"timm:tiny": sizes}},
        "timings": {"images_seen": 128, "fit_seconds": 1.0},
    }


def test_the_ranking_is_by_held_out_distance_and_says_what_overlaps(plan: dict) -> None:
    specification = parse_specification(plan, "gans.yaml")
    apart = [finished("dcgan", 30, 2), finished("pggan", 20, 2)]
    answer = analyse(specification, apart, [])["answer"]
    opening = "In this one training of each, nearest to held-out films: PGGAN, Frechet distance"
    assert answer["headline"].startswith(opening)
    assert "20.0 [18.0 to 22.0]" in answer["headline"]
    assert answer["headline"].endswith("Nothing is told apart from it.")  # 10 apart, one training
    assert [line["verdict"] for line in answer["lines"]] == ["nearest", "not told apart"]
    assert any("more than twice as far" in limit for limit in answer["limits"])
    assert any("One seed" in limit for limit in answer["limits"])
    close = [finished("dcgan", 23, 2), finished("pggan", 20, 2, floor=15.0)]
    answer = analyse(specification, close, [])["answer"]
    assert not any("more than twice" in limit for limit in answer["limits"])
    several = parse_specification({**plan, "seeds": [0, 1, 2]}, "gans.yaml")
    trained = [
        {**finished(model, value, 1), "name": f"{name}__{model}__seed{seed}", "seed": seed}
        for model, values in (("dcgan", (28, 31, 34)), ("pggan", (20, 21, 22)))
        for seed, value in enumerate(values)
        for name in [finished(model, value, 1)["name"].split("__")[0]]
    ]
    answer = analyse(several, trained, [])["answer"]
    assert answer["headline"].startswith("Nearest to held-out films: PGGAN")
    assert [line["verdict"] for line in answer["lines"]] == ["nearest", "farther"]
    assert "21.0 [1" in answer["headline"]  # longer than one training's 21 -+ 1
    farther = answer["lines"][1]["numbers"]
    assert "; from the nearest +10.0 [+" in farther
    assert farther.endswith(" after Holm over 1 pair")
    unfinished = [trained[0], *trained[3:]]  # one training of the farther one
    answer = analyse(several, unfinished, [])["answer"]
    assert [line["verdict"] for line in answer["lines"]] == ["nearest", "not told apart"]
    assert any(limit.startswith("One seed, of some or of all") for limit in answer["limits"])
    nothing = analyse(specification, [], [])
    assert nothing["answer"]["headline"].startswith("No answer yet")
    assert len(nothing["cells_missing"]) == 2


def test_methods_behind_a_nearest_one_that_varies_much_are_told_apart(plan: dict) -> None:
    third = {"name": "stylegan", "title": "StyleGAN2", "config": plan["models"][0]["config"]}
    plan = {**plan, "seeds": [0, 1, 2], "models": [*plan["models"], third]}
    specification = parse_specification(plan, "gans.yaml")

    def answer(pggan: tuple[int, ...]) -> dict:
        values = {"dcgan": (332, 353, 325), "pggan": pggan, "stylegan": (185, 200, 218)}
        trained = [
            {**finished(model, value, 1), "name": f"all__{model}__seed{seed}", "seed": seed}
            for model, of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
        ]
        return analyse(specification, trained, [])["answer"]

    found = answer((79, 170, 300))
    assert found["headline"].endswith(
        " Nothing is told apart from it. DCGAN is farther than StyleGAN2."
    )
    last = found["lines"][-1]
    assert (last["model"], last["pair"], last["verdict"]) == (
        "DCGAN",
        "against StyleGAN2",
        "farther",
    )
    assert last["numbers"].startswith("+136 [+")
    assert last["numbers"].endswith(" after Holm over 3 pairs")
    # Where both are farther than the nearest one, the pair of them is not named.
    found = answer((79, 81, 80))
    assert [line["verdict"] for line in found["lines"]] == ["nearest", "farther", "farther"]
    assert found["headline"].endswith("]. All others are farther.")


def test_the_page_has_table_1s_layout_floors_and_the_published_numbers(
    plan: dict, home: Path
) -> None:
    plan["seeds"] = [0, 1]
    fake_verbs.order("all__pggan__seed1", "fail")
    go(plan, home)
    html = build_report(home / "out").read_text()
    content = json.loads((home / "out/report.json").read_text())
    assert [column["epoch"] for column in content["columns"]] == [1, 2, 12]
    assert content["columns"][2]["images_seen"] == [768]
    first = content["training"]["frechet_tiny"][0]["epochs"]["1"]
    assert (first["mean"], first["seed_spread"]) == (pytest.approx(117.0), 0)
    assert content["circumstances"]["frechet_tiny"]["floor"] == [4.0, 4.0, 4.0]
    for text in (
        "epoch 12, 768 images",
        "9045.36",
        "Frechet distance, tiny features",
        "Frechet distance, random_vgg features",
        "60 real and 8 generated",
        "only 1 of 2 seeds",
        "50 patients of the test split",
        "all__pggan__seed1: ValueError: the loss is not finite",
        "--weights",
    ):
        assert text in html, text
    assert html.count(";base64,") == 4  # two plots, two sheets
    markdown = (home / "out/report.md").read_text()
    assert "| Generator | epoch 1, 64 images | epoch 2, 128 images |" in markdown


@pytest.mark.usefixtures("unrendered")
def test_a_table_and_a_figure_that_the_template_does_not_name_are_drawn(
    plan: dict, home: Path, added_is_shown: Callable[[ModuleType, Path], None]
) -> None:
    go(plan, home)
    added_is_shown(generators, home / "out")


def test_other_weights_are_other_settings(plan: dict, home: Path) -> None:
    go(plan, home)
    (home / "other.safetensors").write_bytes(b"others")
    with pytest.raises(UserError, match="weights_sha256 was"):
        go(plan, home, weights=home / "other.safetensors")
    # which epochs the table shows is no setting of a training
    plan["distances"]["epochs"] = [2]
    assert len(go(plan, home).already_done) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"distances": {"epochs": [3], "every_epochs": 2}}, "only every 2th epoch is measured"),
        ({"distances": {"split": "all"}}, "expected train, val or test"),
        ({"distances": {"checkpoint": "first"}}, "expected last or best"),
        ({"distances": {"num_images": 1}}, "at least 4"),
        ({"metric": "iou_mean"}, "metric: unknown key"),
        ({"arguments": ["--distance.num_images", 5]}, "stands under `distances`"),
        ({"scenarios": [{"id": "a", "synthetic": True}]}, "trains generators, on real films"),
        ({"paper": {"title": "P", "values": {"dcgan": {"ten": 1}}}}, "no number of an epoch"),
    ],
)
def test_a_study_that_cannot_be_is_refused(plan: dict, change: dict, sentence: str) -> None:
    if "scenarios" in change:
        plan["generator"] = {"config": "a.yaml", "num_images": 3}
    with pytest.raises(UserError, match=sentence):
        parse_specification(plan | change, "gans.yaml")


def test_weights_are_asked_for_before_the_first_training(plan: dict, home: Path) -> None:
    with pytest.raises(UserError, match="measures with timm:tiny, whose weights are a file"):
        go(plan, home, weights=None)
    with pytest.raises(UserError, match="is not there"):
        go(plan, home, weights=home / "nowhere.pth")
    plan["distances"] = {"extractor": "random_vgg", "num_images": 8}
    with pytest.raises(UserError, match="no extractor that takes weights"):
        go(plan, home)
    assert len(go(plan, home, weights=None).done) == 2


@pytest.mark.usefixtures("unrendered")
def test_the_placebo_stands_beside_the_ranking(plan: dict, home: Path) -> None:
    assert not go(plan, home, placebo=True).failed
    build_report(home / "out")
    content = json.loads((home / "out/report.json").read_text())
    *ranked, first, second = content["answer"]["lines"]
    assert {line["model"] for line in ranked} == {"DCGAN", "PGGAN"}
    by_name = {row["scenario"] + row["model"]: row for row in content["held_out"]}
    for line, model in ((first, "dcgan"), (second, "pggan")):
        value, baseline = (
            by_name[arm + model]["scores"]["frechet_tiny"]["value"] for arm in ("placebo", "all")
        )
        assert line["pair"] == "placebo: the difference that nothing made"
        assert line["numbers"].startswith(numbers.difference(value - baseline, False))
    assert "placebo" not in content["answer"]["headline"].lower()

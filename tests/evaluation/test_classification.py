"""evaluate.py on a classifier: what it writes and what it refuses."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import command_line
import evaluate
from datamodules.film_cache import FilmCache
from lightning_modules.checkpoint_files import save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import instantiate_module, load_module
from metrics.auroc_intervals import score_interval
from metrics.delong import delong_test
from metrics.ranking import auroc
from metrics.thresholds import chosen_thresholds, operating_point
from provenance import UserError, library_versions

VGG = {
    "class_path": "networks.VGG16",
    "init_args": {"width": 4, "hidden": 8, "pooled_size": 1},
}
PATIENTS = {
    f"patient_{i:012x}": s for i, s in enumerate(["train"] * 2 + ["val"] * 6 + ["test"] * 8)
}
FILES = [
    "evaluation.json", "grad_cam.png", "images.csv", "reliability.png", "report.html", "roc.png"
]  # fmt: skip


def write_checkpoint(
    path: Path,
    root: Path,
    seed: int = 0,
    scale: float = 20.0,
    classes: int = 2,
    image_channels: int = 1,
    findings: Sequence[str] = (),
    **record: Any,
) -> Path:
    """A classifier with random weights whose logits are far enough apart to tell films apart."""
    cache = FilmCache.open(root)
    names = cache.class_names("label") if cache.label_columns else ["normal", "abnormal"]
    arguments = {
        "network": VGG,
        "num_classes": classes,
        "image_channels": image_channels,
        "class_names": names,
    }
    model = {"class_path": "lightning_modules.Classifier", "init_args": arguments}
    if findings:
        told = {"network": VGG, "finding_names": list(findings)}
        model = {"class_path": "lightning_modules.FindingsClassifier", "init_args": told}
    torch.manual_seed(seed)
    module = instantiate_module(model, path)
    state = module.state_dict()
    last = [name for name in state if name.endswith("weight")][-1]
    state[last] *= scale
    split = {name: cache.patients(name) for name in ("train", "val", "test")}
    content = {
        "state_dict": state,
        "progress": {"steps_done": 3, "images_seen": 24},
        RECORD_KEY: {
            "model": model,
            "data": {
                "class_path": "datamodules.ChestXrayDataModule",
                "init_args": {
                    "root": Path(root).name,
                    "balance": "oversample",
                    "synthetic": "gone",
                },
            },
            "image_size": cache.image_size,
            "class_names": names,
            "split": {"by": "patient", "split_id": cache.split_id, **split},
            "versions": library_versions(),
            **record,
        },
    }
    save_checkpoint_file(content, path)
    if path.parent.name == "checkpoints":  # of a run, whose config.yaml tells the whole path
        config = {"data": {"init_args": {"root": str(root)}}}
        (path.parents[1] / "config.yaml").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import write_film_cache

    return write_film_cache(tmp_path_factory.mktemp("films") / "cache", PATIENTS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, films: Path) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints/best.ckpt", films)


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("evaluations") / "first"
    return out, evaluate.evaluate(checkpoint=checkpoint, out=out, show_progress=False)


def arrays(result: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows = result["images"]
    probabilities = np.array([row["probability"] for row in rows])
    return probabilities, np.array([r["label"] for r in rows]), [r["patient_id"] for r in rows]


def run(*words: Any) -> int:
    return command_line.run_verb("evaluate.py", lambda: evaluate.main([str(w) for w in words]))


def test_predictions_are_those_of_the_network(
    evaluated: tuple[Path, dict[str, Any]], checkpoint: Path, films: Path
) -> None:
    _, result = evaluated
    cache = FilmCache.open(films)
    module, _ = load_module(checkpoint)
    indices = cache.indices("test")
    assert [row["id"] for row in result["images"]] == cache.ids[indices].tolist()
    for index, row in zip(indices, result["images"], strict=True):
        pixels = torch.from_numpy(np.array(cache.image(int(index))[1:-1, 1:-1])).float()
        with torch.no_grad():
            shares = module(pixels[None, None] / 127.5 - 1).double().softmax(1)[0]
        assert row["probability"] == pytest.approx(float(shares[1]), abs=1e-5)
        assert row["label"] == cache.labels("label")[index]
        assert row["log_loss"] == pytest.approx(-float(shares[row["label"]].log()), abs=1e-3)
        assert row["brier"] == pytest.approx(float(shares[1] - row["label"]) ** 2, abs=1e-5)
        assert row["correct"] == int((row["probability"] >= 0.5) == row["label"])
    assert len({row["probability"] for row in result["images"]}) > 20  # no constant network


def test_what_an_evaluation_holds(evaluated: tuple[Path, dict[str, Any]]) -> None:
    out, result = evaluated
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads((out / "evaluation.json").read_text()) == result
    assert (result["task"], result["split"], result["split_by"]) == (
        "classification", "test", "patient",
    )  # fmt: skip
    assert (result["num_images"], result["num_patients"]) == (24, 8)
    assert result["class_counts"] == {"normal": 12, "abnormal": 12}
    probabilities, labels, patients = arrays(result)
    summary = result["summary"]
    assert summary["auroc"] == score_interval(probabilities, labels, patients).as_dict()
    correct = [row["correct"] for row in result["images"]]
    assert summary["accuracy"]["value"] == pytest.approx(np.mean(correct))
    assert summary["sensitivity"]["value"] == pytest.approx(
        np.mean(probabilities[labels == 1] >= 0.5)
    )
    assert summary["specificity"]["value"] == pytest.approx(
        np.mean(probabilities[labels == 0] < 0.5)
    )
    assert summary["sensitivity"]["num_values"] == 12
    assert summary["ece"]["low"] is None
    assert set(summary) == {
        "auroc", "accuracy", "sensitivity", "specificity", "average_precision", "ece",
        "log_loss", "brier",
    }  # fmt: skip
    curve = result["roc"]
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(summary["auroc"]["value"])
    assert sum(each["count"] for each in result["reliability"]) == 24
    assert result["grad_cam"] == {"layer": "features.29", "rows": 2, "columns": 2}
    assert any("Only 8 patients" in note for note in result["notes"])
    with open(out / "images.csv") as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == [r["id"] for r in result["images"]]


def test_thresholds_are_chosen_on_validation_films(
    evaluated: tuple[Path, dict[str, Any]], checkpoint: Path, tmp_path: Path
) -> None:
    _, result = evaluated
    validation = evaluate.evaluate(checkpoint, tmp_path / "val", split="val", show_progress=False)
    chosen = chosen_thresholds(*arrays(validation)[:2])
    assert result["thresholds_chosen_on"] == "val"
    assert {row["rule"]: row["threshold"] for row in result["thresholds"]} == chosen
    for row in result["thresholds"]:
        point = operating_point(*arrays(result)[:2], row["threshold"])
        assert point.as_dict().items() <= row.items()
    page = (tmp_path / "val" / "report.html").read_text()
    assert "optimistic" in page
    assert any(n.startswith("The validation split chose the check") for n in validation["notes"])
    assert any(n.startswith("The thresholds were chosen on these") for n in validation["notes"])
    assert not any("chose" in n for n in result["notes"])


def test_the_page_needs_no_other_file(evaluated: tuple[Path, dict[str, Any]], films: Path) -> None:
    out, result = evaluated
    page = (out / "report.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 3
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert str(films) not in page
    area = result["summary"]["auroc"]
    assert area["low"] is None
    assert area["no_interval"].startswith("too few: ")
    assert area["no_interval"] in page
    assert "What this does not prove" in page
    assert "Chosen on the validation films and scored on the test films" in page


def test_classifiers_are_compared_on_the_same_films(
    evaluated: tuple[Path, dict[str, Any]], checkpoint: Path, films: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    first, result = evaluated
    other = write_checkpoint(tmp_path / "checkpoints/other.ckpt", films, seed=3)
    words = ["--checkpoint", other, "--out", tmp_path / "second"]
    assert run(*words, "--compare", first, first, "--batch-size", 5) == 0
    printed = capsys.readouterr().out
    assert "auroc minus that of first" in printed
    second = json.loads((tmp_path / "second" / "evaluation.json").read_text())
    mine, labels, patients = arrays(second)
    theirs = arrays(result)[0]
    for comparison in second["comparisons"]:
        assert comparison["value"] == pytest.approx(auroc(mine, labels) - auroc(theirs, labels))
        z = delong_test(mine, theirs, labels, patients).z
        # Too few patients of a class for an interval, or for a normal distribution.
        assert (comparison["z"], comparison["p"], comparison["low"]) == (z, None, None)
        assert comparison["no_interval"].startswith("too few: ")
    assert "Beside other classifiers" in (tmp_path / "second" / "report.html").read_text()

    validation = evaluate.evaluate(checkpoint, tmp_path / "val", split="val", show_progress=False)
    assert validation["num_images"] == 18
    for folder, sentence in (
        (tmp_path / "val", "was evaluated on other films"),
        (tmp_path, "holds no evaluation.json"),
    ):
        assert run("--checkpoint", other, "--out", tmp_path / "third", "--compare", folder) == 2
        assert sentence in capsys.readouterr().err
    row = result["images"][0]
    for number, content in enumerate(
        (
            ["a"],
            {**result, "class_names": 2},
            {**result, "images": [{**row, "probability": "<script>"}]},
            {**result, "images": ["a"]},
            {key: value for key, value in result.items() if key != "checkpoint_sha256"},
        )
    ):
        theirs = tmp_path / f"theirs{number}"
        theirs.mkdir()
        (theirs / "evaluation.json").write_text(json.dumps(content))
        assert run("--checkpoint", other, "--out", tmp_path / "third", "--compare", theirs) == 2
        assert f"--compare {theirs}: " in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_an_evaluation_is_repeated_but_never_overwritten_by_another(
    evaluated: tuple[Path, dict[str, Any]], checkpoint: Path, films: Path, tmp_path: Path
) -> None:
    out, result = evaluated
    again = evaluate.evaluate(checkpoint, out, batch_size=7, show_progress=False)
    for row, before in zip(again["images"], result["images"], strict=True):
        assert row["probability"] == pytest.approx(before["probability"], abs=1e-5)
    other = write_checkpoint(tmp_path / "checkpoints/other.ckpt", films, seed=1)
    with pytest.raises(UserError, match="holds another evaluation"):
        evaluate.evaluate(other, out, show_progress=False)


def test_wrong_input_is_a_sentence(
    checkpoint: Path, films: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    def sentence(path: Path = checkpoint, root: Path | None = None, **flags: Any) -> str:
        with pytest.raises(UserError) as caught:
            evaluate.evaluate(path, tmp_path / "out", root, show_progress=False, **flags)
        return str(caught.value)

    assert "--slices: is a setting of segmenters" in sentence(slices="all")
    assert "--absent-class: is a setting of segmenters" in sentence(absent_class="one")
    unlabelled = film_cache(tmp_path / "unlabelled", PATIENTS, labels=None)
    assert "have no labels" in sentence(root=unlabelled)
    others = film_cache(tmp_path / "others", PATIENTS, labels=("normal", "covid"))
    assert "to tell apart normal, abnormal" in sentence(root=others)
    three = film_cache(tmp_path / "three", PATIENTS, labels=("normal", "a", "b"))
    assert "has 3 classes" in sentence(root=three)
    small = film_cache(tmp_path / "small", PATIENTS, image_size=24, stored_size=26)
    assert "--image-size 32" in sentence(root=small)
    leaking = film_cache(tmp_path / "leaking", dict.fromkeys(PATIENTS, "test"), by="image")
    assert "2 patients of its test split were training patients" in sentence(root=leaking)
    weights = torch.load(checkpoint, weights_only=True)
    weights["state_dict"] = {k: v * float("nan") if v.is_floating_point() else v
                             for k, v in weights["state_dict"].items()}  # fmt: skip
    save_checkpoint_file(weights, checkpoint.with_name("nan.ckpt"))
    assert "predicts NaN" in sentence(checkpoint.with_name("nan.ckpt"))
    assert not (tmp_path / "out").exists()


def test_larger_films_and_none_to_choose_on(
    checkpoint: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    """Films of another hospital: prepared at twice the size, all of them test films."""
    patients = {f"patient_{i:012d}": "test" for i in range(90, 94)}
    root = film_cache(tmp_path / "far", patients, image_size=64, stored_size=66, by="image")
    result = evaluate.evaluate(checkpoint, tmp_path / "out", root, show_progress=False)
    assert (result["num_images"], result["thresholds_chosen_on"]) == (12, None)
    assert [row["rule"] for row in result["thresholds"]] == ["default"]
    assert any("no validation films" in note for note in result["notes"])
    assert any("split by image" in note for note in result["notes"])


def test_one_class_has_no_auroc_and_says_so(
    checkpoint: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    patients = {"patient_a": "train", "patient_b": "test"}
    root = film_cache(tmp_path / "one", patients, films=1, by="image")  # the test film is abnormal
    result = evaluate.evaluate(checkpoint, tmp_path / "out", root, show_progress=False)
    assert result["summary"]["auroc"]["value"] is None
    assert result["roc"] is None
    assert any("There is no film that is normal" in note for note in result["notes"])
    assert not (tmp_path / "out" / "roc.png").exists()
    assert "ROC curve</h2>" not in (tmp_path / "out" / "report.html").read_text()


def test_three_classes(film_cache: Callable[..., Path], tmp_path: Path) -> None:
    root = film_cache(tmp_path / "three", PATIENTS, labels=("normal", "a", "b"))
    path = write_checkpoint(tmp_path / "checkpoints/best.ckpt", root, classes=3)
    result = evaluate.evaluate(path, tmp_path / "out", show_progress=False)
    rows = result["images"]
    table = np.array([row["probabilities"] for row in rows])
    assert table.sum(axis=1) == pytest.approx(np.ones(24))
    labels = np.array([row["label"] for row in rows])
    each = [auroc(table[:, column], labels == column) for column in range(3)]
    assert result["summary"]["auroc"]["value"] == pytest.approx(np.mean(each))
    called = table.argmax(axis=1)
    recall = [np.mean(called[labels == column] == column) for column in range(3)]
    assert result["summary"]["sensitivity"]["value"] == pytest.approx(np.mean(recall))
    assert (result["thresholds"], result["roc"]) == ([], None)
    assert not (tmp_path / "out" / "roc.png").exists()
    with pytest.raises(UserError, match="for two classes"):
        evaluate.evaluate(path, tmp_path / "more", compare=[tmp_path / "out"], show_progress=False)


def test_what_is_required_stands_on_the_page(
    evaluated: tuple[Path, dict[str, Any]],
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ["--checkpoint", checkpoint, "--out", out, "--compare", evaluated[0]]
    assert run(*words, "--require", "num_films>=3") == 2
    assert "Did you mean num_images?" in capsys.readouterr().err
    assert not out.exists()
    rules = "auroc>=0, ece<=1, accuracy>=0.3, auroc_minus:first>=-1"
    assert run(*words, "--require", rules) == 4
    required = json.loads((out / "evaluation.json").read_text())["require"]
    verdicts = [row["verdict"] for row in required]
    assert verdicts == ["cannot be said", "holds", "holds", "cannot be said"]
    assert "8 patients of a class, 20 needed" in required[0]["sentence"]
    page = (out / "report.html").read_text()
    assert "What was required" in page
    assert "accuracy&gt;=0.3" in page
    assert "What was required" not in (evaluated[0] / "report.html").read_text()

"""A classifier's loss, scores, settings and pictures, and the data that it refuses."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import Namespace
from torch import nn

import train
from datamodules import ChestXrayDataModule
from lightning_modules import Classifier
from lightning_modules.loading import load_module
from lightning_modules.predictions import Predictions, gather_predictions, validation_metrics
from provenance import UserError
from tests.classifier_runs import arguments, logged
from tests.conftest import write_film_cache
from training.settings import take_from_data

ROOT = Path(__file__).parents[2]
Cache = Callable[..., Path]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


# ---- settings and data -----------------------------------------------------------------------


def test_classes_that_were_asked_for_must_be_the_data_s(tmp_path: Path) -> None:
    data = ChestXrayDataModule(str(write_film_cache(tmp_path / "films")))
    model = Namespace(num_classes=2, class_names=("healthy", "ill"))
    with pytest.raises(UserError, match=r"are healthy, ill, but the films .* normal, abnormal"):
        take_from_data(model, data)
    with pytest.raises(UserError, match=r"num_classes is 5, but .* have 2 classes"):
        take_from_data(Namespace(num_classes=5, class_names=("normal", "abnormal")), data)
    gan = Namespace(image_channels=1)
    take_from_data(gan, data)
    assert "num_classes" not in gan


def made(**settings: Any) -> Classifier:
    settings = {"num_classes": 2, "class_names": ("normal", "abnormal"), **settings}
    return Classifier(lambda c, k: nn.Sequential(nn.Flatten(), nn.Linear(c * 16, k)), **settings)


def test_wrong_settings_are_refused() -> None:
    for settings, sentence in (
        ({"num_classes": 3}, "num_classes is 3 and --model.class_names are normal, abnormal"),
        ({"class_weights": "heavy"}, "class_weights is heavy"),
        ({"class_weights": [1.0]}, r"class_weights are \[1\.0\]; expected 2 numbers"),
        ({"class_weights": [0.0, 0.0]}, "not all 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1\.0"),
        ({"layerwise_decay": 0.0}, r"layerwise_decay is 0\.0"),
        ({"layerwise_decay": 0.5}, "Sequential has no stages"),
    ):
        with pytest.raises(UserError, match=sentence):
            made(**settings)


# ---- loss and scores ---------------------------------------------------------------------------


def test_class_weights_count_in_the_loss() -> None:
    module = made(class_weights=[1.0, 3.0])
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    losses = module.losses(logits, torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([math.log(4), 3 * math.log(2)])


def test_scores_of_two_classes_by_hand() -> None:
    positive = torch.tensor([0.9, 0.6, 0.4, 0.2, 0.7, 0.1], dtype=torch.float64)
    labels = torch.tensor([1, 1, 1, 0, 0, 0])
    table = torch.stack([1 - positive, positive], dim=1)
    scores = validation_metrics(gather_predictions(table, labels, torch.ones(6)))
    assert scores["auroc"] == pytest.approx(7 / 9)
    assert scores["sensitivity"] == scores["specificity"] == pytest.approx(2 / 3)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["loss"] == 1


def test_scores_of_three_classes_are_means_over_classes() -> None:
    table = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]])
    labels = torch.tensor([0, 1, 2, 0])
    found = gather_predictions(table, labels, torch.zeros(4))
    scores = validation_metrics(found)
    assert scores["accuracy"] == pytest.approx(3 / 4)
    assert scores["sensitivity"] == pytest.approx((1 + 1 + 0) / 3)
    assert scores["specificity"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    one_missing = validation_metrics(
        Predictions(found.probabilities, found.labels % 2, found.losses)
    )
    assert one_missing["auroc"] is one_missing["sensitivity"] is None


def test_illustration_shows_the_pixels_that_matter() -> None:
    module = made()
    linear = module.network[1]
    nn.init.zeros_(linear.weight)
    linear.weight.data[1, 5] = -2.0
    linear.weight.data[1, 6] = 1.0
    linear.bias.data = torch.tensor([0.0, 10.0])
    with torch.inference_mode():
        columns = module.illustrate({"image": torch.zeros(2, 1, 4, 4)})
    expected = torch.full((4, 4), -1.0)
    expected[1, 1], expected[1, 2] = 1.0, 0.0
    assert torch.allclose(columns["sensitivity"][0, 0], expected)


# ---- runs ------------------------------------------------------------------------------------


def test_missing_class_is_said_once_and_not_logged(
    tmp_path: Path, film_cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = film_cache(tmp_path / "cache", films=1, labels=("normal", "abnormal", "normal",
        "abnormal", "normal", "normal", "normal", "normal"))  # fmt: skip
    train.fit(arguments(cache, tmp_path / "run"))
    values = logged(tmp_path / "run")
    assert not {"val/auroc", "val/sensitivity", "val/average_precision"} & set(values)
    assert {"val/specificity", "val/accuracy", "val/loss", "val/ece"} <= set(values)
    said = capsys.readouterr().err
    assert (
        said.count("val/auroc: is not defined and not logged, since no validation image is ") == 1
    )
    assert (tmp_path / "run/checkpoints/best.ckpt").exists()


def test_data_that_cannot_be_told_apart_are_refused(tmp_path: Path, film_cache: Cache) -> None:
    for name, labels, sentence in (
        ("none", None, "uses its films without labels, and a classifier needs them"),
        ("one", ("normal", ""), "expected one name for each of two or more classes"),
    ):
        cache = film_cache(tmp_path / name, labels=labels)
        with pytest.raises(UserError, match=sentence):
            train.fit(arguments(cache, tmp_path / f"run_{name}"))
    films = film_cache(tmp_path / "films")
    only = arguments(films, tmp_path / "run", "--data.only_label=normal")
    with pytest.raises(UserError, match=r"All \d+ training images are normal"):
        train.fit(only)
    both = ["--data.balance=oversample", "--model.class_weights=balanced"]
    with pytest.raises(UserError, match="oversample balances the classes already"):
        train.fit(arguments(films, tmp_path / "run2", *both))


def test_three_classes_are_taken_from_the_data(tmp_path: Path, film_cache: Cache) -> None:
    cache = film_cache(tmp_path / "cache", labels=("normal", "fluid", "mass"))
    train.fit(arguments(cache, tmp_path / "run", "--trainer.max_epochs=1"))
    values = logged(tmp_path / "run")
    assert {"val/auroc", "val/sensitivity", "val/ece"} <= set(values)
    module, _ = load_module(tmp_path / "run/checkpoints/last.ckpt")
    assert module.class_names == ("normal", "fluid", "mass")

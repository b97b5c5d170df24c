"""The report shows what the predictions say, and lies in the run folder."""

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

import train
from callbacks.classifier_report import (
    ClassifierReport,
    confusion_matrix,
    draw_mistakes,
    draw_scores,
    worst_mistakes,
)
from lightning_modules import Segmenter
from lightning_modules.predictions import Predictions
from provenance import UserError
from tests.conftest import write_film_cache

ROOT = Path(__file__).parents[2]


def predictions(positive: list[float], labels: list[int]) -> Predictions:
    second = np.array(positive)
    table = np.stack([1 - second, second], axis=1)
    return Predictions(table, np.array(labels), np.zeros(len(labels)))


FOUND = predictions([0.9, 0.25, 0.125, 0.75, 0.625, 0.375], [1, 1, 1, 0, 0, 0])


def test_worst_mistakes_come_first_and_right_ones_never() -> None:
    assert worst_mistakes(FOUND, 10).tolist() == [2, 1, 3, 4]  # 1/8, 1/4, 1/4 and 3/8 of the truth
    assert worst_mistakes(FOUND, 2).tolist() == [2, 1]
    assert worst_mistakes(predictions([0.9, 0.1], [1, 0]), 5).tolist() == []


def test_confusion_matrix_has_the_truth_in_rows() -> None:
    assert confusion_matrix(FOUND).tolist() == [[1, 2], [2, 1]]
    assert confusion_matrix(predictions([0.9, 0.9, 0.1], [0, 0, 1])).tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("names", [("normal", "abnormal"), ("normal", "fluid", "a very long one")])
def test_scores_are_drawn_also_where_a_class_is_missing(names: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    table = random.dirichlet(np.ones(len(names)), 30)
    found = Predictions(table, random.integers(0, len(names), 30), np.zeros(30))
    picture = draw_scores(found, names)
    assert picture.shape == (440, 960, 3)
    assert picture.dtype == np.uint8
    nothing = Predictions(table, np.zeros(30, np.int64), np.zeros(30))
    assert not np.array_equal(draw_scores(nothing, names), picture)


def test_mistakes_are_six_in_a_row() -> None:
    films = [np.full((32, 32), 10 * index, np.uint8) for index in range(8)]
    rows = [[f"film_{index:016x}", "normal", "abnormal", 0.1] for index in range(8)]
    picture = draw_mistakes(rows, films)
    assert picture.shape[1] > 6 * 150
    assert picture.shape[0] > 2 * 150
    assert (picture == 70).all(axis=2).sum() == 150 * 150  # the last film, enlarged


def arguments(cache: Path, folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        f"--config={ROOT / 'configs/chest_xray/vgg16.yaml'}",
        "--model.network.width=4",
        "--model.network.hidden=8",
        "--model.network.pooled_size=1",
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--data.images_per_epoch=4",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        f"--run_folder={folder}",
        *extra,
    ]


def test_run_has_the_films_that_were_mistaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callbacks.wandb_log import RunWandbLogger

    monkeypatch.chdir(ROOT)
    cache = write_film_cache(tmp_path / "cache")
    logged: dict[str, object] = {}
    monkeypatch.setattr(
        RunWandbLogger, "log_metrics", lambda self, metrics, step=None: logged.update(metrics)
    )
    monkeypatch.setattr(
        RunWandbLogger,
        "log_image",
        lambda self, key, images, step=None: logged.update({key: images}),
    )
    train.fit(arguments(cache, tmp_path / "run", "--wandb=offline"))
    names = {path.name for path in (tmp_path / "run/samples").iterdir()}
    for epoch, images in ((1, 4), (2, 8)):
        ending = f"epoch_{epoch:04d}_images_{images:08d}.png"
        assert {ending, f"scores_{ending}", f"mistakes_{ending}"} <= names
    with Image.open(tmp_path / "run/samples/scores_epoch_0002_images_00000008.png") as picture:
        assert picture.size == (960, 440)
    assert {"val/scores", "samples"} <= set(logged)
    table = logged["val/worst_mistakes"]
    assert table.columns == ["film", "id", "truth", "prediction", "probability of truth"]
    assert 1 <= len(table.data) <= 6
    for film, name, truth, called, probability in table.data:
        number = int(name.removeprefix("film_"), 16)
        assert truth == ("normal", "abnormal")[number % 2] != called
        assert probability < 0.5
        stored = np.load(cache / f"arrays/films_{number // 5:06d}.npy")[number % 5][1:33, 1:33]
        assert np.array_equal(np.asarray(film.image.convert("L")), stored)


def test_other_modules_and_numbers_below_one_are_refused() -> None:
    with pytest.raises(UserError, match="num_mistakes is 0"):
        ClassifierReport(num_mistakes=0)
    module = Segmenter(
        lambda channels, classes: torch.nn.Conv2d(channels, classes, 1), 2, class_names=("a", "b")
    )
    with pytest.raises(UserError, match=r"this run trains a Segmenter\. Leave it out"):
        ClassifierReport().on_fit_start(L.Trainer(logger=False, accelerator="cpu"), module)

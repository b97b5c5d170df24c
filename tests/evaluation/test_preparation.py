"""Images of another window or contrast than in training are scored, and said to be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluate
import train
from datamodules.open_cache import open_cache
from lightning_modules.loading import load_module
from tests.evaluation import test_classification as of_films
from tests.evaluation import test_segmentation as of_slices

PROJECT = Path(__file__).parents[2]
WINDOW = {"width_hu": 350.0, "center_hu": 40.0}


def prepared_otherwise(root: Path, to: Path, **entries: Any) -> Path:
    shutil.copytree(root, to)
    manifest = json.loads((to / "manifest.json").read_text())
    manifest.update(entries)
    (to / "manifest.json").write_text(json.dumps(manifest))
    return to


def notes_of(checkpoint: Path, out: Path, root: Path) -> str:
    return " ".join(evaluate.evaluate(checkpoint, out, root, show_progress=False)["notes"])


def test_another_window_is_said(small_cache: Path, tmp_path: Path) -> None:
    wide = {"width_hu": 400.0, "center_hu": 40.0}
    known = prepared_otherwise(small_cache, tmp_path / "known", window=wide)
    kept = open_cache(known).preparation
    checkpoint = of_slices.write_checkpoint(tmp_path / "a.ckpt", known, preparation=kept)
    assert "prepared" not in notes_of(checkpoint, tmp_path / "same", known)
    other = prepared_otherwise(small_cache, tmp_path / "other", window=WINDOW, resample=True)
    notes = notes_of(checkpoint, tmp_path / "out", other)
    differs = f"{other} was prepared with other settings than the training images: window width_hu"
    assert f"{differs} 350.0 " in notes
    assert "center_hu 40.0, in training width_hu 400.0 center_hu 40.0" in notes
    assert "resample True, in training none" in notes
    assert "prepare these images with the settings of training, into another --out." in notes


@pytest.mark.parametrize("in_training", [True, False])
def test_of_an_unknown_window_nothing_impossible_is_asked(
    small_cache: Path, tmp_path: Path, in_training: bool
) -> None:
    """As of PNG slices, whose grey values are kept as they are."""
    unknown = prepared_otherwise(small_cache, tmp_path / "png", window=None)
    known = prepared_otherwise(small_cache, tmp_path / "ct", window=WINDOW)
    trained, scored = (unknown, known) if in_training else (known, unknown)
    kept = open_cache(trained).preparation
    checkpoint = of_slices.write_checkpoint(tmp_path / "a.ckpt", trained, preparation=kept)
    notes = notes_of(checkpoint, tmp_path / "out", scored)
    if in_training:
        assert "in training unknown" in notes
        assert "so these cannot be prepared to match. Train on a cache whose window is" in notes
    else:
        assert "window unknown, in training width_hu" in notes
        assert "no preparation changes it. If their CT volumes (NIfTI or DICOM) are at" in notes
    assert "prepare these images" not in notes


def test_an_earlier_checkpoint_asks_its_data(small_cache: Path, tmp_path: Path) -> None:
    """Its record does not say; the cache that it was trained on does, while it is there."""
    moved = shutil.copytree(small_cache, tmp_path / "data")
    path = tmp_path / "run/checkpoints/best.ckpt"
    checkpoint = of_slices.write_checkpoint(path, moved)
    other = prepared_otherwise(small_cache, tmp_path / "other", window=WINDOW)
    assert "other settings than" in notes_of(checkpoint, tmp_path / "a", other)
    assert "prepared" not in notes_of(checkpoint, tmp_path / "b", small_cache)
    shutil.rmtree(moved)
    assert "does not say how its training images" in notes_of(checkpoint, tmp_path / "c", other)


def test_other_contrast_and_shape_of_films(film_cache: Callable[..., Path], tmp_path: Path) -> None:
    films = film_cache(tmp_path / "films", of_films.PATIENTS)
    kept = {**open_cache(films).preparation, "clahe": "after_resize", "on_nonsquare": "pad"}
    same = prepared_otherwise(films, tmp_path / "same", **kept)
    checkpoint = of_films.write_checkpoint(tmp_path / "a.ckpt", films, preparation=kept)
    assert "prepared" not in notes_of(checkpoint, tmp_path / "a", same)
    entries = {**kept, "clahe": "none", "on_nonsquare": "stretch"}
    other = prepared_otherwise(films, tmp_path / "other", **entries)
    notes = notes_of(checkpoint, tmp_path / "b", other)
    assert "clahe none, in training after_resize; on_nonsquare stretch, in training pad" in notes


def test_training_keeps_the_preparation(small_cache: Path, tmp_path: Path) -> None:
    root = prepared_otherwise(small_cache, tmp_path / "data", window=WINDOW)
    words = ["fit", "--config", str(PROJECT / "configs/kits19/unet_light.yaml"),
             "--model.network.depth=2", "--model.network.width=4",
             "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2",
             "--wandb=disabled", f"--run_folder={tmp_path / 'run'}", f"--data.root={root}",
             "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]  # fmt: skip
    train.fit([*words, "--trainer.max_epochs=1"])
    _, record = load_module(tmp_path / "run/checkpoints/last.ckpt")
    assert record["preparation"] == {"window": WINDOW, "resample": None, "channels": None}

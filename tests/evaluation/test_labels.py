"""Whether a frozen model finds the labels of a synthetic set, by models whose answers are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evaluate
from cards.finish import record_check
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from evaluation.label_record import record_of
from evaluation.labels import summary_of
from provenance import UserError
from tests.evaluation.answers import Bright, Grey, write_set

CLASSES = ["normal", "abnormal"]
ASKED = {"device": "cpu", "show_progress": False}


def set_of_films(root: Path, shown: str = "wbwwwbbb") -> Path:
    """Films of both classes in turn, white or black; the model calls white ones abnormal."""
    items = [SyntheticItem(f"s{i}", seed=i, label=CLASSES[i % 2]) for i in range(len(shown))]
    images = [np.full((32, 32), 250 if one == "w" else 5, np.uint8) for one in shown]
    made = write_set(root, images, items, CLASSES)
    without_translation(made)
    return made


def without_translation(made: Path) -> None:
    content = json.loads((made / "manifest.json").read_text())
    del content["translated_from"], content["sha256"]
    (made / "manifest.json").write_text(json.dumps(content))


def test_shares_of_both_sets_and_their_difference(
    film_cache: Callable[..., Path], answers: Any, tmp_path: Path
) -> None:
    cache, made = film_cache(tmp_path / "films"), set_of_films(tmp_path / "set")
    checkpoint = answers(Bright(), CLASSES, tmp_path)
    words = ["--synthetic", str(made), "--data.root", str(cache), "--checkpoint", str(checkpoint)]
    out, rule = tmp_path / "out", ["--require", "found:abnormal:synthetic>=0.9", "--record"]
    known_by = SyntheticSet.open(made).content_sha256
    assert evaluate.main(["labels", *words, "--out", str(out), "--device", "cpu", *rule]) == 3
    result = json.loads((out / "evaluation.json").read_text())
    found = result["summary"]
    # normal: w w w b, one of four black; abnormal: b w b b, one of four white
    assert found["found:normal:synthetic"]["value"] == 0.25
    assert found["found:abnormal:synthetic"]["value"] == 0.25
    assert found["found:normal:synthetic"]["num_patients"] == 4  # films from noise, one by one
    real = found["found:normal:real"]
    assert real["num_patients"] == 2  # of the test split
    assert found["found:normal:difference"]["value"] == pytest.approx(0.25 - real["value"])
    assert (result["num_images"], result["num_real"]) == (8, 6)
    assert len((out / "images.csv").read_text().splitlines()) == 1 + 8 + 6
    told, card = SyntheticSet.open(made), (made / "README.md").read_text()
    assert told.content_sha256 == known_by  # recorded, and still the same set
    assert told.manifest["found_labels"]["summary"] == found
    assert "| found:abnormal, synthetic | 0.25 [" in card
    assert "| required | found:abnormal:synthetic>=0.9: does not hold |" in card
    assert "8 images, and 6 real of 2 patients (test split) that it has not seen" in card
    assert str(tmp_path) not in card
    with pytest.raises(UserError, match=r"is of another set.*evaluate.py labels"):
        record_check(made, "labels", {**record_of(out), "synthetic_sha256": "0" * 64})


def test_a_segmenter_is_asked_for_structures(
    small_cache: Path, answers: Any, tmp_path: Path
) -> None:
    """Every second slice is painted as the segmenter wants it, the others are left black."""
    cache = SliceCache.open(small_cache)
    masks, items, images = [], [], []
    for row, source in enumerate(cache.select("train", foreground_only=True)):
        masks.append(np.array(cache.mask(source)))
        ideal = np.array([128, 255, 0], np.uint8)[masks[-1]]
        images.append(ideal if row % 2 else np.zeros_like(ideal))
        item = SyntheticItem(f"s{row}", seed=row, class_pixels=source.class_pixels)
        items.append(item)
    (tmp_path / "set/masks").mkdir(parents=True)
    for item, mask in zip(items, masks, strict=True):
        Image.fromarray(mask).save(tmp_path / f"set/masks/{item.id}.png")
    made = write_set(tmp_path / "set", images, items, cache.class_names)
    without_translation(made)
    checkpoint = answers(Grey(), cache.class_names, tmp_path)
    result = evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", small_cache, **ASKED)
    found = result["summary"]
    assert found["found:kidney:synthetic"]["value"] == 0.5
    assert found["found:tumour:synthetic"]["value"] == 0.5
    assert 0.5 < found["dice:tumour:synthetic"]["value"] < 0.6  # black is tumour everywhere
    assert "added:kidney:synthetic" not in found  # every synthetic slice holds it
    assert found["added:kidney:real"]["num_values"] == 2  # one slice of each test patient


def test_films_that_the_model_has_seen_are_no_control(
    film_cache: Callable[..., Path],
    answers: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lightning_modules.loading as loading
    from datamodules.film_cache import FilmCache

    cache, made = FilmCache.open(film_cache(tmp_path / "films")), set_of_films(tmp_path / "set")
    checkpoint = answers(Bright(), CLASSES, tmp_path)
    first = cache.patients("test")[0]
    seen = cache.knowledge(np.flatnonzero(cache.patient_ids == first))
    monkeypatch.setattr(loading, "seen_by", lambda record: seen)
    result = evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", cache.root, **ASKED)
    assert (result["num_real"], result["real_left_out"]) == (3, 3)
    assert result["notes"] == ["3 real images of patients that the model has seen are left out."]
    monkeypatch.setattr(loading, "seen_by", lambda record: cache.knowledge(np.arange(len(cache))))
    with pytest.raises(UserError, match=r"no labelled image of --split test is left"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "new", cache.root, **ASKED)


def test_what_cannot_be_asked_is_refused(
    film_cache: Callable[..., Path], small_cache: Path, answers: Any, tmp_path: Path
) -> None:
    made, films = set_of_films(tmp_path / "set"), film_cache(tmp_path / "films")
    checkpoint = answers(Bright(), CLASSES, tmp_path)
    with pytest.raises(UserError, match=r"--root .*: holds slices, but"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", small_cache, **ASKED)
    other = film_cache(tmp_path / "other", labels=("normal", "ill"))
    with pytest.raises(UserError, match="is labelled normal, ill, and the model tells apart norm"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", other, **ASKED)
    with pytest.raises(UserError, match=r"--found-at 0: is a Dice"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", films, found_at=0, **ASKED)
    items = [SyntheticItem("s0", seed=0)]
    plain = write_set(tmp_path / "plain", [np.zeros((32, 32), np.uint8)], items, CLASSES)
    with pytest.raises(UserError, match="neither classes nor label maps"):
        evaluate.evaluate_labels(plain, checkpoint, tmp_path / "out", films, **ASKED)


def test_a_class_that_one_set_lacks_has_no_difference() -> None:
    rows = [
        {"patient_id": "a", "set": "synthetic", "found:x": 1},
        {"patient_id": "b", "set": "synthetic", "found:x": 0},
        {"patient_id": "c", "set": "real", "found:x": None},
    ]
    assert set(summary_of(rows)) == {"found:x:synthetic"}

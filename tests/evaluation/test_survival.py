"""Whether labels survive a translation, by models whose answers are known beforehand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evaluate
from cards.finish import record_check
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from evaluation.asked_model import found_in_slice
from evaluation.label_record import Asking, record_of
from evaluation.survival import _same, summary_of
from provenance import UserError
from tests.evaluation.answers import Always, Bright, Grey, write_set

Cache = Callable[..., Path]


@pytest.fixture
def films(film_cache: Cache, tmp_path: Path) -> tuple[Path, Path]:
    """A cache, and a set of its training films in which every second one was made dark."""
    cache = FilmCache.open(film_cache(tmp_path / "films"))
    items, images = [], []
    for row, index in enumerate(cache.indices("train").tolist()):
        image = np.full((32, 32), 10 if row % 2 else 250, np.uint8)
        label = cache.class_names("label")[cache.labels("label")[index]]
        owner = {"source_item_id": str(cache.ids[index]), "label": label}
        owner["source_patient_id"] = str(cache.patient_ids[index])
        items.append(SyntheticItem(f"synthetic_{row:06d}", **owner))
        images.append(image)
    names = cache.class_names("label")
    made = write_set(tmp_path / "set", images, items, names, split_id=cache.split_id)
    return cache.root, made


def test_a_classifier_is_asked_of_both(
    films: tuple[Path, Path], answers: Any, tmp_path: Path
) -> None:
    """Labels are normal and abnormal in turn, and so are white and black: none is found."""
    cache, made = films
    checkpoint = answers(Bright(), ["normal", "abnormal"], tmp_path)
    words = ["--synthetic", str(made), "--source", str(cache), "--checkpoint", str(checkpoint)]
    out = tmp_path / "out"
    assert "not measured: `python evaluate.py survival" in (made / "README.md").read_text()
    known_by = SyntheticSet.open(made).content_sha256
    rule = ["--require", "found:abnormal:translated>=0.5", "--record"]
    assert evaluate.main(["survival", *words, "--out", str(out), "--device", "cpu", *rule]) == 3
    result = json.loads((out / "evaluation.json").read_text())
    told, card = SyntheticSet.open(made), (made / "README.md").read_text()
    assert told.content_sha256 == known_by  # recorded, and still the same set
    assert told.manifest["survival"]["summary"] == result["summary"]
    assert told.manifest["survival"]["required"][0]["verdict"] == "does not hold"
    assert "| found:abnormal, translated | 0 [0 to " in card
    assert "| required | found:abnormal:translated>=0.5: does not hold |" in card
    assert "12 images of 4 patients, of whom it was trained on 0" in card
    assert "not measured: `python evaluate.py survival" not in card
    assert str(tmp_path) not in card
    with pytest.raises(UserError, match=r"is of another set.*evaluate.py survival"):
        record_check(made, "survival", {**record_of(out), "synthetic_sha256": "0" * 64})
    found = result["summary"]
    assert found["found:normal:translated"]["value"] == 0.0
    assert found["found:abnormal:translated"]["value"] == 0.0
    before = found["found:normal:original"]["value"]
    assert before > 0.5  # dark noise with a dark lung
    assert found["found:normal:change"]["value"] == pytest.approx(-before)
    assert found["found:normal:translated"]["num_patients"] == 4
    assert result["num_images"] == 12
    rows = (out / "images.csv").read_text().splitlines()
    assert len(rows) == 13


def test_a_classifier_that_says_one_class_of_every_image_shows_nothing(
    films: tuple[Path, Path], answers: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps every label of normal, and says the same of all originals."""
    cache, made = films
    checkpoint = answers(Always(), ["normal", "abnormal"], tmp_path)
    words = ["--synthetic", str(made), "--source", str(cache), "--checkpoint", str(checkpoint)]
    rule = ["--require", "same>=0.5, found:normal:translated>=0.3", "--record"]
    out = tmp_path / "out"
    assert evaluate.main(["survival", *words, "--out", str(out), "--device", "cpu", *rule]) == 4
    printed = capsys.readouterr().out
    assert "same>=0.5: cannot be said: The model says normal of every image" in printed
    told = "The model says normal of every image, translated or not, so this check shows nothing"
    assert told in printed
    assert told in (made / "README.md").read_text()


def test_a_segmenter_finds_keeps_and_adds(small_cache: Path, answers: Any, tmp_path: Path) -> None:
    """Half of the slices are painted as the segmenter wants them, the others are left black."""
    cache = SliceCache.open(small_cache)
    items, images = [], []
    for row, index in enumerate(cache.indices("train").tolist()):
        source = cache.items[index]
        if not source.has_foreground:
            continue
        mask = cache.mask(source)
        ideal = np.array([128, 255, 0], np.uint8)[mask]
        images.append(ideal if row % 2 else np.zeros_like(ideal))
        items.append(
            SyntheticItem(
                f"synthetic_{row:06d}",
                class_pixels=source.class_pixels,
                source_item_id=source.id,
                source_patient_id=source.patient_id,
            )
        )
    names = cache.class_names
    (tmp_path / "set/masks").mkdir(parents=True)
    for item in items:
        mask = cache.mask(next(x for x in cache.items if x.id == item.source_item_id))
        Image.fromarray(np.array(mask)).save(tmp_path / f"set/masks/{item.id}.png")
    made = write_set(tmp_path / "set", images, items, names, split_id=cache.split_id)
    result = evaluate.evaluate_survival(
        made, small_cache, answers(Grey(), names, tmp_path), tmp_path / "out",
        asking=Asking(device="cpu", show_progress=False),
    )  # fmt: skip
    share = np.mean([bool(image.any()) for image in images])
    assert result["summary"]["found:kidney:translated"]["value"] == pytest.approx(share)
    assert result["summary"]["found:tumour:translated"]["value"] == pytest.approx(share)
    assert "added:kidney:translated" not in result["summary"]  # every slice holds it


def test_of_a_slice_what_is_there_is_found_and_what_is_not_is_added() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[0] = 1
    marked = mask.copy()
    marked[0, :2], marked[3, 3] = 0, 2
    names = ["background", "kidney", "tumour"]
    found, whole = (found_in_slice(mask, marks, names, 0.7) for marks in (marked, mask))
    assert found["dice:kidney"] == pytest.approx(2 * 2 / 6, abs=1e-3)
    assert (found["found:kidney"], whole["found:kidney"]) == (0, 1)
    assert (found["added:tumour"], whole["added:tumour"]) == (1, 0)
    assert found["found:tumour"] is None
    assert (_same(marked, mask, 0.7), _same(mask, mask, 0.7)) == (0, 1)
    assert _same(np.int64(1), np.int64(1), 0.7) == 1


def test_shares_are_over_images_and_intervals_over_patients() -> None:
    rows = [
        {"patient_id": f"p{i // 2}", "same": 1, "found:x:translated": i % 2, "found:x:original": 1}
        for i in range(20)
    ]
    rows.append({"patient_id": "other", "same": 0})  # shows no x
    found = summary_of(rows)
    assert found["found:x:translated"]["value"] == 0.5
    assert found["found:x:change"]["value"] == -0.5
    assert found["found:x:change"]["num_patients"] == 10
    assert found["same"]["value"] == pytest.approx(20 / 21)
    assert 0 < found["same"]["low"] < found["same"]["high"] <= 1


def test_a_refined_synthetic_set_is_of_nobody(
    films: tuple[Path, Path], answers: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, made = films
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["translated_from"]["shows_patients"] = False
    (made / "manifest.json").write_text(json.dumps(manifest))
    checkpoint = answers(Bright(), ["normal", "abnormal"], tmp_path)
    words = ["--synthetic", str(made), "--source", str(cache), "--checkpoint", str(checkpoint)]
    out = ["--out", str(tmp_path / "nobody"), "--device", "cpu", "--record"]
    assert evaluate.main(["survival", *words, *out]) == 0
    assert "12 translated images of nobody (test" in capsys.readouterr().out
    assert "; 12 images of nobody |" in (made / "README.md").read_text()


def test_what_cannot_be_compared_is_refused(
    films: tuple[Path, Path], film_cache: Cache, answers: Any, tmp_path: Path
) -> None:
    cache, made = films

    def asked(model: Any, names: list[str], source: Path = cache) -> None:
        checkpoint = answers(model, names, tmp_path)
        evaluate.evaluate_survival(
            made, source, checkpoint, tmp_path / "out", asking=Asking(device="cpu")
        )

    with pytest.raises(UserError, match=r"is for slices, and .* holds films"):
        asked(Grey(), ["background", "kidney", "tumour"])
    checkpoint = answers(Bright(), ["normal", "abnormal"], tmp_path)
    for out, told in ((made / "x", "lies in a synthetic set, and"), (cache, "is a prepared cache")):
        with pytest.raises(UserError, match=rf"--out \S+: {told}.*such as runs/survival"):
            evaluate.evaluate_survival(made, cache, checkpoint, out, asking=Asking(device="cpu"))
    with pytest.raises(UserError, match=r"--found-at 0.7: is a Dice of segmenters"):
        evaluate.evaluate_survival(
            made,
            cache,
            checkpoint,
            tmp_path / "out",
            asking=Asking(0.7, device="cpu"),
        )
    with pytest.raises(UserError, match="tells apart normal, ill"):
        asked(Bright(), ["normal", "ill"])
    other = film_cache(tmp_path / "other", by="image")
    with pytest.raises(UserError, match="is not the cache or the set that was translated"):
        asked(Bright(), ["normal", "abnormal"], other)
    manifest = json.loads((made / "manifest.json").read_text())
    del manifest["translated_from"]
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="was not translated"):
        asked(Bright(), ["normal", "abnormal"])

"""Whether a frozen model finds the labels of a synthetic set, by models whose answers are known."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evaluate
from cards.finish import record_check
from cards.scores import rows_of_labels
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from datamodules.unpaired.originals import Original, of_films
from evaluation.label_record import Asking, record_of
from evaluation.labels import summary_of
from evaluation.told_apart import other_patients
from provenance import UserError
from tests.evaluation.answers import Always, Bright, Brightest, Grey, Nothing, write_set

CLASSES = ["normal", "abnormal"]
QUIETLY = Asking(device="cpu", show_progress=False)
TESTED = {f"p{i}": split for i, split in enumerate(["train", "val", *["test"] * 6])}


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
    cache, made = film_cache(tmp_path / "films", TESTED), set_of_films(tmp_path / "set")
    checkpoint = answers(Brightest(), CLASSES, tmp_path)
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
    assert (real["value"], real["num_patients"]) == (1.0, 6)  # of the test split
    assert found["found:normal:difference"]["value"] == -0.75
    assert found["added:normal:synthetic"]["value"] == 0.75  # abnormal: three of four black
    index, ends = found["youden:normal:real"], 0.025 ** (1 / 6)
    assert found["added:normal:real"]["value"] == 0.0
    assert index["value"] == 1.0
    assert index["low"] == pytest.approx(1 - math.hypot(1 - ends, 1 - ends))  # by hand
    assert result["shows_nothing"] == {}
    assert (result["num_images"], result["num_real"]) == (8, 18)
    assert len((out / "images.csv").read_text().splitlines()) == 1 + 8 + 18
    told, card = SyntheticSet.open(made), (made / "README.md").read_text()
    assert told.content_sha256 == known_by  # recorded, and still the same set
    assert told.manifest["found_labels"][0]["summary"] == found
    assert "| found:abnormal, synthetic | 0.25 [" in card
    assert "| required | found:abnormal:synthetic>=0.9: does not hold |" in card
    assert "8 images, and 18 real of 6 patients (test split) that it was not trained on" in card
    assert str(tmp_path) not in card
    with pytest.raises(UserError, match=r"is of another set.*evaluate.py labels"):
        record_check(made, "labels", {**record_of(out), "synthetic_sha256": "0" * 64})


def test_larger_films_are_shown_as_a_training_at_a_lower_resolution_sees_them(
    film_cache: Callable[..., Path], answers: Any, tmp_path: Path
) -> None:
    """Of 64 px for a model of 32 px: the mean of each four pixels."""
    cache, made = (
        film_cache(tmp_path / "films", TESTED, image_size=64, stored_size=66),
        set_of_films(tmp_path / "set"),
    )
    checkpoint = answers(Brightest(), CLASSES, tmp_path)
    result = evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", cache, asking=QUIETLY)
    assert result["num_real"] == 18
    films = FilmCache.open(cache)
    [shown] = of_films(films, [3], None, 32)
    [whole] = of_films(films, [3], None)
    means = whole.read().reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(shown.read()[0] - means).max() <= 0.51  # rounded to 8 bits
    small = film_cache(tmp_path / "small", TESTED, image_size=48, stored_size=50)
    with pytest.raises(UserError, match="images of 48 px, but the classifier was trained on 32"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "no", small, asking=QUIETLY)


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
    result = evaluate.evaluate_labels(
        made, checkpoint, tmp_path / "out", small_cache, asking=QUIETLY
    )
    found = result["summary"]
    assert found["found:kidney:synthetic"]["value"] == 0.5
    assert found["found:tumour:synthetic"]["value"] == 0.5
    assert 0.5 < found["dice:tumour:synthetic"]["value"] < 0.6  # black is tumour everywhere
    assert "added:kidney:synthetic" not in found  # every synthetic slice holds it
    assert found["added:kidney:real"]["num_values"] == 2  # one slice of each test patient


def test_a_model_that_calls_everything_normal_shows_nothing(
    film_cache: Callable[..., Path],
    answers: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A set of normal films alone: all labels are found, as they are in the normal real films."""
    items = [SyntheticItem(f"s{i}", seed=i, label="normal") for i in range(8)]
    made = write_set(tmp_path / "set", [np.full((32, 32), 9, np.uint8)] * 8, items, CLASSES)
    without_translation(made)
    cache = film_cache(tmp_path / "films", TESTED)
    words = ["labels", f"--synthetic={made}", f"--root={cache}", "--device=cpu", "--record"]
    rules = "found:normal:synthetic>=0.5, found:normal:difference>=-0.6"

    def asked(model: Any, out: str) -> int:
        checkpoint = answers(model, CLASSES, tmp_path)
        checkpoint.write_bytes(out.encode())
        told = [f"--checkpoint={checkpoint}", f"--out={tmp_path / out}", f"--require={rules}"]
        return evaluate.main([*words, *told])

    assert asked(Always(), "always") == 4
    printed = capsys.readouterr().out
    why = (
        "The model is not shown to recognise normal in real images: it says normal of 100.0 % of "
        "these films, and of 100.0 % of the others (Youden's index 0.00 ["
    )
    assert why in printed
    assert "found:normal:synthetic>=0.5: cannot be said: The model is not shown to" in printed
    assert "So this check shows nothing about normal in the synthetic ones" in printed
    assert why in (made / "README.md").read_text()
    assert evaluate.main(["gate", str(tmp_path / "always"), f"--require={rules}"]) == 4
    # Nor of the class that the set does not show, of which it never speaks.
    none_added = "added:abnormal:synthetic<=0.9"
    assert evaluate.main(["gate", str(tmp_path / "always"), f"--require={none_added}"]) == 4
    assert asked(Brightest(), "told_apart") == 0
    assert "\nResults: " in capsys.readouterr().out  # there are no pictures
    checks = SyntheticSet.open(made).manifest["found_labels"]
    assert [one["model"] for one in checks] == ["Always", "Brightest"]  # each beside the other
    card = (made / "README.md").read_text()
    for one in checks:
        assert (
            f"a frozen {one['model']} (SHA-256 {one['checkpoint_sha256'][:12]}); 8 images" in card
        )
    assert asked(Always(), "always") == 4
    assert len(SyntheticSet.open(made).manifest["found_labels"]) == 2


def test_a_segmenter_that_does_not_look_shows_nothing(
    make_cache: Callable[..., Path], answers: Any, tmp_path: Path
) -> None:
    """One that finds the structures in real slices does, since their places differ."""
    cache = SliceCache.open(make_cache(tmp_path / "slices", TESTED))
    sources = cache.select("train", foreground_only=True)
    items = [
        SyntheticItem(f"s{i}", seed=i, class_pixels=one.class_pixels)
        for i, one in enumerate(sources)
    ]
    (tmp_path / "set/masks").mkdir(parents=True)
    for item, source in zip(items, sources, strict=True):
        Image.fromarray(np.array(cache.mask(source))).save(tmp_path / f"set/masks/{item.id}.png")
    images = [np.zeros((32, 32), np.uint8)] * len(items)
    made = write_set(tmp_path / "set", images, items, cache.class_names)
    without_translation(made)
    checkpoint = answers(Nothing(), cache.class_names, tmp_path)
    rule = "found:kidney:synthetic<=0.9"
    result = evaluate.evaluate_labels(
        made, checkpoint, tmp_path / "out", cache.root, require=rule, asking=QUIETLY
    )
    found = result["summary"]
    assert found["found:kidney:synthetic"]["value"] == 0.0
    assert found["found:kidney:real"]["value"] == found["by_chance:kidney:real"]["value"] == 0.0
    assert {*result["shows_nothing"]} == {"kidney", "tumour"}
    assert (
        "in 0.0 % of them, and in 0.0 % if they are given another patient's label map"
        in (result["shows_nothing"]["kidney"])
    )
    assert result["require"][0]["verdict"] == "cannot be said"
    record_check(made, "labels", record_of(tmp_path / "out"))
    told = {**SyntheticSet.open(made).manifest, "painted": {}}
    ((_, named), *_) = rows_of_labels(items, told)
    assert "; the images are real slices outside the painted lesion, and it may have" in named
    assert "which finds a structure from a Dice of 0.5 on; " in (made / "README.md").read_text()


def test_what_is_found_by_chance_is_found_in_another_patients_map() -> None:
    patients, kidneys = "aabbc", (1, 0, 1, 1, 1)
    images: list[Any] = [
        Original(str(i), patient, lambda: np.zeros(1), class_pixels=(4, kidney))
        for i, (patient, kidney) in enumerate(zip(patients, kidneys, strict=True))
    ]
    assert other_patients(images, 1) == {0: 2, 2: 4, 3: 4, 4: 0}
    assert other_patients(images[:2], 1) == {}  # of one patient


def test_other_patients_are_found_in_one_pass() -> None:
    """A patient is read a few times an image, however many images others have."""
    read = []

    class Counted:
        class_pixels = (0, 1)

        def __init__(self, patient_id: str) -> None:
            self.whose = patient_id

        @property
        def patient_id(self) -> str:
            read.append(1)
            return self.whose

    images: list[Any] = [Counted(str(i // 200)) for i in range(1000)]
    found = other_patients(images, 1)
    assert found == {i: (i // 200 + 1) * 200 % 1000 for i in range(1000)}
    assert len(read) <= 3 * len(images)


def test_validation_images_chose_the_model(
    film_cache: Callable[..., Path],
    answers: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lightning_modules.loading as loading

    cache = FilmCache.open(film_cache(tmp_path / "films"))
    made, checkpoint = set_of_films(tmp_path / "set"), answers(Bright(), CLASSES, tmp_path)
    chose = cache.knowledge(cache.indices("val"))
    monkeypatch.setattr(loading, "chosen_by", lambda record: chose)
    for split, notes in (("val", 1), ("test", 0)):
        out = tmp_path / split
        result = evaluate.evaluate_labels(made, checkpoint, out, cache.root, split, asking=QUIETLY)
        told = [note for note in result["notes"] if "the validation split that chose the" in note]
        assert len(told) == notes
        assert result["num_real_patients"] == 2


def test_films_that_the_model_was_trained_on_are_no_control(
    film_cache: Callable[..., Path],
    answers: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import lightning_modules.loading as loading

    cache, made = FilmCache.open(film_cache(tmp_path / "films")), set_of_films(tmp_path / "set")
    checkpoint = answers(Bright(), CLASSES, tmp_path)
    first = cache.patients("test")[0]
    seen = cache.knowledge(np.flatnonzero(cache.patient_ids == first))
    monkeypatch.setattr(loading, "seen_by", lambda record: seen)
    result = evaluate.evaluate_labels(
        made, checkpoint, tmp_path / "out", cache.root, asking=QUIETLY
    )
    assert (result["num_real"], result["real_left_out"]) == (3, 3)
    assert result["notes"] == [
        "3 real images of patients that the model was trained on are left out."
    ]
    monkeypatch.setattr(loading, "seen_by", lambda record: cache.knowledge(np.arange(len(cache))))
    with pytest.raises(UserError, match=r"no labelled image of --split test is left"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "new", cache.root, asking=QUIETLY)


def test_what_cannot_be_asked_is_refused(
    film_cache: Callable[..., Path], small_cache: Path, answers: Any, tmp_path: Path
) -> None:
    made, films = set_of_films(tmp_path / "set"), film_cache(tmp_path / "films")
    checkpoint = answers(Bright(), CLASSES, tmp_path)
    with pytest.raises(UserError, match=r"--root .*: holds slices, but the classifier was train"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", small_cache, asking=QUIETLY)
    other = film_cache(tmp_path / "other", labels=("normal", "ill"))
    with pytest.raises(UserError, match="is labelled normal, ill, and the model tells apart norm"):
        evaluate.evaluate_labels(made, checkpoint, tmp_path / "out", other, asking=QUIETLY)
    for found_at, told in (
        (0, "is a Dice, above 0"),
        (0.7, "is a Dice of segmenters, and .* a cl"),
    ):
        with pytest.raises(UserError, match=rf"--found-at {found_at}: {told}"):
            evaluate.evaluate_labels(
                made, checkpoint, tmp_path / "out", films, asking=Asking(found_at, device="cpu")
            )
    for out, told in (
        (made / "labels", "lies in a synthetic set, and"),
        (films, "is a prepared c"),
    ):
        with pytest.raises(UserError, match=rf"--out \S+: {told}.*such as runs/labels"):
            evaluate.evaluate_labels(made, checkpoint, out, films, asking=QUIETLY)
    items = [SyntheticItem("s0", seed=0)]
    plain = write_set(tmp_path / "plain", [np.zeros((32, 32), np.uint8)], items, CLASSES)
    with pytest.raises(UserError, match="neither classes nor label maps"):
        evaluate.evaluate_labels(plain, checkpoint, tmp_path / "out", films, asking=QUIETLY)


def test_a_class_that_one_set_lacks_has_no_difference() -> None:
    rows = [
        {"patient_id": "a", "set": "synthetic", "found:x": 1},
        {"patient_id": "b", "set": "synthetic", "found:x": 0},
        {"patient_id": "c", "set": "real", "found:x": None},
    ]
    assert set(summary_of(rows)) == {"found:x:synthetic"}

"""Images that two caches share are found whatever their patients are called there.

Each test is a way in which a leak went unseen while names alone were compared.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

import evaluate
import generate
import train
from datamodules import ChestXrayDataModule, KiTS19DataModule
from datamodules.film_cache import FilmCache
from datamodules.pixel_hashes import first_bits
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from evaluation.checkpoint import open_checkpoint
from evaluation.images.compared_sets import compared_sets, describe_training_overlap
from evaluation.unseen import Comparison
from generation.slices import usable_label_maps
from lightning_modules.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import held_out_of, load_module, seen_by
from preparation.copies import pixel_hash
from provenance import UserError, read_json, sha256_of
from tests import classifier_runs, gan_runs
from tests.evaluation.test_segmentation import write_checkpoint
from tests.film_runs import draw
from tests.prepare_runs import kits19, make_source, run

OURS, THEIRS = range(40), range(100, 140)
SECRET = ("--patient-salt", "another hospital")
ALL_TEST = ("--split-all-to", "test")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])


def prepared(out: Path, numbers: Sequence[int], *more: str) -> Path:
    """A cache of these drawn films, each of a patient of his own."""
    source = out.with_name(f"{out.name}_source")
    source.mkdir(parents=True)
    rows = [["image", "patient", "label"]]
    for number in numbers:
        Image.fromarray(draw(number)).save(source / f"film_{number}.png")
        rows.append([f"film_{number}.png", f"{number}", ("normal", "abnormal")[number % 2]])
    with open(source / "labels.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    words = ("--source", source, "--labels", source / "labels.csv", "--image-size", "32")
    assert run("image_folder", *words, "--patient-column", "patient", "--out", out, *more) == 0
    return out


def numbers_of(cache: Path, split: str) -> list[int]:
    """Which of the drawn films a split holds."""
    opened, first = FilmCache.open(cache), {}
    for number in (*OURS, *THEIRS):
        first[first_bits(pixel_hash(draw(number)))] = number
    assert opened.pixel_hashes is not None
    return [first[int(bits)] for bits in opened.pixel_hashes[opened.indices(split), 0]]


def gan(root: Path, run_folder: Path, *more: str) -> Path:
    words = ["--model.generator.width=2", "--model.discriminator.width=2"]
    words += ["--data.images_per_epoch=4", "--data.label_column=none"]
    return gan_runs.trained(root, "dcgan", run_folder, *words, *more)


def made(checkpoint: Path, out: Path) -> Path:
    return generate.generate(checkpoint, 4, out, show_progress=False, device="cpu")


def joins(synthetic: Path, root: Path) -> None:
    data = ChestXrayDataModule(str(root), synthetic=str(synthetic), label_column="none")
    data.setup("fit")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("films") / "ours", OURS)


@pytest.fixture(scope="module")
def classifier(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    words = classifier_runs.arguments(ours, folder, "--data.images_per_epoch=4")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parents[1])
        return train.fit([*words, "--trainer.max_epochs=1"]).last_checkpoint


def compared(checkpoint: Path, root: Path, seen: str) -> Comparison:
    opened = open_checkpoint(checkpoint, root, "test", None, 0, "cpu", seen)
    return opened.compared_with_seen("test")


# ---- evaluate.py --root OTHER ------------------------------------------------------------------


def test_external_films_that_are_training_films_are_refused_or_left_out(
    ours: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = numbers_of(ours, "train")[:6]
    other = prepared(tmp_path / "other", [*shared, *THEIRS[:6]], *SECRET, *ALL_TEST)
    out = tmp_path / "out"
    words = ["--checkpoint", str(classifier), "--out", str(out), "--root", str(other)]
    with pytest.raises(UserError) as refused:
        evaluate.main([*words, "--device=cpu"])
    sentence = str(refused.value)
    assert sentence.startswith(f"{other}: 6 patients of its test split were training patients of ")
    assert "Equal to training images pixel by pixel: 6 of its 12 images." in sentence
    assert "score the others alone with --seen exclude" in sentence
    assert not out.exists()

    capsys.readouterr()
    assert evaluate.main([*words, "--device=cpu", "--seen=exclude"]) == 0
    printed = capsys.readouterr()
    assert "test: 6 films of 6 patients" in printed.out
    told = f"Left out of test, since {classifier} has seen them: 6 of 12 images (patients: 6;"
    assert told in printed.out
    assert "by pixels alone, since their patients are named with different salts" in printed.err
    result = read_json(out / "evaluation.json")
    assert result["left_out"] == {
        "images": 6, "of_images": 12, "patients": 6,
        "equal_to_training_images": 6, "with_training_names": 0, "of_validation": 0,
    }  # fmt: skip
    assert "by pixels alone" in result["not_compared"]
    assert result["images_left_out"] == 6
    assert told in (out / "report.html").read_text()
    kept = {row["id"] for row in result["images"]}
    cache = FilmCache.open(other)
    assert kept == set(cache.ids[~seen_by(load_module(classifier)[1]).overlap(cache).known])


def test_the_training_split_of_another_cache_is_no_exception(
    ours: Path, classifier: Path, tmp_path: Path
) -> None:
    """It is not the split that the model was trained on; that one is scored, and said to be."""
    shared = numbers_of(ours, "train")[:2]
    to_train = ("--split-all-to", "train")
    other = prepared(tmp_path / "other", [*shared, *THEIRS[:2]], *SECRET, *to_train)
    with pytest.raises(UserError, match="2 patients of its train split were training patients"):
        open_checkpoint(classifier, other, "train", None, 0, "cpu", "refuse")
    opened = open_checkpoint(classifier, other, "train", None, 0, "cpu", "exclude")
    left_out = opened.compared_with_seen("train").left_out
    assert left_out is not None
    assert left_out["images"] == 2
    own = open_checkpoint(classifier, None, "train", None, 0, "cpu", "refuse")
    assert own.compared_with_seen("train").left_out is None
    (note,) = own.compared_with_seen("train").notes
    assert note.startswith("These are the images that the model was trained on")


def test_all_films_of_a_patient_with_a_training_film_are_left_out(
    ours: Path, classifier: Path, tmp_path: Path
) -> None:
    shared = numbers_of(ours, "train")[0]
    other = prepared(tmp_path / "other", [shared, *THEIRS[:5]], *SECRET, *ALL_TEST)
    table = tmp_path / "other_source/labels.csv"
    table.write_text(table.read_text().replace(".png,100,", f".png,{shared},"))
    other = tmp_path / "again"
    words = ("--source", table.parent, "--labels", table, "--image-size", "32")
    more = ("--patient-column", "patient", "--out", other, *SECRET, *ALL_TEST)
    assert run("image_folder", *words, *more) == 0
    left_out = compared(classifier, other, "exclude").left_out
    assert left_out is not None
    assert left_out["images"] == 2
    assert left_out["patients"] == left_out["equal_to_training_images"] == 1


def test_films_that_chose_the_checkpoint_are_noted_and_can_be_left_out(
    ours: Path, classifier: Path, tmp_path: Path
) -> None:
    shared = numbers_of(ours, "val")[:3]
    other = prepared(tmp_path / "other", [*shared, *THEIRS[:5]], *SECRET, *ALL_TEST)

    noted = compared(classifier, other, "refuse")
    assert noted.left_out is None
    told = f"Of the validation split that chose {classifier}: 3 of 8 images, so"
    assert [note[: len(told)] for note in noted.notes] == [told]
    to_validation = prepared(
        tmp_path / "theirs", [*shared, *THEIRS[:5]], *SECRET, "--split-all-to", "val"
    )
    opened = open_checkpoint(classifier, to_validation, "val", None, 0, "cpu", "refuse")
    notes = opened.compared_with_seen("val").notes
    assert [note[: len(told)] for note in notes] == [told]  # it chose nothing by the other five
    left_out = compared(classifier, other, "exclude").left_out
    assert left_out is not None
    assert left_out["images"] == left_out["of_validation"] == 3


def test_nothing_is_said_of_ones_own_data_and_nothing_left_is_refused(
    ours: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(classifier, ours, "refuse") == Comparison()
    assert "compared" not in capsys.readouterr().err
    other = prepared(tmp_path / "other", numbers_of(ours, "train")[:4], *SECRET, *ALL_TEST)
    with pytest.raises(UserError, match="has seen every image of its test split, so --seen excl"):
        compared(classifier, other, "exclude")


def test_where_nothing_can_be_compared_that_is_said(
    ours: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = prepared(tmp_path / "other", THEIRS[:6], *SECRET, *ALL_TEST)
    manifest = read_json(other / "manifest.json")
    del manifest["pixel_hashes"]  # as an earlier version made it
    (other / "manifest.json").write_text(json.dumps(manifest))
    result = evaluate.evaluate(
        classifier, tmp_path / "out", other, device="cpu", show_progress=False
    )
    said = f"{classifier}: could not be compared with {other}: their patients are named with diff"
    assert said in capsys.readouterr().err
    assert result["not_compared"].startswith(said)
    assert "Prepare the data of both with this version" in result["not_compared"]


# ---- train.py --data.synthetic -----------------------------------------------------------------


def test_a_set_whose_generator_saw_test_films_under_another_salt_is_refused(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = numbers_of(ours, "test")[:2]
    theirs = prepared(
        tmp_path / "theirs", [*shared, *THEIRS[:4]], *SECRET, "--split-all-to", "train"
    )
    leaky = made(gan(with_a_validation_film(theirs), tmp_path / "a"), tmp_path / "leaky")
    with pytest.raises(UserError) as refused:
        joins(leaky, ours)
    assert "leaks 2 patient(s) of the validation or test split" in str(refused.value)
    assert "2 of their images have the pixels of images that its generator was trained on" in str(
        refused.value
    )
    # A generator that learns from that set passes it on, though it never saw the films.
    strangers = with_a_validation_film(
        prepared(tmp_path / "strangers", THEIRS[10:20], *SECRET, "--split-all-to", "train")
    )
    second = made(gan(strangers, tmp_path / "b", f"--data.synthetic={leaky}"), tmp_path / "second")
    shutil.rmtree(leaky)
    with pytest.raises(UserError, match=r"second: leaks 2 patient\(s\)"):
        joins(second, ours)

    clean = made(gan(strangers, tmp_path / "c"), tmp_path / "clean")
    capsys.readouterr()
    joins(clean, ours)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{clean}: was compared with {ours} by pixels alone, since their pat")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_zero_only, "rank", 1)
        joins(clean, ours)
    assert capsys.readouterr().err == ""

    # Distances to real films say whom the generator knew, by what can be compared.
    cache, fakes = FilmCache.open(theirs), SyntheticSet.open(second)
    real, _ = compared_sets(SyntheticSet.open(clean), cache, "train", None)
    assert describe_training_overlap(fakes, cache, real) == "5 of 5"
    assert "its generator was trained on 5 of 5 real patients of this" in capsys.readouterr().err


def with_a_validation_film(cache: Path) -> Path:
    """The last training film is now the validation film, so that a GAN can be trained."""
    table, manifest = cache / "items.csv", read_json(cache / "manifest.json")
    lines = table.read_text().splitlines()
    lines[-1] = lines[-1].replace(",train,", ",val,")
    table.write_text("\n".join(lines) + "\n")
    manifest["sha256_items"] = sha256_of(table)
    (cache / "manifest.json").write_text(json.dumps(manifest))
    return cache


# ---- slices ------------------------------------------------------------------------------------


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    return make_source(tmp_path / "source", num=12, shape=(4, 32, 32))


def renamed(source: Path, cases: Sequence[int]) -> Path:
    """Some of the volumes under other names."""
    out = source.with_name("renamed")
    for case in cases:
        shutil.copytree(source / f"case_{case:05d}", out / f"case_{case + 500:05d}")
    return out


def cases_of(cache: SliceCache, split: str) -> list[int]:
    """Volumes of a split, by their place among all: make_source draws them in that order."""
    by_pixels = {}
    for case in range(12):
        rng = np.random.default_rng(case)
        volume = rng.integers(-1000, 1000, (4, 32, 32)).astype(np.int16)
        by_pixels[first_bits(pixel_hash(volume))] = case
    assert cache.pixel_hashes is not None
    rows = cache.pixel_hashes[cache.indices(split), 1]
    return sorted({by_pixels[int(bits)] for bits in rows})


def write_record(path: Path, root: Path, **settings: Any) -> Path:
    cache = SliceCache.open(root)
    told = {"patient_names": cache.patient_names.plain(), "pixels": cache.packed_pixels()}
    more = {"dataset": cache.dataset, "also_seen": {}, **settings}
    return write_checkpoint(path, root, **told, **more)


def test_renamed_volumes_are_training_volumes(volumes: Path, tmp_path: Path) -> None:
    assert kits19(volumes, tmp_path / "ours") == 0
    shared = cases_of(SliceCache.open(tmp_path / "ours"), "train")[:2]
    assert kits19(renamed(volumes, shared), tmp_path / "other", *ALL_TEST) == 0
    checkpoint = write_record(tmp_path / "best.ckpt", tmp_path / "ours")
    with pytest.raises(
        UserError, match=r"2 patients of its test .* pixel by pixel: 8 of its 8 images"
    ):
        evaluate.evaluate(checkpoint, tmp_path / "out", tmp_path / "other", show_progress=False)


def test_label_maps_of_held_out_volumes_are_left_out_whatever_they_are_called(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kits19(volumes, tmp_path / "ours") == 0
    cache = SliceCache.open(tmp_path / "ours")
    shared = [*cases_of(cache, "test")[:1], *cases_of(cache, "train")[:1]]
    source = renamed(volumes, shared)
    assert run("masks", "--source", source, "--out", tmp_path / "masks", *ALL_TEST) == 0
    masks = SliceCache.open(tmp_path / "masks")
    record = load_checkpoint_file(write_record(tmp_path / "a.ckpt", tmp_path / "ours"))[RECORD_KEY]
    left = usable_label_maps(masks, held_out_of(record), "patient")
    assert len(left) == 4
    assert len({item.patient_id for item in left}) == 1
    assert "left out 4 label maps of 1 patients" in capsys.readouterr().err


def test_a_set_painted_on_label_maps_of_test_volumes_is_refused(
    volumes: Path, tmp_path: Path
) -> None:
    assert kits19(volumes, tmp_path / "ours") == 0
    strangers = make_source(tmp_path / "theirs", num=20, shape=(4, 32, 32))
    for case in range(12):
        shutil.rmtree(strangers / f"case_{case:05d}")
    assert kits19(strangers, tmp_path / "strangers", "--split-all-to", "train") == 0
    source = renamed(volumes, cases_of(SliceCache.open(tmp_path / "ours"), "test")[:1])
    assert run("masks", "--source", source, "--out", tmp_path / "masks", *ALL_TEST) == 0
    generator = write_record(
        tmp_path / "a.ckpt", tmp_path / "strangers", class_path="lightning_modules.Pix2Pix"
    )
    out = generate.generate(
        generator, 4, tmp_path / "set", labels=tmp_path / "masks", show_progress=False, device="cpu"
    )
    data = KiTS19DataModule(str(tmp_path / "ours"), synthetic=str(out))
    with pytest.raises(UserError, match=r"leaks 1 patient.* \(4 of their images have the pixels"):
        data.setup("fit")


def test_an_earlier_checkpoint_is_compared_by_names(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kits19(volumes, tmp_path / "ours") == 0
    assert kits19(renamed(volumes, range(3)), tmp_path / "other", *ALL_TEST) == 0
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", tmp_path / "ours")
    split = load_checkpoint_file(checkpoint)[RECORD_KEY]["split"]
    split = {**split, "train": [f"case_{n:05d}" for n in range(9)], "val": [], "test": []}
    checkpoint = write_checkpoint(tmp_path / "b.ckpt", tmp_path / "ours", split=split)
    evaluate.evaluate(checkpoint, tmp_path / "out", tmp_path / "other", show_progress=False)
    said = capsys.readouterr().err
    assert f"by the names of patients alone, since {checkpoint} has no hashes of pixels" in said
    split = {**split, "train": ["case_500"]}  # the same patient, written otherwise
    checkpoint = write_checkpoint(tmp_path / "c.ckpt", tmp_path / "ours", split=split)
    with pytest.raises(UserError, match="training patient of"):
        evaluate.evaluate(checkpoint, tmp_path / "no", tmp_path / "other", show_progress=False)


def test_png_slices_are_known_by_name_alone(volumes: Path, tmp_path: Path) -> None:
    """Their window is lost, so their pixels are none of the NIfTI's."""
    rows = []
    for kind in ("image", "label"):
        (tmp_path / "png" / kind).mkdir(parents=True)
    for number in range(2):
        name = f"{number}.png"
        levels = np.random.default_rng(number).integers(0, 255, (32, 32)).astype(np.uint8)
        Image.fromarray(levels).save(tmp_path / "png/image" / name)
        Image.fromarray(levels % 3).save(tmp_path / "png/label" / name)
        rows.append(f"{name},{number},0")
    (tmp_path / "png/index.csv").write_text("\n".join(["file,case,slice", *rows]) + "\n")
    assert kits19(volumes, tmp_path / "ours", "--split-all-to", "train") == 0
    assert run("slices", "--source", tmp_path / "png", "--out", tmp_path / "slices", *ALL_TEST) == 0
    checkpoint = write_record(tmp_path / "best.ckpt", tmp_path / "ours")
    with pytest.raises(UserError, match=r"2 patients of its test .*\)\. The scores would"):
        evaluate.evaluate(checkpoint, tmp_path / "out", tmp_path / "slices", show_progress=False)


def test_a_damaged_record_is_a_sentence(volumes: Path, tmp_path: Path) -> None:
    assert kits19(volumes, tmp_path / "ours") == 0
    checkpoint = write_record(tmp_path / "best.ckpt", tmp_path / "ours")
    content = load_checkpoint_file(checkpoint)
    content[RECORD_KEY]["pixels"]["train"] += "!"
    save_checkpoint_file(content, checkpoint)
    with pytest.raises(UserError, match="known pixels is damaged"):
        evaluate.evaluate(checkpoint, tmp_path / "out", tmp_path / "ours", show_progress=False)

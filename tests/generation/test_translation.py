"""generate.py --source: which images are translated, what goes along, whom the set then knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import generate
import train
from datamodules import KiTS19DataModule, UnpairedDataModule
from datamodules.film_cache import FilmCache
from datamodules.leak_check import check_no_leak
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError, read_json
from tests.conftest import write_cache, write_film_cache

ROOT = Path(__file__).parents[2]
OTHERS = {f"other_{i}": split for i, split in enumerate(["train"] * 3 + ["val", "test"])}


def translator(config: str, run_folder: Path, *more: str) -> Path:
    """A tiny one after a step."""
    words = [
        "fit",
        f"--config={ROOT / config}",
        *("--model.generator.width=4", "--model.generator.num_blocks=1"),
        *("--model.discriminator.width=4", "--model.discriminator.num_layers=2"),
        *("--data.batch_size=2", "--data.images_per_epoch=2", "--trainer.max_epochs=1"),
        *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
        *("--wandb=disabled", "--samples_every_epochs=0", f"--run_folder={run_folder}"),
    ]
    return train.fit([*words, *more]).last_checkpoint


def make(checkpoint: Path, out: Path, **settings: Any) -> SyntheticSet:
    given = {"show_progress": False, "device": "cpu", **settings}
    return SyntheticSet.open(generate.generate(checkpoint, out=out, **given))


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A target, a source of other patients, and a translator between them."""
    folder = tmp_path_factory.mktemp("slices")
    target = write_cache(folder / "target")
    source = write_cache(folder / "source", OTHERS, seed=3)
    data = [f"--data.root={target}", f"--data.source={source}"]
    checkpoint = translator("configs/kits19/cyclegan.yaml", folder / "run", *data)
    return target, source, checkpoint


@pytest.fixture(scope="module")
def translated(
    slices: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> SyntheticSet:
    """All nine slices of the source's three training patients."""
    return make(slices[2], tmp_path_factory.mktemp("translated") / "set")


@pytest.fixture(scope="module")
def to_abnormal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cache of films, and a translator from its normal ones to its abnormal ones."""
    folder = tmp_path_factory.mktemp("films")
    cache = write_film_cache(folder / "films")
    words = ["--data.source=null", "--data.source_label=normal", "--data.target_label=abnormal"]
    checkpoint = translator(
        "configs/chest_xray/cyclegan.yaml", folder / "run", f"--data.root={cache}", *words
    )
    return cache, checkpoint


def test_slices_take_their_label_maps_along(
    slices: tuple[Path, Path, Path], translated: SyntheticSet
) -> None:
    target, source, _ = slices
    made = translated
    originals = {item.id: item for item in SliceCache.open(source).items}
    assert len(made.items) == 9  # three training patients, three slices with foreground
    for item in made.items:
        original = originals[str(item.source_item_id)]
        assert item.source_patient_id == original.patient_id == item.unit
        assert np.array_equal(made.mask(item), SliceCache.open(source).mask(original))
        assert item.class_pixels == original.class_pixels
        assert item.pixel_spacing_mm == (2.0, 2.0)
    assert made.has_label_maps
    check_no_leak(made, SliceCache.open(target))
    assert KiTS19DataModule(str(target), synthetic=str(made.root)).training_set().num_real == 12


def test_the_set_knows_both_domains_and_whose_images_it_shows(
    slices: tuple[Path, Path, Path], translated: SyntheticSet, tmp_path: Path
) -> None:
    _, _, checkpoint = slices
    made = translated
    training = {f"case_{i:05d}" for i in range(4)}
    assert made.learnt().patients == training | {"other_0", "other_1", "other_2"}
    assert made.shown().patients == {item.source_patient_id for item in made.items}
    told = made.manifest["translated_from"]
    assert (told["direction"], told["shows_patients"]) == ("forward", True)
    card = (made.root / "README.md").read_text()
    assert "it still shows that patient's anatomy" in card
    assert "None is a picture of a patient" not in card
    notice = "Synthetic in part: a patient's image that a neural network translated."
    assert made.manifest["Comment"] == notice
    assert Image.open(made.root / "images/synthetic_000000.png").text["Description"] == notice
    # A patient whom the translator never saw is known through the image alone.
    new = write_cache(tmp_path / "new", {"new": "train", "z": "val"})
    shown = make(checkpoint, tmp_path / "shown", source=new, num_images=2)
    held_out = SliceCache.open(write_cache(tmp_path / "held_out", {"new": "test", "x": "train"}))
    with pytest.raises(UserError, match="its images are translated ones of this patient: new"):
        check_no_leak(shown, held_out)


def test_held_out_patients_of_the_translator_are_not_translated(
    slices: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, checkpoint = slices
    others = write_cache(tmp_path / "c", {"case_00004": "train", "new": "train", "z": "val"})
    made = make(checkpoint, tmp_path / "set", source=others)
    assert {item.source_patient_id for item in made.items} == {"new"}
    assert "left out 4 images of patients who are in the validation or test split" in (
        capsys.readouterr().err
    )


def test_a_set_is_refined_and_keeps_what_it_knew(
    slices: tuple[Path, Path, Path], translated: SyntheticSet, tmp_path: Path
) -> None:
    first = translated
    refined = make(slices[2], tmp_path / "refined", source=first.root)
    assert [item.source_item_id for item in refined.items] == [item.id for item in first.items]
    assert refined.shown().patients >= first.shown().patients
    assert refined.manifest["translated_from"]["shows_patients"] is True
    assert np.array_equal(refined.mask(refined.items[0]), first.mask(first.items[0]))


def test_normal_films_become_abnormal_ones_and_backward(
    to_abnormal: tuple[Path, Path], tmp_path: Path
) -> None:
    root, checkpoint = to_abnormal
    cache = FilmCache.open(root)
    names = cache.class_names("label")
    class_of = dict(zip(cache.ids.tolist(), cache.labels("label").tolist(), strict=True))
    for direction, before, after in (("forward", 0, 1), ("backward", 1, 0)):
        made = make(checkpoint, tmp_path / direction, direction=direction)
        assert len(made.items) == 6
        assert {item.label for item in made.items} == {names[after]}
        assert {class_of[str(item.source_item_id)] for item in made.items} == {before}
        assert {item.source_patient_id for item in made.items} <= {*cache.patients("train")}


def test_classes_that_training_did_not_show_are_left_out_with_a_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = write_film_cache(tmp_path / "target", labels=("normal", "pneumonia"))
    source = write_film_cache(tmp_path / "source", OTHERS, labels=("normal", "abnormal"))
    words = [f"--data.root={target}", f"--data.source={source}", "--model.conditioned=true"]
    checkpoint = translator("configs/chest_xray/cyclegan.yaml", tmp_path / "run", *words)
    capsys.readouterr()
    made = make(checkpoint, tmp_path / "set")
    assert [item.label for item in made.items] == ["normal"] * 5
    told = capsys.readouterr().err
    assert "left out 4 images of classes" in told
    assert "(abnormal: 4). It was trained on normal" in told
    back = make(checkpoint, tmp_path / "back", direction="backward")
    assert {item.label for item in back.items} == {"normal"}
    assert "(pneumonia: " in capsys.readouterr().err
    others = write_film_cache(tmp_path / "others", OTHERS, labels=("clear", "ill"))
    with pytest.raises(UserError, match="nothing to translate but 9 images"):
        make(checkpoint, tmp_path / "none", source=others)


def test_a_translation_does_not_depend_on_the_batch_and_continues(
    to_abnormal: tuple[Path, Path], tmp_path: Path
) -> None:
    _, checkpoint = to_abnormal
    whole = make(checkpoint, tmp_path / "whole", batch_size=6)
    (whole.root / "manifest.json").unlink()
    (whole.root / "images/synthetic_000003.png").unlink()
    again = make(checkpoint, tmp_path / "whole", batch_size=2)
    other = make(checkpoint, tmp_path / "other", batch_size=1)
    for one, two in zip(again.items, other.items, strict=True):
        assert np.array_equal(again.image(one), other.image(two))


def test_a_translator_is_trained_on_a_set(
    slices: tuple[Path, Path, Path], translated: SyntheticSet, tmp_path: Path
) -> None:
    """The refiner: from a set of any generator to the real slices."""
    target, first = slices[0], translated
    data = UnpairedDataModule(str(target), str(first.root), batch_size=2)
    data.setup("fit")
    assert data.synthetic_sha256 == first.content_sha256
    assert data.also_seen().patients == {"other_0", "other_1", "other_2"}
    words = [f"--data.root={target}", f"--data.source={first.root}"]
    refiner = translator("configs/kits19/cyclegan.yaml", tmp_path / "run", *words)
    refined = make(refiner, tmp_path / "refined")
    assert len(refined.items) == 9
    assert read_json(refined.root / "manifest.json")["translated_from"]["set_sha256"] == (
        first.content_sha256
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"num_images": 100}, "has 9 images to translate"),
        ({"with_class": "tumour"}, "--with-class: is for Pix2Pix"),
        ({"truncation": 0.5}, "--truncation: is for GANs"),
        ({"format": "nifti"}, "each is a patient's image, translated"),
        ({"source": "films"}, "holds films, but the translator was trained on slices"),
        ({"source": "small"}, "images of 16 px, but the translator was trained on 32 px"),
    ],
)
def test_what_cannot_be_translated_is_refused(
    settings: dict[str, Any],
    told: str,
    slices: tuple[Path, Path, Path],
    to_abnormal: tuple[Path, Path],
    make_cache: Callable[..., Path],
    tmp_path: Path,
) -> None:
    if settings.get("source") == "films":
        settings = {"source": to_abnormal[0]}
    elif settings.get("source") == "small":
        settings = {"source": make_cache(tmp_path / "small", OTHERS, size=16)}
    with pytest.raises(UserError, match=told):
        make(slices[2], tmp_path / "set", **settings)

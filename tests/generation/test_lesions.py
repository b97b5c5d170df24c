"""generate.py of a lesion infilling: whose slices, whose shapes, and what stays as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generate
import train
from datamodules import KiTS19DataModule
from datamodules.leak_check import check_no_leak
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from lightning_modules.conditional.lesion_placement import dilated
from provenance import UserError, sha256_of
from synthetic_marks import COMPOSITE_NOTICE, mark_in_picture
from tests.conftest import write_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    """Of each patient: a slice with a tumour, two with healthy kidneys, one with neither."""
    root = write_cache(tmp_path_factory.mktemp("cache") / "kidneys")
    manifest = json.loads((root / "manifest.json").read_text())
    for name, shard in manifest["shards"].items():
        masks = np.load(root / shard["mask"])
        masks[1:3][masks[1:3] == 2] = 1
        np.save(root / shard["mask"], masks)
        shard["sha256_mask"] = sha256_of(root / shard["mask"])
        for item in manifest["items"]:
            if item["shard"] == name:
                counts = np.bincount(masks[item["row"]].ravel(), minlength=3)
                item["class_pixels"] = counts.tolist()
    (root / "manifest.json").write_text(json.dumps(manifest))
    return SliceCache.open(root)


@pytest.fixture(scope="module")
def checkpoint(cache: SliceCache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train.fit(
        [
            "fit",
            f"--config={ROOT / 'configs/kits19/lesions.yaml'}",
            f"--data.root={cache.root}",
            "--model.generator.width=4",
            "--model.discriminator.width=4",
            "--model.discriminator.num_layers=1",
            "--model.margin=2",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            "--wandb=disabled",
            "--samples_every_epochs=1",
            f"--run_folder={tmp_path_factory.mktemp('runs') / 'lesions'}",
        ]
    ).last_checkpoint


def make(checkpoint: Path, out: Path, **settings: object) -> SyntheticSet:
    given = {"num_images": 10, "show_progress": False, "device": "cpu", **settings}
    return SyntheticSet.open(generate.generate(checkpoint, out=out, **given))  # type: ignore[arg-type]


def test_healthy_slices_get_a_tumour_and_stay_as_they_are_elsewhere(
    checkpoint: Path, cache: SliceCache, tmp_path: Path
) -> None:
    made = make(checkpoint, tmp_path / "set")
    slices = {item.id: item for item in cache.items}
    check_no_leak(made, cache)
    assert len(made.items) == 10
    assert len({item.label_item_id for item in made.items}) == 8  # all healthy training slices
    for item in made.items:
        source = slices[item.label_item_id]
        assert source.split == "train"
        assert source.class_pixels[2] == 0 < item.class_pixels[2]
        before, after = cache.mask(source), made.mask(item)
        tumour = after == 2
        assert np.array_equal(after[~tumour], before[~tumour])
        assert (before[tumour] == 1).all()  # inside the kidney
        region = dilated(tumour, 2)
        image, slice_ = made.image(item), cache.image(source)
        assert np.array_equal(image[~region], slice_[~region])
        assert (image[region] != slice_[region]).any()
    assert made.manifest["painted"]["largest_difference_outside"] == 0
    data = KiTS19DataModule(str(cache.root), synthetic=str(made.root))
    assert len(data.training_set()) == 12 + 10


def test_tumours_are_taken_out_and_their_place_is_kidney(
    checkpoint: Path, cache: SliceCache, tmp_path: Path
) -> None:
    made = make(checkpoint, tmp_path / "set", num_images=4, lesions="remove", format="npy")
    slices = {item.id: item for item in cache.items}
    for item in made.items:
        source = slices[item.label_item_id]
        tumour = cache.mask(source) == 2
        assert tumour.any()
        assert not (made.mask(item) == 2).any()
        assert (made.mask(item)[tumour] == 1).all()
        outside = ~dilated(tumour, 2)
        assert np.array_equal(made.image(item)[outside], cache.image(source)[outside])


def test_a_set_says_that_it_is_of_patients(checkpoint: Path, tmp_path: Path) -> None:
    made = make(checkpoint, tmp_path / "set", num_images=2)
    card = (made.root / "README.md").read_text()
    assert "None is a picture of a patient" not in card
    assert "a patient's slice in which a neural network painted a region" in card
    assert "largest difference from the slice outside of it: 0 of 255" in card
    assert made.manifest["Comment"] == COMPOSITE_NOTICE
    path = next((made.root / "images").iterdir())
    with Image.open(path) as image:
        assert image.text["Description"] == COMPOSITE_NOTICE
        alone = tmp_path / "alone.png"
        alone.write_bytes(path.read_bytes())
        assert "compositeWithTrainedAlgorithmicMedia" in str(mark_in_picture(alone, image.info))
    with pytest.raises(UserError, match="--format dicom: its files would say that they are nobody"):
        make(checkpoint, tmp_path / "dicom", format="dicom")


def test_it_goes_on_exactly_and_depends_on_its_seed(checkpoint: Path, tmp_path: Path) -> None:
    whole = make(checkpoint, tmp_path / "whole", num_images=5, batch_size=5)
    pixels = [whole.image(item).tobytes() for item in whole.items]
    cut = make(checkpoint, tmp_path / "cut", num_images=5, batch_size=2)
    (cut.root / "manifest.json").unlink()
    (cut.root / "images/synthetic_000003.png").unlink()
    cut = make(checkpoint, cut.root, num_images=5, batch_size=2)
    assert [cut.image(item).tobytes() for item in cut.items] == pixels
    other = make(checkpoint, tmp_path / "other", num_images=5, seed=1)
    assert [other.image(item).tobytes() for item in other.items] != pixels
    image = np.array(Image.open(cut.root / "images/synthetic_000000.png"))
    image[0, 0] ^= 1
    (cut.root / "manifest.json").unlink()
    Image.fromarray(image).save(cut.root / "images/synthetic_000000.png")
    with pytest.raises(UserError, match="differs from its slice outside of the painted region"):
        make(checkpoint, cut.root, num_images=5, batch_size=2)


def test_shapes_of_other_people_are_known_and_never_of_held_out_ones(
    checkpoint: Path, cache: SliceCache, tmp_path: Path
) -> None:
    patients = {"case_00004": "train", "case_00099": "train"}  # the first one validates here
    labels = write_cache(tmp_path / "labels", patients=patients)
    made = make(checkpoint, tmp_path / "set", labels=labels)
    assert "case_00099" in made.seen().patients
    assert "case_00004" not in made.seen().patients
    own = make(checkpoint, tmp_path / "own").seen().patients
    assert own == set(cache.patients("train"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"with_class": "tumour"}, "--with-class: is for Pix2Pix"),
        ({"truncation": 0.5}, "--truncation: is for GANs"),
        ({"lesions": "remove", "into": "any"}, "--into: is for lesions that are put in"),
        ({"lesions": "remove", "labels": Path("masks")}, "--labels: is for lesions that are put"),
    ],
)
def test_flags_that_mean_nothing_here_are_refused(
    checkpoint: Path, tmp_path: Path, flags: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        make(checkpoint, tmp_path / "set", **flags)
    assert not (tmp_path / "set").exists()

"""Labels are the cache's own: everything works with four classes, none of them a kidney."""

import json
from pathlib import Path

import pytest

import evaluate
import generate
import train
from datamodules import KiTS19DataModule
from datamodules.synthetic import SyntheticSet
from provenance import UserError
from tests.conftest import write_cache

ROOT = Path(__file__).parents[1]
CLASSES = ("background", "liver", "tumour", "vessel")
SMALL = {
    "unet_light": ["--model.network.width=8", "--model.network.depth=2"],
    "pix2pix": [
        "--model.generator.width=4",
        "--model.discriminator.width=4",
        "--model.discriminator.num_layers=2",
    ],
}


@pytest.fixture(scope="module")
def liver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache") / "liver", class_names=CLASSES)


def fit(config: str, cache: Path, folder: Path, *more: str) -> Path:
    return train.fit(
        [
            "fit",
            f"--config={ROOT / f'configs/kits19/{config}.yaml'}",
            f"--data.root={cache}",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            "--wandb=disabled",
            f"--run_folder={folder}",
            *SMALL[config],
            *more,
        ]
    ).best_checkpoint


@pytest.fixture(scope="module")
def generator(liver: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit("pix2pix", liver, tmp_path_factory.mktemp("runs") / "pix2pix")


@pytest.fixture(scope="module")
def vessels(generator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic set made from label maps with vessels."""
    out = tmp_path_factory.mktemp("sets") / "vessels"
    words = ["--checkpoint", generator, "--out", out, "--num-images", "6", "--device", "cpu"]
    assert generate.main([*map(str, words), "--with-class", "vessel"]) == 0
    return out


def test_a_set_is_generated_from_label_maps_with_a_class(vessels: Path) -> None:
    made = SyntheticSet.open(vessels)
    assert made.manifest["class_names"] == list(CLASSES)
    assert all(item.class_pixels[3] > 0 for item in made.items)
    assert "0 background, 1 liver, 2 tumour, 3 vessel" in (vessels / "README.md").read_text()


def test_a_segmenter_is_trained_with_it_and_scored_by_class(
    liver: Path, vessels: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    more = [f"--data.synthetic={vessels}", "--data.sampling=vessel"]
    checkpoint = fit("unet_light", liver, run, *more)
    assert "val/iou_vessel" in json.loads((run / "metrics.json").read_text())
    out = tmp_path / "scores"
    words = ["--checkpoint", checkpoint, "--out", out, "--device", "cpu"]
    assert evaluate.main([*map(str, words)]) == 0
    other = write_cache(tmp_path / "other", class_names=("background", "a", "b", "c"))
    with pytest.raises(UserError, match=r"classes background, a, b, c, but .* apart background"):
        evaluate.main([*map(str, words[:2]), "--root", str(other), "--out", str(tmp_path / "no")])
    result = json.loads((out / "evaluation.json").read_text())
    assert result["class_names"] == list(CLASSES)
    assert {"iou_liver", "iou_tumour", "iou_vessel", "dice_vessel"} <= set(result["summary"])


def test_every_second_slice_holds_the_class_that_sampling_names(liver: Path) -> None:
    data = KiTS19DataModule(str(liver), sampling="vessel")
    dataset = data.training_set()
    weights, holds = data.weights(dataset), dataset.has_class(3)
    assert weights is not None
    assert 0 < holds.mean() < 1
    assert weights[holds].sum() == pytest.approx(weights[~holds].sum())
    with pytest.raises(UserError, match=r"expected uniform, or a class .*: liver, tumour, vessel"):
        KiTS19DataModule(str(liver), sampling="kidney")


def test_sets_and_label_maps_of_other_classes_are_refused(
    generator: Path, vessels: Path, small_cache: Path, tmp_path: Path
) -> None:
    words = ["--checkpoint", generator, "--labels", small_cache, "--out", tmp_path / "set"]
    with pytest.raises(UserError, match=r"labels are background, kidney, .* on background, liver"):
        generate.main([*map(str, words)])
    patients = {f"case_{i:05d}": "train" for i in range(8)}
    kidneys = write_cache(tmp_path / "kidneys", {**patients, "a": "val", "b": "test"})
    data = KiTS19DataModule(str(kidneys), synthetic=str(vessels))
    with pytest.raises(UserError, match=r"labels are background, liver, .* has background, kidney"):
        data.training_set()

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from cards.finish import finish_synthetic_set
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem
from provenance import UserError, library_versions


def write_synthetic(root: Path, cache_root: Path, distortion: float) -> Path:
    """The training slices with noise, as if a generator had made them."""
    cache = SliceCache.open(cache_root)
    random = np.random.default_rng(0)
    items = []
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index, item in enumerate(cache.select("train", foreground_only=True)):
        image = cache.image(item) + random.normal(0, distortion, cache.image(item).shape)
        mask = np.array(cache.mask(item))
        if index == 0:
            mask = mask[::-1].copy()  # a label map that was changed after it was taken
        name = f"{index:05d}"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"images/{name}.png")
        Image.fromarray(mask).save(root / f"masks/{name}.png")
        items.append(SyntheticItem(name, index, item.id, item.patient_id, item.class_pixels))
    manifest = {
        "dataset": "test",
        "image_size": cache.image_size,
        "class_names": cache.class_names,
        "seed": 0,
        "versions": library_versions(),
        "generator": {
            "checkpoint_sha256": "0" * 64,
            "training_patients": cache.patients("train"),
            "images_seen": 1,
        },
    }
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return root


def test_images_are_compared_as_sets_and_as_pairs(
    small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {}
    for distortion in (5.0, 60.0):
        synthetic = write_synthetic(tmp_path / f"set{distortion}", small_cache, distortion)
        out = tmp_path / f"out{distortion}"
        words = ["--synthetic", synthetic, "--root", small_cache, "--out", out]
        assert evaluate.main(["images", *map(str, words)]) == 0
        assert "real against real" in capsys.readouterr().out
        results[distortion] = json.loads((out / "evaluation.json").read_text())
        assert (out / "sheet.png").is_file()
        assert (out / "pairs.csv").is_file()
        card = (out / "fid_card.md").read_text()
        assert "## Scores of pairs that share a label map" in card
        assert "slices with foreground" in card
    near, far = results[5.0], results[60.0]
    assert (near["num_real"], near["num_real_patients"], near["num_synthetic"]) == (6, 2, 12)
    for key in ("frechet_random_vgg", "kernel_random_vgg"):
        assert far["distances"][key]["value"] > near["distances"][key]["value"]
        assert far["distances"][key]["floor"] == near["distances"][key]["floor"]
    assert near["pairs_with_changed_label_map"] == 1
    assert list(near["pairs"]) == ["train"]
    assert near["pairs"]["train"]["mae"]["num_values"] == 11
    assert far["pairs"]["train"]["ssim"]["value"] < near["pairs"]["train"]["ssim"]["value"]


def test_images_that_cannot_be_compared_are_sentences(
    small_cache: Path, make_cache: Callable[..., Path], tmp_path: Path
) -> None:
    synthetic = write_synthetic(tmp_path / "set", small_cache, 5.0)
    larger = make_cache(tmp_path / "large", size=48)
    few = make_cache(tmp_path / "few", {"case_00100": "val"})
    for root, folder, sentence in (
        (larger, synthetic, "Compare sets of one size"),
        (few, synthetic, "needs at least 4"),
        (small_cache, tmp_path, "not a finished synthetic set"),
    ):
        with pytest.raises(UserError, match=sentence):
            evaluate.evaluate_images(folder, root, tmp_path / "out", show_progress=False)
    with pytest.raises(UserError, match="no such feature extractor"):
        evaluate.evaluate_images(synthetic, small_cache, tmp_path / "out", extractor="fid")

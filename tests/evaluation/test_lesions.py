"""evaluate.py lesions: what is found of painted lesions, with a segmenter of known answers."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import evaluate
import evaluation.lesions
from cards.finish import finish_synthetic_set
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem
from evaluation.folder import read_evaluation
from evaluation.lesions import evaluate_lesions
from lightning_modules import Segmenter
from provenance import UserError, library_versions
from tests.conftest import write_cache

NAMES = ("background", "kidney", "tumour")


class Bright(Segmenter):
    """Calls tumour whatever is brighter than 0.9, and kidney nothing."""

    def __init__(self) -> None:
        super().__init__(lambda channels, classes: torch.nn.Conv2d(1, 3, 1), 3, class_names=NAMES)

    def forward(self, image: Tensor) -> Tensor:
        bright = (image[:, 0] > 0.9).float()
        return torch.stack([0.5 - bright, bright * 0, bright], dim=1)


@pytest.fixture
def cache(tmp_path: Path) -> SliceCache:
    return SliceCache.open(write_cache(tmp_path / "cache"))


@pytest.fixture
def made(cache: SliceCache, tmp_path: Path) -> Path:
    """Of the last slice of each training patient: a tumour of 20 pixels, 15 of them bright."""
    root = tmp_path / "set"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    items = []
    for item in cache.select("train"):
        if item.slice_index != 3:
            continue
        image, mask = np.array(cache.image(item)), np.array(cache.mask(item))
        mask[4:8, 4:9], image[4:7, 4:9] = 2, 255
        name = f"synthetic_{len(items):06d}"
        np.save(root / f"images/{name}.npy", image)
        from PIL import Image

        Image.fromarray(mask).save(root / f"masks/{name}.png")
        items.append(SyntheticItem(name, 0, item.id, item.patient_id, (1004, 0, 20)))
    painted = {"lesion": "tumour", "what": "put", "margin": 2, "largest_difference_outside": 0,
               "mean_difference_inside": 1.0}  # fmt: skip
    manifest = {
        "dataset": "test", "image_size": 32, "class_names": list(NAMES), "seed": 0,
        "image_format": "npy", "painted": painted, "versions": library_versions(), "licences": [],
        "generator": {"training_patients": cache.patients("train"), "images_seen": 1,
                      "module": "LesionInfilling", "checkpoint_sha256": "0" * 64},
    }  # fmt: skip
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return root


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkpoint's path that opens as `Bright`."""
    path = tmp_path / "bright.ckpt"
    path.write_bytes(b"")
    record: dict[str, Any] = {"class_names": list(NAMES)}
    monkeypatch.setattr(evaluation.lesions, "load_module", lambda _: (Bright(), record))
    return path


def test_shares_are_of_the_new_pixels_before_and_after(
    cache: SliceCache, made: Path, opened: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = evaluate_lesions(opened, made, out, root=cache.root, device="cpu")
    assert [row["pixels"] for row in result["images"]] == [20] * 4
    assert [row["found"] for row in result["images"]] == [0.75] * 4
    assert [row["found_before"] for row in result["images"]] == [0.0] * 4
    assert result["summary"]["lesion_found"]["value"] == 0.75
    assert result["summary"]["lesion_found_change"]["value"] == 0.75
    assert result["half_found"]["lesion_found"] == {"found": 4, "of": 4}
    assert read_evaluation(out) == json.loads(json.dumps(result))
    assert (out / "found.png").is_file()


def test_shares_stay_shares_and_changes_are_of_the_same_image(
    cache: SliceCache,
    made: Path,
    opened: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Few patients who differ much: a symmetrical interval would begin below 0."""
    of_set = evaluation.lesions._Asked.of_set

    def uneven(self: Any, *given: Any) -> Any:
        for row, found in zip(of_set(self, *given), (0.5, 0.0, 0.0, 0.1), strict=True):
            yield {**row, "found": found, "found_before": found / 2}

    monkeypatch.setattr(evaluation.lesions._Asked, "of_set", uneven)
    result = evaluate_lesions(opened, made, tmp_path / "out", root=cache.root, device="cpu")
    found, change = (result["summary"][f"lesion_found{end}"] for end in ("", "_change"))
    assert found["value"] == pytest.approx(0.15)
    assert 0 < found["low"] < found["value"] < found["high"] < 1
    assert change["value"] == pytest.approx(0.075)  # the mean of half of each
    assert change["low"] < 0 < change["high"]


def test_real_lesions_are_of_held_out_patients_and_of_like_size(
    cache: SliceCache, made: Path, opened: Path, tmp_path: Path
) -> None:
    result = evaluate_lesions(opened, made, tmp_path / "out", root=cache.root, device="cpu")
    assert result["num_real_lesions"] == 0  # theirs have about 40 pixels, the painted ones 20
    asked = evaluation.lesions._Asked(Bright(), torch.device("cpu"), 2)
    rows = list(asked.of_real(cache, [{"pixels": 12}, {"pixels": 500}]))
    held_out = {*cache.patients("val"), *cache.patients("test")}
    assert len(rows) == 12  # four patients, three slices with a tumour each
    assert {row["patient_id"] for row in rows} == held_out


def test_rules_are_judged_and_the_exit_status_says_how(
    cache: SliceCache, made: Path, opened: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lesions", "--checkpoint", str(opened), "--synthetic", str(made), "--root",
             str(cache.root), "--device", "cpu"]  # fmt: skip
    assert evaluate.main([*words, "--out", str(tmp_path / "a"), "--require", "num_images>=4"]) == 0
    told = capsys.readouterr().out
    assert "tumour put in: 4 images of 4 patients" in told
    assert "slice before, same pixels 0.000" in told
    assert evaluate.main([*words, "--out", str(tmp_path / "b"), "--require", "num_images>=5"]) == 3
    assert (
        evaluate.main(["gate", str(tmp_path / "a"), "--require", "lesion_found_before<=0.9"]) == 0
    )


def test_what_is_no_such_set_or_no_segmenter_is_named(
    cache: SliceCache, made: Path, opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    del manifest["painted"]
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="no lesion was painted into real slices of it"):
        evaluate_lesions(opened, made, tmp_path / "out", root=cache.root, device="cpu")
    monkeypatch.setattr(evaluation.lesions, "load_module", lambda _: (SimpleNamespace(), {}))
    with pytest.raises(UserError, match="holds a SimpleNamespace; give a segmenter's"):
        evaluate_lesions(opened, made, tmp_path / "out", root=cache.root, device="cpu")

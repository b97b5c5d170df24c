"""A drawn set with four labels and two channels, from nnU-Net's folder to a study's report."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

import study
from datamodules.slice_cache import SliceCache
from phantom.ct.tumour_settings import TumourSettings
from phantom.ct.write_set import write_phantom_ct
from provenance import read_json
from tests.nnunet_sets import save, write_description
from tests.prepare_runs import run

ROOT = Path(__file__).parents[2]
NAMES = ["background", "left_kidney", "right_kidney", "tumour"]
LABELS = {"background": 0, "left kidney": 1, "right kidney": 2, "tumour": 3}


def write_four_labels(folder: Path, num: int = 12) -> Path:
    """The phantom's kidneys by side, its tumours, and beside CT a channel without a unit."""
    tumours = TumourSettings(1.0, 50.0)
    cases = write_phantom_ct(folder / "drawn", num, 32, 12, seed=3, tumours=tumours)
    source = write_description(
        folder / "Dataset042_Phantom",
        labels=LABELS,
        channel_names={"0": "CT", "1": "T1"},
        numTraining=num,
    )
    for number, case in enumerate(cases):
        mask = nib.load(case / "segmentation.nii.gz")
        labels = np.asanyarray(mask.dataobj).astype(np.uint8)
        image = np.asanyarray(nib.load(case / "imaging.nii.gz").dataobj)
        left = np.arange(labels.shape[2]) >= labels.shape[2] // 2  # columns run to the left
        new = np.where(labels == 2, 3, np.where(labels == 1, np.where(left, 1, 2), 0))
        other = np.clip(1500.0 - image, 0, None).astype(np.float32) * 0.01
        for channel, values in enumerate((image, other)):
            save(source / f"imagesTr/p{number:02d}_{channel:04d}.nii.gz", values, mask.affine)
        save(source / f"labelsTr/p{number:02d}.nii.gz", new.astype(np.uint8), mask.affine)
    return source


def specification() -> dict[str, object]:
    small = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
    return {
        "name": "four",
        "title": "Four labels",
        "question": "Does synthetic data help?",
        "seeds": [0],
        "metric": {"name": "iou_mean", "title": "IoU", "percent": True, "higher_is_better": True},
        "target": "right_kidney",
        "baseline_scenario": 1,
        "generator": {
            "config": str(ROOT / "configs/kits19/pix2pix.yaml"),
            "num_images": 8,
            "with_class": "right_kidney",
            "checkpoint": "last",
            "arguments": [
                *small,
                *("--model.generator.width", "4", "--model.discriminator.width", "4"),
                *("--model.discriminator.num_layers", "2"),
            ],
        },
        "arguments": [*small, "--data.sampling", "right_kidney", "--data.augmentation", "nnunet"],
        "scenarios": [
            {"id": 1, "name": "real only"},
            {"id": 2, "name": "real + synthetic", "synthetic": True},
        ],
        "models": [
            {
                "name": "unet",
                "config": str(ROOT / "configs/kits19/unet_light.yaml"),
                "arguments": ["--model.network.width", "4", "--model.network.depth", "2"],
            }
        ],
    }


@pytest.mark.slow
def test_four_labels_and_two_channels_from_prepare_to_the_report(tmp_path: Path) -> None:
    source, root = write_four_labels(tmp_path), tmp_path / "cache"
    words = ("nnunet", "--source", source, "--out", root, "--keep-patient-names")
    assert run(*words, "--split-ratios", "0.5", "0.25", "0.25", "--split-seed", "1") == 0
    cache = SliceCache.open(root)
    assert cache.class_names == NAMES
    assert cache.channels == ["CT", "T1"]
    totals = np.array([item.class_pixels for item in cache.items]).sum(0)
    assert (totals > 0).all()

    plan, out = tmp_path / "four.yaml", tmp_path / "study"
    plan.write_text(yaml.safe_dump(specification()))
    assert study.main(["run", str(plan), "--data.root", str(root), "--out", str(out)]) == 0
    cells = [read_json(path) for path in (out / "cells").glob("*.json")]
    scored = [cell["evaluation"] for cell in cells if "evaluation" in cell]
    assert len(scored) == 2
    for evaluation in scored:
        assert evaluation["class_names"] == NAMES
        assert {f"iou_{name}" for name in NAMES} <= set(evaluation["summary"])
    manifests = [path for path in out.rglob("manifest.json") if "synthetic" in str(path)]
    made = json.loads(manifests[0].read_text())
    assert (made["class_names"], made["channels"], made["image_format"]) == (NAMES, 2, "npy")
    assert all(item["class_pixels"][2] > 0 for item in made["items"])
    page = (out / "report.html").read_text()
    assert "right_kidney" in page

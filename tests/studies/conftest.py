"""A small study with fake verbs. The verbs' module must be importable in worker processes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fake_verbs

from studies.specification.read import parse_specification
from studies.specification.specification import Specification


@pytest.fixture
def plan() -> dict:
    """Plain values of a study: 2 scenarios, 2 models, 1 seed."""
    return {
        "name": "small",
        "title": "Small study",
        "question": "Does synthetic data help?",
        "seeds": [0],
        "metric": {"name": "iou_mean", "title": "IoU"},
        "generator": {"config": "configs/gan.yaml", "num_images": 8},
        "scenarios": [
            {"id": 1, "name": "real only"},
            {"id": 3, "name": "real + synthetic", "synthetic": True},
        ],
        "models": [
            {"name": "unet_light", "title": "U-Net light", "config": "configs/light.yaml"},
            {"name": "fpn", "title": "FPN", "config": "configs/fpn.yaml"},
        ],
        "baseline_scenario": 1,
    }


@pytest.fixture
def small(plan: dict) -> Specification:
    return parse_specification(plan, "small.yaml")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cache in data/ and the fake verbs' steering folder."""
    (tmp_path / "control").mkdir()
    monkeypatch.setenv("UNDERSTUDY_FAKE", str(tmp_path / "control"))
    fake_verbs.write_cache(tmp_path / "data")
    return tmp_path

"""A small study with fake verbs. The verbs' module must be importable in worker processes."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fake_verbs

from display.pages import PageFigure
from display.tables import text_table
from studies.report.write import build_report
from studies.specification.read import parse_specification
from studies.specification.specification import Specification


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in W&B costs a second; the tests of what is logged ask for it."""
    monkeypatch.setenv("WANDB_MODE", "disabled")


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


@pytest.fixture
def added_is_shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, Path], None]:
    """Adds a table and a figure to a kind's report, whose template does not name them, and looks.

    Its arguments are the package of the kind and the folder of a study that was run.
    """

    def check(kind: ModuleType, out: Path) -> None:
        assert "Further tables and figures" not in build_report(out).read_text()
        tables, figures = kind.page_tables, kind.page_figures
        new = text_table(("Scanner", "Count"), [("A", "61")])
        drawn = PageFigure("Scanners", b"png", "Bars of scanners.", "Films of each.")
        monkeypatch.setattr(kind, "page_tables", lambda *a: tables(*a) | {"by_scanner": new})
        monkeypatch.setattr(kind, "page_figures", lambda *a: figures(*a) | {"scanners": [drawn]})
        further = build_report(out).read_text().split("Further tables and figures</h2>")[1]
        for text in ("By scanner", 'data-title="Count"', "61", 'alt="Bars of scanners."'):
            assert text in further, text
        assert "## By scanner\n\n| Scanner | Count |" in (out / "report.md").read_text()

    return check

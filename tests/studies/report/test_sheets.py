"""What the rows of a report's sheets are called: nobody takes a drawing for a real image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem
from studies.report.sheets import real_synthetic_films, real_synthetic_sheet
from tests.evaluation.answers import write_set


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the rows of the last sheet."""
    import display.sheet

    kept, drawn = [], display.sheet.sheet

    def watched(rows: Any, row_titles: list[str], **settings: Any) -> Any:
        kept[:] = row_titles
        return drawn(rows, row_titles=row_titles, **settings)

    monkeypatch.setattr(display.sheet, "sheet", watched)
    return kept


def called(cache: Path, dataset: str) -> None:
    content = json.loads((cache / "manifest.json").read_text())
    content["dataset"] = dataset
    content.pop("sha256", None)
    (cache / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("dataset", "kind"), [("kits19", "real"), ("phantom_ct", "drawn")])
def test_slices_of_a_phantom_are_called_drawn(
    make_cache: Callable[..., Path], tmp_path: Path, titles: list[str], dataset: str, kind: str
) -> None:
    root = make_cache(tmp_path / "cache")
    called(root, dataset)
    cache = SliceCache.open(root)
    training = cache.select("train", foreground_only=True)[:2]
    for name, settings in (("lent", True), ("translated", False)):
        items = [
            SyntheticItem(
                f"s{index}",
                label_item_id=one.id if settings else None,
                source_item_id=None if settings else "other/0001",
                class_pixels=one.class_pixels,
            )
            for index, one in enumerate(training)
        ]
        (tmp_path / name / "masks").mkdir(parents=True)
        for item, one in zip(items, training, strict=True):
            Image.fromarray(np.array(cache.mask(one))).save(
                tmp_path / f"{name}/masks/{item.id}.png"
            )
        images = [np.array(cache.image(one)) for one in training]
        made = write_set(tmp_path / name, images, items, cache.class_names)
        _, caption = real_synthetic_sheet(cache, made)
        if settings:
            assert titles == ["label map", kind, "synthetic"]
            assert f"then the {kind} training slice with this label map" in caption
        else:
            assert titles == ["label map", f"{kind},\nanother slice", "synthetic"]
            assert "below the translated slice, whose original has this label map" in caption


def test_films_of_a_phantom_are_called_drawn(
    film_cache: Callable[..., Path], tmp_path: Path, titles: list[str]
) -> None:
    root = film_cache(tmp_path / "films")
    called(root, "phantom_cxr")
    images = [np.zeros((32, 32), np.uint8)] * 2
    items = [SyntheticItem(f"s{i}", seed=i, label=["normal", "abnormal"][i]) for i in range(2)]
    made = write_set(tmp_path / "set", images, items, ["normal", "abnormal"])
    _, caption = real_synthetic_films(FilmCache.open(root), made)
    assert titles == [
        f"{kind}\n{n}" for n in ("abnormal", "normal") for kind in ("drawn", "synthetic")
    ]
    assert (
        caption == "Of each class drawn training films above, synthetic ones below, evenly spread."
    )

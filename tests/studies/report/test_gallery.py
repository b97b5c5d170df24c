"""The gallery of augmentations: every operation and preset, on the user's images, replayable."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import study
from augmentations.catalogue import BATCH_OPERATIONS, OPERATIONS
from augmentations.operation import Images
from augmentations.presets import PRESETS
from datamodules.open_cache import open_cache
from provenance import UserError
from studies.report.gallery import sections
from studies.report.gallery.page import write_gallery
from studies.report.gallery.pictures import Picture, training_pictures
from studies.report.gallery.sections import Sections
from tests.conftest import write_cache

SLICES = Images(1, masks=True)
CLASSES = ["background", "kidney", "tumour"]


def test_slices_with_their_masks_again_by_the_same_seed(small_cache: Path, tmp_path: Path) -> None:
    words = ["augmentations", f"--data.root={small_cache}", "--images=1", "--seed=3"]
    own = "[one_of: {operations: [rotation: {max_degrees: 90}, gamma]}, ricap: {beta: 0.5}]"
    assert study.main([*words, f"--out={tmp_path / 'one.html'}", "--augmentation", own]) == 0
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "This page stays with the data" in page
    assert "seed 3" in page
    assert "your policy" in page
    assert "one_of: {operations: [rotation: {max_degrees: 90}, gamma: {min_gamma: 0.7" in page
    assert "ricap: {beta: 0.5}" in page
    assert re.search(r"1 slice of the training split, and \d more to mix with", page)
    assert page.count("images of the split.") == 2, "of your policy and of geometric_ricap"
    assert "outside the body" in page
    assert "kidney, tumour" in page
    for name in set(OPERATIONS) - {"identity", "one_of", "one_at_a_level"}:
        assert f". {name}</h3>" in page, name
        assert OPERATIONS[name].breaks_meaning.split("'")[0] in page
    assert all(f"<h3>{name}</h3>" in page for name in PRESETS if name != "none")
    assert "case_0" not in page, "names of patients are not needed"
    assert "grey images have one channel" in page  # channel_shuffle is refused, and says why
    for name in BATCH_OPERATIONS:
        assert f"<h3>{name}</h3>" in page
    assert "a blend has no label map" in page  # augmix is refused for slices
    with pytest.raises(UserError, match=r"one\.html: is there already, and nothing is overwritten"):
        write_gallery(small_cache, tmp_path / "one.html")
    picture = training_pictures(open_cache(str(small_cache)), 4)[0][0]
    again = Sections(SLICES, CLASSES, 3).overview(picture)
    assert again.source in page, "the same seed gives the same pictures"
    assert Sections(SLICES, CLASSES, 4).overview(picture).source not in page


def test_films_of_three_channels_and_what_is_asked_wrongly(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    films = film_cache(tmp_path / "films", channels=3)
    write_gallery(films, tmp_path / "page.html", images=1)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "grey images have one channel" not in page
    assert "a blend has no label map" not in page
    assert re.search(r"Labels after it: .*(normal|abnormal) \d+%, (normal|abnormal) \d+%", page)
    with pytest.raises(UserError, match=r"--images is 0; it must be 1 or more"):
        write_gallery(films, tmp_path / "other.html", images=0)
    with pytest.raises(UserError, match=r"--augmentation: there is no operation gama\."):
        write_gallery(films, tmp_path / "other.html", augmentation=["gama"])
    with pytest.raises(UserError, match=r"alone is --augmentation '\[mixup\]'"):
        write_gallery(films, tmp_path / "other.html", augmentation="mixup")
    assert not (tmp_path / "other.html").exists()


def test_a_cache_without_training_images_is_a_sentence(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    patients = {"a": "test", "b": "test"}
    write_cache(tmp_path / "slices", patients)
    film_cache(tmp_path / "films", patients=patients)
    for name in ("slices", "films"):
        with pytest.raises(UserError, match="its training split holds no image to show"):
            write_gallery(tmp_path / name, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_numbers_of_the_overview_are_those_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of grey images too, where channel_shuffle is refused."""
    titles: list[str] = []
    drawn: Callable[..., Any] = sections.sheet

    def keep(*given: Any, column_titles: Any = None, **settings: Any) -> Any:
        titles.extend(column_titles or ())
        return drawn(*given, column_titles=column_titles, **settings)

    monkeypatch.setattr(sections, "sheet", keep)
    picture = Picture(torch.rand(1, 32, 32) * 2 - 1, torch.zeros(32, 32, dtype=torch.uint8))
    of_page = Sections(SLICES, CLASSES, 0)
    of_page.overview(picture)
    shown = {re.sub(r"[\[\]]", "", title).split(" ", 1)[0] for title in titles[1:]}
    listed = [one["name"] for one in of_page.operations([picture])]
    expected = [f"[{k}] {name.replace('_', ' ')}" for k, name in enumerate(listed, start=1)]
    assert set(expected) >= {title for title in titles if title.startswith("[")}
    assert set(range(1, len(listed) + 1)) - {
        int(number) for number in shown if number.isdigit()
    } == {1 + listed.index("channel_shuffle")}


def test_outlines_leave_what_is_within_them() -> None:
    mask = torch.zeros(32, 32, dtype=torch.uint8)
    mask[8:24, 8:24] = 1
    image = torch.rand(1, 32, 32) * 2 - 1
    plain, lined = Picture(image).shown(), Picture(image, mask).shown()
    assert (lined[9:23, 9:23] == plain[9:23, 9:23, None]).all()
    assert (lined[8, 8:24] != plain[8, 8:24, None]).any(axis=-1).all()

"""A synthetic set that knows a held-out patient never joins the training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.kits19 import KiTS19DataModule
from datamodules.leak_check import check_no_leak
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from knowledge import Knowledge
from provenance import UserError


def synthetic_set(root: Path, label_patient: str = "case_00000", **generator: Any) -> Path:
    for kind, value in (("images", 90), ("masks", 1)):
        (root / kind).mkdir(parents=True)
        Image.fromarray(np.full((32, 32), value, np.uint8)).save(root / kind / "s.png")
    manifest = {
        "format": "understudy-synthetic",
        "image_size": 32,
        "generator": {"training_patients": ["case_00000", "case_00001"], **generator},
        "items": [
            {
                "id": "s",
                "seed": 1,
                "label_item_id": f"{label_patient}/0000",
                "label_patient_id": label_patient,
                "class_pixels": [0, 1024, 0],
            }
        ],
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


def test_set_from_training_patients_joins_training_only(small_cache: Path, tmp_path: Path) -> None:
    made = synthetic_set(tmp_path / "set")
    data = KiTS19DataModule(str(small_cache), synthetic=str(made))
    training = data.training_set()
    assert len(training) == 12 + 1
    sample = training[12]
    assert sample["patient_id"] == "synthetic:case_00000"
    assert sample["image"].float().mean() == 90
    held_out = [data.evaluation_loader(split).dataset for split in ("val", "test")]
    assert all(len(d) == 6 and d.synthetic is None for d in held_out)  # type: ignore


@pytest.mark.parametrize("patient", ["case_00004", "case_00006"])  # one val, one test
def test_generator_that_saw_a_held_out_patient_fails_the_run(
    small_cache: Path, tmp_path: Path, patient: str
) -> None:
    made = synthetic_set(tmp_path / "set", training_patients=["case_00000", patient])
    data = KiTS19DataModule(str(small_cache), synthetic=str(made))
    with pytest.raises(UserError, match=f"trained on this patient: {patient}"):
        data.setup("fit")


def test_label_map_of_a_held_out_patient_fails_the_run(small_cache: Path, tmp_path: Path) -> None:
    made = synthetic_set(tmp_path / "set", label_patient="case_00007")
    with pytest.raises(UserError, match="drawn on this patient: case_00007"):
        check_no_leak(SyntheticSet.open(made), SliceCache.open(small_cache))


def test_unknown_origin_is_refused(small_cache: Path, tmp_path: Path) -> None:
    made = synthetic_set(tmp_path / "set", training_patients=None)
    with pytest.raises(UserError, match="does not say what its generator was trained on"):
        check_no_leak(SyntheticSet.open(made), SliceCache.open(small_cache))


def test_a_set_that_says_unknown_joins_and_whoever_learns_of_it_says_so_too(
    small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unlike one that merely does not tell: the person has said that nobody knows."""
    made = synthetic_set(
        tmp_path / "set", training_patients=[], of_unknown=True, trained_on="unknown"
    )
    data = KiTS19DataModule(str(small_cache), synthetic=str(made))
    assert len(data.training_set()) == 12 + 1
    assert "of which nobody has said whose they are" in capsys.readouterr().err
    checkpoint = Knowledge.of_plain(data.also_seen().plain())
    assert checkpoint.of_unknown
    further = checkpoint | Knowledge(frozenset({"case_00000"}))
    gap = further.not_compared("a model trained further", SliceCache.open(small_cache))
    assert gap is not None
    assert "--trained-on unknown" in gap.sentence
    told = Knowledge(frozenset({"case_00000"}))
    assert told.not_compared("another model", SliceCache.open(small_cache)) is None


def test_an_unknown_origin_does_not_excuse_a_known_leak(small_cache: Path, tmp_path: Path) -> None:
    made = synthetic_set(tmp_path / "set", "case_00007", of_unknown=True, trained_on="unknown")
    with pytest.raises(UserError, match="drawn on this patient: case_00007"):
        check_no_leak(SyntheticSet.open(made), SliceCache.open(small_cache))


def test_images_without_seed_volume_and_label_map_are_read(
    small_cache: Path, tmp_path: Path
) -> None:
    """As prepare.py synthetic writes them: of another program nobody knows the seed."""
    path = synthetic_set(tmp_path / "set") / "manifest.json"
    manifest = json.loads(path.read_text())
    brought = {"id": "s", "class_pixels": [0, 1024, 0]}
    path.write_text(json.dumps({**manifest, "shows": "slices", "items": [brought]}))
    made = SyntheticSet.open(path.parent)
    assert (made.items[0].seed, made.items[0].unit, made.has_label_maps) == (None, "s", True)
    training = KiTS19DataModule(str(small_cache), synthetic=str(path.parent)).training_set()
    assert training[12]["patient_id"] == "synthetic:s"
    bare = {"id": "s", "volume": "v"}
    path.write_text(json.dumps({**manifest, "shows": "slices", "items": [bare]}))
    made = SyntheticSet.open(path.parent)
    assert (made.items[0].unit, made.has_label_maps, made.of_slices) == ("v", False, True)
    with pytest.raises(UserError, match="synthetic --masks"):
        KiTS19DataModule(str(small_cache), synthetic=str(path.parent)).training_set()
    path.write_text(json.dumps({**manifest, "shows": "drawings"}))
    with pytest.raises(UserError, match="is damaged"):
        SyntheticSet.open(path.parent)


def test_a_set_of_other_names_joins_with_a_warning(
    small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same patients under another salt look just like patients of another hospital."""
    cache = SliceCache.open(small_cache)
    check_no_leak(SyntheticSet.open(synthetic_set(tmp_path / "own")), cache)
    assert capsys.readouterr().err == ""
    other = synthetic_set(tmp_path / "set", training_patients=["patient_0"])
    check_no_leak(SyntheticSet.open(other), cache)
    said = capsys.readouterr().err
    assert "by the names of patients alone, since" in said
    assert "The same image under another name is not found." in said


def test_slice_split_is_checked_by_slice(make_cache: Callable[..., Path], tmp_path: Path) -> None:
    cache = SliceCache.open(make_cache(tmp_path / "cache", by="slice"))
    by_patient = SyntheticSet.open(synthetic_set(tmp_path / "a"))
    with pytest.raises(UserError, match="split by slice"):
        check_no_leak(by_patient, cache)
    clean = synthetic_set(tmp_path / "b", training_items=["case_00000/0000"])
    check_no_leak(SyntheticSet.open(clean), cache)
    leaky = synthetic_set(tmp_path / "c", training_items=["case_00006/0001"])
    with pytest.raises(UserError, match="leaks 1 slice"):
        check_no_leak(SyntheticSet.open(leaky), cache)


def test_other_image_size_is_refused(make_cache: Callable[..., Path], tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache", size=64)
    made = synthetic_set(tmp_path / "set")
    with pytest.raises(UserError, match=r"images of 32 px, but .* uses 64 px"):
        KiTS19DataModule(str(cache), synthetic=str(made)).training_set()

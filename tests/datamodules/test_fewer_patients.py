"""Training on a share of the patients: nested, repeatable, and nothing else is changed."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from datamodules import ChestXrayDataModule, KiTS19DataModule
from datamodules.choice.fewer_patients import (
    patients_of_generators,
    patients_warning,
    some_patients,
)
from datamodules.synthetic import SyntheticSet
from provenance import UserError

NAMES = [f"p{index}" for index in range(40)]


def test_a_smaller_share_is_a_part_of_a_larger_one_and_so_large() -> None:
    chosen = {share: set(some_patients(NAMES, share, 3)) for share in (0.01, 0.1, 0.25, 0.5, 1.0)}
    assert [len(one) for one in chosen.values()] == [1, 4, 10, 20, 40]
    every = list(chosen.values())
    assert all(few < more for few, more in itertools.pairwise(every))
    assert some_patients(NAMES, 0.25, 3) == some_patients(NAMES, 0.25, 3)
    assert set(some_patients(NAMES, 0.25, 4)) != chosen[0.25]


def test_the_order_of_patients_depends_on_nobody_else() -> None:
    order = some_patients(NAMES, 1.0, 0)
    fewer = some_patients(NAMES[::-2], 1.0, 0)
    assert fewer == [name for name in order if name in set(NAMES[::-2])]


def test_every_patient_is_chosen_equally_often_over_seeds() -> None:
    counts = dict.fromkeys(NAMES, 0)
    for seed in range(400):
        for name in some_patients(NAMES, 0.25, seed):
            counts[name] += 1
    spread = np.array(list(counts.values()))
    assert spread.sum() == 400 * 10
    assert abs(spread - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)  # five standard deviations


def of_films(film_cache: Callable[..., Path], folder: Path) -> str:
    patients = {f"p{index}": "train" for index in range(20)} | {"v": "val", "w": "test"}
    return str(film_cache(folder, patients=patients, films=3))


def test_films_of_the_chosen_patients_alone_are_trained_on(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    root = of_films(film_cache, tmp_path / "films")
    state = random.getstate(), str(np.random.get_state())

    def patients(split: str = "train", **settings: Any) -> list[str]:
        data = ChestXrayDataModule(root, **settings)
        return data.cache.patient_ids[data.items(split)].tolist()

    few, more = patients(fraction_of_patients=0.25), patients(fraction_of_patients=0.5)
    assert len(set(few)) == 5
    assert len(few) == 15  # whole patients
    assert set(few) < set(more) < set(patients())
    assert few == patients(fraction_of_patients=0.25, seed=9, patients_seed=0)
    assert few != patients(fraction_of_patients=0.25, seed=9)
    for split in ("val", "test"):
        assert patients(split, fraction_of_patients=0.25) == patients(split)
    assert (random.getstate(), str(np.random.get_state())) == state


def test_an_imbalance_is_made_of_the_chosen_patients(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    root = of_films(film_cache, tmp_path / "films")
    half = ChestXrayDataModule(root, fraction_of_patients=0.5)
    rarer = ChestXrayDataModule(root, fraction_of_patients=0.5, imbalance=5)
    assert set(rarer.items("train")) < set(half.items("train"))


def test_slices_of_the_chosen_patients_alone_are_trained_on(small_cache: Path) -> None:
    whole = KiTS19DataModule(str(small_cache))
    patients = {item.patient_id for item in whole.items("train")}
    assert len(patients) > 1
    some = KiTS19DataModule(str(small_cache), fraction_of_patients=1 / len(patients))
    (kept,) = {item.patient_id for item in some.items("train")}
    assert len(some.real_set()) == sum(i.patient_id == kept for i in whole.items("train"))
    assert [i.id for i in some.items("val")] == [i.id for i in whole.items("val")]


@pytest.mark.parametrize(
    ("share", "chosen", "warned"),
    [(None, None, True), (0.5, 0, True), (0.25, 1, True), (0.25, 0, False), (0.1, 0, False)],
)
def test_a_generator_that_saw_other_patients_is_named(
    share: float | None, chosen: int | None, warned: bool
) -> None:
    maker = {} if share is None else {"fraction_of_patients": share, "patients_seed": chosen}
    made = SimpleNamespace(root="set", manifest={"generator": {"generators": [maker]}})
    told = patients_warning(cast(SyntheticSet, made), NAMES, some_patients(NAMES, 0.25, 0))
    assert (told is not None) == warned
    if told:
        assert "so it has learnt from patients that this run leaves out" in told.lower()
    assert patients_warning(cast(SyntheticSet, made), NAMES, NAMES) is None


def test_a_generator_of_few_films_is_known_by_its_patients() -> None:
    few, others = some_patients(NAMES, 0.1, 5), some_patients(NAMES, 0.1, 6)
    maker = {"trained_on_patients": few, "trained_on_at_most": 50}
    manifest = {"generator": {"generators": [maker]}}
    made = cast(SyntheticSet, SimpleNamespace(root="set", manifest=manifest))
    assert patients_of_generators(made, NAMES) == set(few)
    assert patients_warning(made, NAMES, few) is None
    told = patients_warning(made, NAMES, others)
    assert told is not None
    assert f"trained on {len(few)} of the training patients" in told
    manifest["generator"]["generators"].append({"label": "saw all"})
    assert patients_of_generators(made, NAMES) is None


def test_more_films_than_there_are_are_told(
    film_cache: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ChestXrayDataModule(str(film_cache(tmp_path / "films")), num_images=1000)
    assert len(data.items("train")) == 12
    assert "has 12 films that this run can use, so all of them are" in capsys.readouterr().err


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(small_cache: Path, fraction: float) -> None:
    with pytest.raises(UserError, match=r"--data.fraction_of_patients is .* above 0 and at most 1"):
        KiTS19DataModule(str(small_cache), fraction_of_patients=fraction)

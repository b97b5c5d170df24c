"""Two domains: which images they hold, in which order, and whom a training then knows."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import UnpairedDataModule
from provenance import UserError
from tests.training_runs import cpu_trainer

Cache = Callable[..., Path]
OTHERS = {f"other_{i}": split for i, split in enumerate(["train"] * 3 + ["val", "test"])}


@pytest.fixture
def caches(film_cache: Cache, tmp_path: Path) -> tuple[Path, Path]:
    """A target of which 2 in 3 films are abnormal, and a source of other patients, half of them."""
    target = film_cache(tmp_path / "target", labels=("normal", "abnormal", "abnormal"))
    return target, film_cache(tmp_path / "source", OTHERS, films=4)


def batches(data: UnpairedDataModule, number: int) -> list[dict[str, Any]]:
    """The first training batches of the first process."""

    class Module:
        steps_done = 0

    trainer: Any = cpu_trainer()
    data.trainer = trainer
    trainer.strategy._lightning_module = Module()
    data.setup("fit")
    loader = iter(data.train_dataloader())
    found = [data.to_unit(next(loader)) for _ in range(number)]
    data.trainer = None
    return found


def test_two_classes_of_one_cache_are_two_domains(caches: tuple[Path, Path]) -> None:
    names = {"source_label": "normal", "target_label": "abnormal"}
    data = UnpairedDataModule(str(caches[0]), **names, batch_size=4, images_per_epoch=8)
    for batch in batches(data, 2):
        assert batch["source_label"].tolist() == [0] * 4
        assert batch["target_label"].tolist() == [1] * 4
        assert batch["source_image"].shape == batch["target_image"].shape == (4, 1, 32, 32)
        assert batch["source_image"].abs().max() <= 1
    assert data.shares is None  # the class is what changes
    assert not data.also_seen().patients


def test_classes_are_matched_and_the_source_is_known(
    caches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    target, source = caches
    data = UnpairedDataModule(str(target), str(source), batch_size=10, images_per_epoch=1000)
    counts: dict[str, Counter[int]] = {"source": Counter(), "target": Counter()}
    for batch in batches(data, 40):
        for domain, counted in counts.items():
            counted.update(batch[f"{domain}_label"].tolist())
    assert "equally often in both domains" in capsys.readouterr().err
    assert counts["source"][1] / 400 == pytest.approx(2 / 3, abs=0.08)
    assert counts["target"][1] / 400 == pytest.approx(2 / 3, abs=0.08)
    assert data.also_seen().patients == {"other_0", "other_1", "other_2"}


def test_unequal_shares_are_told_where_they_are_kept(
    caches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    target, source = map(str, caches)
    UnpairedDataModule(target, source, class_shares="as_they_are").setup("fit")
    told = capsys.readouterr().err
    assert "abnormal: 50.0 % of the source, 66.7 % of the target" in told
    assert "adds or removes it" in told
    bare = UnpairedDataModule(target, source, label_column="none")
    with pytest.raises(UserError, match="nobody can say whether disease is as frequent"):
        bare.setup("fit")


def test_classes_that_the_source_calls_otherwise_get_the_target_s_numbers(
    film_cache: Cache, tmp_path: Path
) -> None:
    target = film_cache(tmp_path / "target", labels=("normal", "pneumonia"))
    source = film_cache(tmp_path / "source", OTHERS, labels=("abnormal", "clear"))
    names = ["clear", "abnormal"]  # in the source, abnormal comes first
    data = UnpairedDataModule(str(target), str(source), source_classes=names, batch_size=8)
    for batch in batches(data, 1):
        for name, label in zip(batch["source_id"], batch["source_label"].tolist(), strict=True):
            assert label == (1 if int(name.removeprefix("film_"), 16) % 2 == 0 else 0)
    with pytest.raises(UserError, match="expected a class of the source"):
        UnpairedDataModule(str(target), str(source), source_classes=["clear", "ill"])
    with pytest.raises(UserError, match="no class in common"):
        UnpairedDataModule(str(target), str(source)).setup("fit")


def test_slices_are_matched_by_what_their_label_maps_hold(
    small_cache: Path, make_cache: Cache, tmp_path: Path
) -> None:
    source = make_cache(tmp_path / "source", OTHERS, seed=2)
    data = UnpairedDataModule(str(small_cache), str(source), batch_size=2, slices="all")
    [batch] = batches(data, 1)
    assert batch["source_mask"].shape == (2, 32, 32)
    assert data.shares is not None
    assert data.shares.names == ["background", "background + kidney + tumour"]


def test_the_orders_of_the_domains_are_not_the_same(
    small_cache: Path, make_cache: Cache, tmp_path: Path
) -> None:
    """Of two caches of equal size, or a paired set would be learnt as pairs."""
    patients = {f"other_{i}": s for i, s in enumerate(["train"] * 4 + ["val"] * 2)}
    source = make_cache(tmp_path / "source", patients)
    data = UnpairedDataModule(str(small_cache), str(source), batch_size=12)
    [batch] = batches(data, 1)
    rows = [[int(name[-4:]) for name in batch[f"{domain}_id"]] for domain in ("source", "target")]
    assert sorted(rows[0]) == sorted(rows[1])
    assert rows[0] != rows[1]


def compared(data: UnpairedDataModule) -> dict[str, list[tuple[str, int]]]:
    """Name and class of what validation shows of each domain, each image once."""
    data.setup("fit")
    seen: dict[str, list[tuple[str, int]]] = {"source": [], "target": []}
    for batch in map(data.to_unit, data.val_dataloader()):
        for domain, shown in seen.items():
            columns = (batch[f"{domain}_{key}"] for key in ("id", "label", "once"))
            shown += [(name, int(k)) for name, k, kept in zip(*columns, strict=True) if kept]
    for shown in seen.values():
        assert len({name for name, _ in shown}) == len(shown)
    return seen


def test_validation_shows_as_many_of_each_class_from_both(
    caches: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 4 source films, half of them abnormal, and of 6 target films, 4 of them abnormal."""
    for shares in ("matched", "as_they_are"):
        settings: dict[str, Any] = {"batch_size": 3, "class_shares": shares}
        seen = compared(UnpairedDataModule(*map(str, caches), **settings))
        for shown in seen.values():
            assert Counter(label for _, label in shown) == {0: 2, 1: 2}
        assert "compares 4 images of each domain" in capsys.readouterr().err
    names = {"source_label": "normal", "target_label": "abnormal"}
    seen = compared(UnpairedDataModule(str(caches[0]), **names))
    assert [len(shown) for shown in seen.values()] == [2, 4]  # what changes is the class


def test_a_class_that_the_target_lacks_is_not_validated_and_is_no_condition(
    film_cache: Cache, tmp_path: Path
) -> None:
    target = str(film_cache(tmp_path / "target", labels=("normal", "pneumonia")))
    source = str(film_cache(tmp_path / "source", OTHERS, labels=("normal", "abnormal")))
    data = UnpairedDataModule(target, source)
    assert {label for shown in compared(data).values() for _, label in shown} == {0}
    assert data.shown_classes == ["normal"]

    class Module:
        conditioned = True

    for settings in (
        {"class_shares": "as_they_are"},
        {"source_label": "abnormal", "target_label": "pneumonia"},
    ):
        data = UnpairedDataModule(target, source, **settings)
        trainer: Any = cpu_trainer()
        data.trainer = trainer
        trainer.strategy._lightning_module = Module()
        with pytest.raises(UserError, match="the source shows abnormal, which is no class of"):
            data.setup("fit")


def test_a_source_that_holds_test_patients_of_the_target_is_refused(
    film_cache: Cache, tmp_path: Path
) -> None:
    target = film_cache(tmp_path / "target", {"a": "train", "b": "val", "c": "test"})
    source = film_cache(tmp_path / "source", {"c": "train", "d": "val", "e": "test"})
    with pytest.raises(UserError, match=r"1 validation or test patients .* \(c\)"):
        UnpairedDataModule(str(target), str(source))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "name two different ones with --data.source_label"),
        ({"source_label": "normal", "target_label": "normal"}, "name two different ones"),
        ({"source_label": "normal", "target_label": "ill"}, "--data.target_label ill: .* classes"),
        ({"source_label": "ill", "target_label": "normal"}, "--data.source_label ill: .* classes"),
        ({"source": "slices"}, r"--data.source \S+: holds CT slices, but \S+ holds films"),
    ],
)
def test_what_makes_no_two_domains_is_refused(
    settings: dict[str, Any], told: str, caches: tuple[Path, Path], small_cache: Path
) -> None:
    if settings.get("source") == "slices":
        settings = {"source": str(small_cache)}
    with pytest.raises(UserError, match=told):
        UnpairedDataModule(str(caches[0]), **settings)


def test_other_sizes_are_refused(
    film_cache: Cache, caches: tuple[Path, Path], tmp_path: Path
) -> None:
    small = film_cache(tmp_path / "small", OTHERS, image_size=16, stored_size=18)
    with pytest.raises(UserError, match="images of 16 px"):
        UnpairedDataModule(str(caches[0]), str(small))
    assert torch.is_tensor(batches(UnpairedDataModule(*map(str, caches)), 1)[0]["source_image"])

"""Films as batches: crops, grey values, the choice of films, shares of processes."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import datamodules
from datamodules import ChestXrayDataModule
from datamodules.batch_order import Draw, OrderedBatches
from datamodules.film_cache import FilmCache
from datamodules.film_dataset import FilmDataset, collate
from provenance import UserError

MakeCache = Callable[..., Path]


def many(root: Path, film_cache: MakeCache, normal: int = 60, abnormal: int = 30) -> str:
    """So many training films of each class, two a patient; 4 and 2 in the other splits."""
    labels = ["normal", "abnormal"] * abnormal + ["normal"] * (normal - abnormal)
    training = {f"t{i:03d}": "train" for i in range(len(labels) // 2)}
    held_out = {f"{split}{i}": split for split in ("val", "test") for i in range(3)}
    patients, labels = {**training, **held_out}, labels + (["normal"] * 4 + ["abnormal"] * 2) * 2
    return str(film_cache(root, patients=patients, films=2, labels=labels))


def classes(data: ChestXrayDataModule, split: str = "train") -> list[int]:
    column = data.label_column
    assert column is not None
    return data.cache.labels(column)[data.items(split)].tolist()


# ---- one film ---------------------------------------------------------------------------------


def test_a_draw_crops_at_random_and_again_at_the_same_place(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c"))
    data = FilmDataset(cache, cache.indices("train"), crop="random")
    film, seen = cache.image(5), set()
    for seed in range(200):
        crop = data[Draw(5, seed)]["image"]
        assert torch.equal(crop, data[Draw(5, seed)]["image"])
        seen |= {
            (top, left)
            for top in range(3)
            for left in range(3)
            if np.array_equal(crop[0], film[top : top + 32, left : left + 32])
        }
    assert seen == {(top, left) for top in range(3) for left in range(3)}


def test_everything_else_is_the_centre(film_cache: MakeCache, tmp_path: Path) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c"))
    centre = cache.image(5)[1:33, 1:33]
    for crop, asked in (("random", 5), ("centre", 5), ("centre", Draw(5, 3))):
        data = FilmDataset(cache, cache.indices("train"), crop=crop)  # type: ignore[arg-type]
        assert np.array_equal(data[asked]["image"][0], centre)  # type: ignore[index]
    small = FilmDataset(cache, cache.indices("train"), image_size=8)[5]["image"]
    assert np.array_equal(small[0], cache.image(5)[13:21, 13:21])


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_a_sample_is_a_copy(film_cache: MakeCache, tmp_path: Path, bit_depth: int) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c", bit_depth=bit_depth))
    before = cache.image(0).copy()
    FilmDataset(cache, cache.indices("train"))[0]["image"].zero_()
    assert np.array_equal(cache.image(0), before)


@pytest.mark.parametrize(("bit_depth", "white"), [(8, 255), (16, 65535)])
def test_black_is_minus_one_and_white_is_one(
    film_cache: MakeCache, tmp_path: Path, bit_depth: int, white: int
) -> None:
    root = film_cache(tmp_path / "c", bit_depth=bit_depth, image_size=34)
    for path in (root / "arrays").iterdir():
        films = np.load(path)
        films[:, 0, :4] = [0, white, white // 5, white // 3]
        np.save(path, films)
    data = ChestXrayDataModule(str(root))
    data.cache._checked[:] = True  # the bytes are not those that were written
    image = next(iter(data.evaluation_loader("val")))
    assert image["image"].dtype == (torch.uint8 if bit_depth == 8 else torch.int16)
    grey = data.to_unit(image)["image"][:, 0, 0, :4]
    assert grey[:, :2].unique(dim=0).tolist() == [[-1.0, 1.0]]  # exactly
    torch.testing.assert_close(grey[0, 2:], torch.tensor([-0.6, -1 / 3]))


def test_three_channels_are_equal(film_cache: MakeCache, tmp_path: Path) -> None:
    root = str(film_cache(tmp_path / "c"))
    one, three = ChestXrayDataModule(root), ChestXrayDataModule(root, channels=3)
    batch = next(iter(three.evaluation_loader("val")))
    assert batch["image"].shape == (6, 1, 32, 32)  # grey until it is on the device
    grey, image = (data.to_unit(batch)["image"] for data in (one, three))
    assert image.shape == (6, 3, 32, 32)
    assert all(torch.equal(image[:, [channel]], grey) for channel in range(3))


def test_colour_needs_three_channels(film_cache: MakeCache, tmp_path: Path) -> None:
    root = str(film_cache(tmp_path / "c", channels=3))
    batch = next(iter(ChestXrayDataModule(root, channels=3).evaluation_loader("val")))
    assert batch["image"].shape == (6, 3, 32, 32)
    with pytest.raises(UserError, match=r"holds colour.*--data.channels 3"):
        ChestXrayDataModule(root)


def test_resolution_averages_squares(film_cache: MakeCache, tmp_path: Path) -> None:
    data = ChestXrayDataModule(str(film_cache(tmp_path / "c")), resolution=8)
    batch = next(iter(data.evaluation_loader("val")))
    squares = batch["image"].double().reshape(6, 1, 8, 4, 8, 4).mean((3, 5))
    image = data.to_unit(batch)["image"]
    assert data.image_size == 8
    torch.testing.assert_close(image.double(), squares / 127.5 - 1, rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="averaged to 4, 8, 16, 32 px"):
        ChestXrayDataModule(str(tmp_path / "c"), resolution=12)


def test_batches_keep_the_contract(film_cache: MakeCache, tmp_path: Path) -> None:
    data = ChestXrayDataModule(str(film_cache(tmp_path / "c")), batch_size=4)
    batches = [data.on_after_batch_transfer(b, 0) for b in data.evaluation_loader("val")]
    assert [len(batch["id"]) for batch in batches] == [4, 2]
    assert batches[0]["label"].tolist() == [0, 1, 0, 1]
    assert batches[0]["label"].dtype == torch.int64
    assert batches[0]["patient_id"] == ["patient_000000000004"] * 3 + ["patient_000000000005"]
    assert batches[0]["image"].dtype == torch.float32
    assert data.class_names == ["normal", "abnormal"]


# ---- which films ------------------------------------------------------------------------------


def test_films_without_a_label_are_left_out_and_counted(
    film_cache: MakeCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(film_cache(tmp_path / "c", labels=["normal", "abnormal", ""]))
    data = ChestXrayDataModule(root)
    for _ in range(2):
        assert classes(data) == [0, 1] * 4
    assert capsys.readouterr().err.count("8 of 24 films have no label and are left out") == 1
    everything = ChestXrayDataModule(root, label_column="none")
    assert len(everything.items("train")) == 12
    assert "label" not in everything.training_set()[0]
    assert everything.class_names == []
    assert not capsys.readouterr().err


def test_a_cache_without_labels_gives_images_alone(film_cache: MakeCache, tmp_path: Path) -> None:
    root = str(film_cache(tmp_path / "c", labels=None))
    assert set(collate([ChestXrayDataModule(root).training_set()[0]])) == {
        "image", "id", "patient_id",
    }  # fmt: skip
    with pytest.raises(UserError, match="no label column 'finding'"):
        ChestXrayDataModule(root, label_column="finding")
    for settings in ({"imbalance": 10.0}, {"balance": "oversample"}, {"only_label": "normal"}):
        with pytest.raises(UserError, match="needs labels, and this run has none"):
            ChestXrayDataModule(root, **settings)  # type: ignore[arg-type]


def test_one_class_alone(film_cache: MakeCache, tmp_path: Path) -> None:
    root = str(film_cache(tmp_path / "c"))
    data = ChestXrayDataModule(root, only_label="abnormal")
    assert classes(data) == [1] * 6
    assert classes(data, "val") == [1] * 3
    with pytest.raises(UserError, match="has the classes normal, abnormal"):
        ChestXrayDataModule(root, only_label="ill")


@pytest.mark.parametrize(("ratio", "rare"), [(2, 30), (2.5, 24), (10, 6), (1000, 1)])
def test_imbalance_keeps_the_largest_class_and_so_many_of_the_others(
    film_cache: MakeCache, tmp_path: Path, ratio: float, rare: int
) -> None:
    root = many(tmp_path / "c", film_cache)
    data = ChestXrayDataModule(root, imbalance=ratio)
    assert Counter(classes(data)) == {0: 60, 1: rare}
    assert classes(data, "val") == classes(data, "test") == [0, 0, 0, 0, 1, 1]
    alone = ChestXrayDataModule(root, imbalance=ratio, only_label="abnormal")
    assert set(alone.items("train")) <= set(data.items("train"))
    assert len(alone.items("train")) == rare


def test_the_choice_is_nested_repeatable_and_leaves_random_states_alone(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root = many(tmp_path / "c", film_cache)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    kept = {
        (ratio, seed): ChestXrayDataModule(root, imbalance=ratio, seed=seed).items("train").tolist()
        for ratio in (2, 4, 10, 30)
        for seed in (0, 1)
    }
    assert random.getstate() == states[0]
    assert str(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert kept[4, 0] == ChestXrayDataModule(root, imbalance=4).items("train").tolist()
    own = ChestXrayDataModule(root, imbalance=4, seed=7, imbalance_seed=1)
    assert own.items("train").tolist() == kept[4, 1]
    assert kept[4, 0] != kept[4, 1]
    for seed in (0, 1):
        assert set(kept[30, seed]) < set(kept[10, seed]) < set(kept[4, seed]) < set(kept[2, seed])


def test_films_of_a_patient_are_kept_together(film_cache: MakeCache, tmp_path: Path) -> None:
    patients = {f"p{i}": "train" for i in range(12)} | {"v": "val", "w": "test"}
    labels = ["normal"] * 18 + ["abnormal"] * 18 + ["normal"] * 6
    root = film_cache(tmp_path / "c", patients=patients, films=3, labels=labels)
    data = ChestXrayDataModule(str(root), imbalance=3)
    rare = [index for index in data.items("train") if index >= 18]
    assert len(rare) == 6
    assert len(set(data.cache.patient_ids[rare])) == 2


def test_an_imbalance_that_is_there_already_is_refused(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root = many(tmp_path / "c", film_cache, normal=60, abnormal=12)
    data = ChestXrayDataModule(root, imbalance=4)
    with pytest.raises(UserError, match=r"abnormal \(12 films\) is already 5 times rarer.*\(60\)"):
        data.items("train")
    for ratio in (0.5, float("nan")):
        with pytest.raises(UserError, match=rf"--data.imbalance is {ratio}; it must be 1 or more"):
            ChestXrayDataModule(root, imbalance=ratio)


def test_undersampling_cuts_every_class_to_the_rarest(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root = many(tmp_path / "c", film_cache)
    data = ChestXrayDataModule(root, balance="undersample")
    assert Counter(classes(data)) == {0: 30, 1: 30}
    assert data.items("train").tolist() == data.items("train").tolist()
    rarer = ChestXrayDataModule(root, imbalance=10, balance="undersample")
    assert Counter(classes(rarer)) == {0: 6, 1: 6}
    assert classes(data, "val") == [0, 0, 0, 0, 1, 1]
    single = ChestXrayDataModule(root, only_label="normal", balance="undersample")
    with pytest.raises(UserError, match="all 60 training films are of one class"):
        single.items("train")


def test_oversampling_draws_classes_equally_often(film_cache: MakeCache, tmp_path: Path) -> None:
    data = ChestXrayDataModule(many(tmp_path / "c", film_cache, 90, 10), balance="oversample")
    data.setup("fit")
    labels = data._training_set.labels
    assert labels is not None
    batches = OrderedBatches(100, 10, 0, lambda: 0, weights=data._weights, images_per_epoch=20_000)
    drawn = Counter(int(draw.index) for batch in batches for draw in batch)
    abnormal = sum(count for index, count in drawn.items() if labels[index] == 1)
    assert abs(abnormal / 20_000 - 0.5) < 0.015  # four standard deviations
    assert len(drawn) == 100


def test_an_empty_split_is_said(film_cache: MakeCache, tmp_path: Path) -> None:
    patients = {"a": "train", "b": "test"}
    data = ChestXrayDataModule(str(film_cache(tmp_path / "c", patients=patients, films=2)))
    with pytest.raises(UserError, match="the val split has no film labelled normal or abnormal"):
        data.setup("fit")


def test_slices_are_refused_by_name(small_cache: Path) -> None:
    with pytest.raises(UserError, match=r"holds CT slices, expected films"):
        ChestXrayDataModule(str(small_cache))


# ---- several processes ------------------------------------------------------------------------


def test_two_processes_share_the_films(film_cache: MakeCache, tmp_path: Path) -> None:
    root = many(tmp_path / "c", film_cache)
    images, seen = [], []
    for rank in range(2):
        data = ChestXrayDataModule(root, batch_size=6)
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        module = SimpleNamespace(steps_done=0)
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            world_size=2, global_rank=rank, strategy=strategy, lightning_module=module
        )
        data.setup("fit")
        seen.append([name for batch in data.val_dataloader() for name in batch["id"]])
        images.append([(batch["id"], batch["image"]) for batch in data.train_dataloader()])
    assert len(seen[0] + seen[1]) == len(set(seen[0] + seen[1])) == 6
    assert all(len(names) == 3 for rank in images for names, _ in rank)
    drawn = [name for rank in images for names, _ in rank for name in names]
    assert len(drawn) == len(set(drawn)) == 90

    whole = ChestXrayDataModule(root, batch_size=6)
    training, order = whole.training_set(), OrderedBatches(90, 6, 0, lambda: 0)
    for draws, first, second in zip(order, *images, strict=True):
        together = collate([training[draw] for draw in draws])
        assert together["id"] == first[0] + second[0]
        assert torch.equal(together["image"], torch.cat([first[1], second[1]]))


def test_is_found_by_its_class_path() -> None:
    assert "ChestXrayDataModule" in datamodules.__all__
    assert datamodules.ChestXrayDataModule is ChestXrayDataModule

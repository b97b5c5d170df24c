"""How many synthetic films join the real ones, which, and what is refused."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cards.finish import finish_synthetic_set
from datamodules import ChestXrayDataModule
from datamodules.batch_order import Draw
from datamodules.choice.synthetic_films import filling_up, share_of
from datamodules.synthetic import SyntheticItem
from provenance import UserError, read_checked_json, write_checked_json
from tests.datamodules.test_chest_xray import many

MakeCache = Callable[..., Path]


@pytest.fixture
def films(film_cache: MakeCache, tmp_path: Path) -> str:
    """12 normal and 6 abnormal films in the training split."""
    return many(tmp_path / "films", film_cache, normal=12, abnormal=6)


def a_set(root: Path, normal: int, abnormal: int, labelled: bool = True, **generator: Any) -> str:
    """Films of both classes in turn, as long as there are some; number i has the grey 4 i + 5."""
    both = min(normal, abnormal)
    rest = ["normal"] * (normal - both) + ["abnormal"] * (abnormal - both)
    labels = [*["normal", "abnormal"] * both, *rest]
    (root / "images").mkdir(parents=True)
    for number in range(len(labels)):
        Image.fromarray(np.full((32, 32), 4 * number + 5, np.uint8)).save(
            root / f"images/s{number}.png"
        )
    items = [
        SyntheticItem(f"s{number}", seed=number, label=label if labelled else None)
        for number, label in enumerate(labels)
    ]
    made_by = {"checkpoint_sha256": "0" * 64, "images_seen": 9, "training_patients": ["t000"]}
    manifest = {
        "dataset": "chest_xray", "image_size": 32, "seed": 0, "class_names": ["normal", "abnormal"],
        "generator": {**made_by, **generator}, "versions": {"understudy": "0"},
    }  # fmt: skip
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return str(root)


def training(root: str, made: str | None, **settings: Any) -> Any:
    return ChestXrayDataModule(root, synthetic=made, **settings).training_set()


def joined(dataset: Any) -> list[str]:
    """Ids of the synthetic films, in the order of the data set."""
    return [s["id"] for s in map(dataset.__getitem__, range(len(dataset))) if s["id"][0] == "s"]


def numbers(dataset: Any) -> dict[str, tuple[int, int]]:
    """Real and synthetic films of each class, counted from the samples themselves."""
    seen = Counter(
        (dataset[k]["label"], dataset[k]["patient_id"].startswith("synthetic:"))
        for k in range(len(dataset))
    )
    names = ("normal", "abnormal")
    return {name: (seen[label, False], seen[label, True]) for label, name in enumerate(names)}


@pytest.mark.parametrize(
    ("share", "normal", "abnormal"), [(0, 0, 0), (0.25, 3, 2), (0.5, 6, 3), (1, 12, 6), (2, 24, 12)]
)
def test_a_share_is_of_the_real_films_of_the_same_class(
    films: str, tmp_path: Path, share: float, normal: int, abnormal: int
) -> None:
    made = a_set(tmp_path / "s", 24, 12)
    dataset = training(films, made, synthetic_share=share)
    assert numbers(dataset) == {"normal": (12, normal), "abnormal": (6, abnormal)}
    # Weights go by these.
    assert dataset.labels.tolist() == [dataset[k]["label"] for k in range(len(dataset))]


def test_a_larger_share_holds_the_films_of_a_smaller_one(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 24, 12)
    chosen = [joined(training(films, made, synthetic_share=x)) for x in (0.25, 0.5, 0.75, 1.5, 2)]
    assert all(set(less) < set(more) for less, more in pairwise(chosen))
    assert chosen[1] == ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s8", "s10"]  # the first of each
    assert chosen[1] == joined(training(films, made, synthetic_share=0.5, seed=7))
    sample = training(films, made, synthetic_share=0.5)[Draw(18 + 7, 3)]
    assert (sample["id"], sample["image"].unique().tolist()) == ("s8", [4 * 8 + 5])


def test_a_share_counts_the_real_films_that_are_left(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 24, 12)
    rare = training(films, made, synthetic_share=2, imbalance=4)
    assert numbers(rare) == {"normal": (12, 24), "abnormal": (3, 6)}
    cut = training(films, made, synthetic_share=2, balance="undersample")
    assert numbers(cut) == {"normal": (6, 12), "abnormal": (6, 12)}


def test_without_a_share_all_of_the_set_joins(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 5, 1)
    assert numbers(training(films, made)) == {"normal": (12, 5), "abnormal": (6, 1)}


def test_a_share_without_labels_is_of_all_films(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 10, 10, labelled=False)
    dataset = training(films, made, synthetic_share=1 / 3, label_column="none")
    assert len(dataset) == 18 + 6
    assert joined(dataset) == [f"s{k}" for k in range(6)]
    with pytest.raises(UserError, match=r"needs 36 films \(it holds 20\)\. .*--num-images 36\."):
        training(films, made, synthetic_share=2, label_column="none")


def test_too_small_a_set_says_how_many_to_generate(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 24, 5)
    sentence = (
        r"s: --data.synthetic_share 1 needs 6 films of abnormal \(it holds 5\)\. "
        r"Generate .* generate.py --num-images 6, which makes so many of each"
    )
    with pytest.raises(UserError, match=sentence):
        training(films, made, synthetic_share=1)
    both = r"36 films of normal \(it holds 24\) and 18 films of abnormal .*--num-images 36,"
    with pytest.raises(UserError, match=both):
        ChestXrayDataModule(films, synthetic=made, synthetic_share=3).setup("fit")


def test_of_images_that_another_program_made_no_larger_set_can_be_generated(
    films: str, tmp_path: Path
) -> None:
    made = a_set(tmp_path / "s", 24, 5)
    manifest = read_checked_json(Path(made, "manifest.json"))
    manifest["generator"]["trained_on"] = "unknown"  # as prepare.py synthetic writes
    write_checked_json(Path(made, "manifest.json"), manifest)
    sentence = (
        r"needs 6 films of abnormal \(it holds 5\)\. Another program made its images: make more "
        r"with it and bring them in with prepare.py synthetic, into another folder; or ask for "
        r"fewer\.$"
    )
    with pytest.raises(UserError, match=sentence):
        training(films, made, synthetic_share=1)


def test_shares_of_many_sizes_never_shrink() -> None:
    real = np.random.default_rng(0).integers(0, 5000, 14)
    counts = np.stack([share_of(real, share) for share in np.linspace(0, 4, 401)])
    assert (np.diff(counts, axis=0) >= 0).all()
    assert (counts[100] == real).all()
    assert (counts[400] == 4 * real).all()
    assert (real + filling_up(real) == real.max()).all()


@pytest.mark.parametrize(("imbalance", "rare"), [(None, 6), (2, 6), (3, 4), (12, 1)])
def test_balance_fills_up_to_the_largest_class(
    films: str, tmp_path: Path, imbalance: float | None, rare: int
) -> None:
    made = a_set(tmp_path / "s", 3, 11)
    data = ChestXrayDataModule(films, synthetic=made, balance="synthetic", imbalance=imbalance)
    data.setup("fit")
    assert numbers(data._training_set) == {"normal": (12, 0), "abnormal": (rare, 12 - rare)}
    assert data._weights is None
    assert data.class_counts().tolist() == [12, rare]
    abnormal = ["s1", "s3", "s5", *(f"s{number}" for number in range(6, 14))]
    assert joined(data._training_set) == abnormal[: 12 - rare]


def test_a_set_that_cannot_fill_up_is_refused(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 30, 8)
    sentence = r"--data.balance synthetic needs 9 films of abnormal \(it holds 8\)\. .*-images 9,"
    with pytest.raises(UserError, match=sentence):
        training(films, made, balance="synthetic", imbalance=4)


def test_what_is_balanced_already_takes_no_synthetic_film(
    film_cache: MakeCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = many(tmp_path / "c", film_cache, normal=6, abnormal=6)
    dataset = training(root, a_set(tmp_path / "s", 2, 2), balance="synthetic")
    assert numbers(dataset) == {"normal": (6, 0), "abnormal": (6, 0)}
    assert "equally many in all classes already, so no synthetic film" in capsys.readouterr().err


def test_synthetic_films_alone_and_real_ones_to_be_judged_by(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 20, 9)
    data = ChestXrayDataModule(films, synthetic=made, real_films=False)
    data.setup("fit")
    assert numbers(data._training_set) == {"normal": (0, 20), "abnormal": (0, 9)}
    same_size = training(films, made, real_films=False, synthetic_share=1)
    assert numbers(same_size) == {"normal": (0, 12), "abnormal": (0, 6)}
    with_real = training(films, made, synthetic_share=1)
    assert joined(same_size) == joined(with_real)
    for split in ("val", "test"):
        judged = data.evaluation_loader(split).dataset
        assert len(judged) == 6  # type: ignore[arg-type]
        assert all(not judged[k]["patient_id"].startswith("synthetic") for k in range(6))


def test_synthetic_films_alone_are_oversampled_by_their_own_numbers(
    films: str, tmp_path: Path
) -> None:
    made = a_set(tmp_path / "s", 20, 5)
    data = ChestXrayDataModule(films, synthetic=made, real_films=False, balance="oversample")
    data.setup("fit")
    labels, weights = data._training_set.labels, data._weights
    assert weights is not None
    for label in (0, 1):
        np.testing.assert_allclose(weights[labels == label].sum(), weights.sum() / 2)
    share = {"synthetic_share": 0.5, "balance": "oversample"}
    some = ChestXrayDataModule(films, synthetic=made, **share)  # type: ignore[arg-type]
    some.setup("fit")
    assert some._weights is not None
    assert sorted(set((1 / some._weights).round().astype(int).tolist())) == [6 + 3, 12 + 6]


def test_two_processes_share_them_lazily(
    films: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = a_set(tmp_path / "s", 12, 6)
    seen: list[str] = []
    for rank in range(2):
        data = ChestXrayDataModule(films, 6, synthetic=made, synthetic_share=1, real_films=False)
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            world_size=2, global_rank=rank,
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
            lightning_module=SimpleNamespace(steps_done=0),
        )  # fmt: skip
        with monkeypatch.context() as reading:
            reading.setattr("PIL.Image.open", None)  # nothing is read before it is asked for
            data.setup("fit")
        seen += [name for batch in data.train_dataloader() for name in batch["id"]]
    assert sorted(seen) == sorted(f"s{k}" for k in range(18))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"synthetic_share": -0.1}, r"--data.synthetic_share is -0.1; it must be 0 or more"),
        *(({"synthetic_share": float(odd)}, "must be 0 or more") for odd in ("nan", "inf")),
        (
            {"synthetic_share": 1.0, "balance": "synthetic"},
            r"--data.synthetic_share 1.0: --data.balance synthetic adds to the real films what",
        ),
        (
            {"real_films": False, "balance": "synthetic"},
            "real_films false: --data.balance synthetic",
        ),
        (
            {"real_films": False, "imbalance": 4.0},
            r"--data.imbalance 4.0: chooses real training films, and .* none is used",
        ),
        ({"real_films": False, "balance": "undersample"}, "--data.balance undersample: chooses"),
        ({"balance": "synthetic", "label_column": "none"}, "needs labels, and this run has none"),
        ({"only_label": "normal", "synthetic_share": 1.0}, "real films of one class; leave out"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(
    films: str, tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    made = a_set(tmp_path / "s", 1, 1)
    with pytest.raises(UserError, match=sentence):
        ChestXrayDataModule(films, synthetic=made, **settings)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"synthetic_share": 0.5}, "--data.synthetic_share 0.5"),
        ({"real_films": False}, "--data.real_films false"),
        ({"balance": "synthetic"}, "--data.balance synthetic"),
    ],
)
def test_they_need_a_set(films: str, settings: dict[str, Any], flag: str) -> None:
    with pytest.raises(UserError, match=rf"{flag}: .* name a set with --data.synthetic"):
        ChestXrayDataModule(films, **settings)


def test_nothing_to_train_on_is_said(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 1, 1)
    with pytest.raises(UserError, match=r"no film of .* joins, so there is nothing to train"):
        training(films, made, real_films=False, synthetic_share=0.01)


def test_the_leak_check_comes_first(films: str, tmp_path: Path) -> None:
    leaky = a_set(tmp_path / "s", 12, 12, training_patients=["t000", "test1"])
    for settings in ({"synthetic_share": 0.0}, {"real_films": False}, {"balance": "synthetic"}):
        with pytest.raises(UserError, match=r"leaks 1 patient.* trained on this patient: test1"):
            training(films, leaky, **settings)


@pytest.mark.parametrize(
    ("maker", "unfair"),
    [
        ({"trained_on_label": "abnormal", "imbalance": 4.0, "data_seed": 5}, False),
        ({"trained_on_label": "abnormal", "imbalance": 6.0, "data_seed": 5}, False),
        ({"trained_on_label": "abnormal", "imbalance": 3.0, "data_seed": 5}, True),
        ({"trained_on_label": "abnormal", "imbalance": 4.0, "data_seed": 0}, True),
        ({"trained_on_label": "abnormal", "data_seed": 5}, True),
        ({"data_seed": 5}, True),
        ({"trained_on_label": "normal", "data_seed": 5}, False),  # of these none is taken away
    ],
)
def test_a_generator_of_films_that_the_run_does_without_is_named(
    films: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    maker: dict[str, Any],
    unfair: bool,
) -> None:
    told = {"checkpoint_sha256": "0" * 64, "label": "abnormal", **maker}
    made = a_set(tmp_path / "s", 12, 12, generators=[told])
    training(films, made, balance="synthetic", imbalance=4, seed=5)
    assert ("makes a comparison unfair" in capsys.readouterr().err) == unfair
    # The choice of films, not the training, is what both must share.
    training(films, made, balance="synthetic", imbalance=4, seed=9, imbalance_seed=5)
    assert ("makes a comparison unfair" in capsys.readouterr().err) == unfair
    training(films, made, balance="synthetic", seed=5)  # without imbalance all films are there
    assert "unfair" not in capsys.readouterr().err

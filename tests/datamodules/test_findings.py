"""Several findings of a film in batches: by name, with what is unknown, and beside other flags."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules import ChestXrayDataModule
from datamodules.film_cache import FilmCache
from datamodules.findings import chosen_findings, finding_values
from provenance import UserError
from tests.finding_caches import TURNS, with_findings


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_findings(tmp_path_factory.mktemp("films") / "cache")


def test_all_are_the_columns_of_0_and_1_in_which_films_differ(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ChestXrayDataModule(str(films), findings="all")
    assert data.class_names == ["Edema", "Mass"]
    assert "do not differ in Hernia" in capsys.readouterr().err
    assert (
        finding_values(data.cache, "Hernia") == 0
    ).all()  # 0 by name, though it is class 0 alone


def test_batches_carry_what_is_known_of_each_film(films: Path) -> None:
    data = ChestXrayDataModule(str(films), findings=["Mass", "Edema"])
    images = data.evaluation_set("train")
    batch = data.to_unit(data.collate([images[index] for index in range(len(images))]))
    expected = [
        [float(TURNS[name][film % len(TURNS[name])] or "nan") for name in ("Mass", "Edema")]
        for film in range(len(images))
    ]
    torch.testing.assert_close(batch["findings"], torch.tensor(expected), equal_nan=True)
    assert "label" not in batch
    data.setup("fit")
    found = data.training_findings()
    assert found is not None
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_films_of_which_no_finding_is_known_are_left_out_and_counted(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ChestXrayDataModule(str(films), findings="Mass")
    assert len(data.items("train")) == 9  # of 12, every fourth without a word
    assert "of 6 of 24 films no finding is known" in capsys.readouterr().err


def test_a_finding_that_is_named_may_be_one_that_no_film_has(films: Path) -> None:
    """As of a model that was trained on other films."""
    found = chosen_findings(FilmCache.open(films), ["Edema", "Hernia"], "--data.findings")
    assert found.names == ("Edema", "Hernia")
    assert (found.values[:, 1] == 0).all()


def test_two_classes_that_are_no_0_and_1_name_the_positive_one(films: Path) -> None:
    found = chosen_findings(FilmCache.open(films), ["label", "Mass"], "--data.findings")
    assert found.names == ("label=abnormal", "Mass")
    assert found.values[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"findings": ["Edma"]}, "has no label column 'Edma'"),
        ({"findings": "all", "label_column": "Edema"}, "that is one column, and these are several"),
        ({"findings": "all", "only_label": "1"}, "of no one class. A generator"),
        ({"findings": "all", "balance": "oversample"}, "class_weights balanced weighs each"),
        ({"findings": "all", "imbalance": 4.0}, "so none can be made rare"),
        ({"findings": "all", "synthetic": "set"}, "has the one class of its generator"),
    ],
)
def test_what_needs_one_class_of_a_film_is_refused(
    films: Path, flags: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ChestXrayDataModule(str(films), **flags)


def test_a_cache_without_findings_says_how_to_get_some(tmp_path: Path) -> None:
    from tests.conftest import write_film_cache

    plain = write_film_cache(tmp_path / "plain")
    with pytest.raises(UserError, match="has no findings, label columns of 0 and 1"):
        ChestXrayDataModule(str(plain), findings="all")

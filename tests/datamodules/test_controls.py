"""Controls of a training with synthetic images, counted from the batches of whole epochs."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ChestXrayDataModule, KiTS19DataModule
from datamodules.batch_order import OrderedBatches
from datamodules.choice.controls import epoch_of_real_images, stand_ins
from provenance import UserError
from tests.datamodules.test_chest_xray import many
from tests.datamodules.test_chest_xray_synthetic import a_set

MakeCache = Callable[..., Path]


@pytest.fixture
def films(film_cache: MakeCache, tmp_path: Path) -> str:
    """12 normal and 6 abnormal films in the training split."""
    return many(tmp_path / "films", film_cache, normal=12, abnormal=6)


def slices_of(root: Path, count: int, classes: int = 2) -> str:
    """A set of slices that hold the first classes."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    items = []
    for number in range(count):
        for kind, value in (("images", 90), ("masks", 1)):
            Image.fromarray(np.full((32, 32), value, np.uint8)).save(root / kind / f"s{number}.png")
        pixels = [512, 256, 256] if classes == 3 else [512, 512, 0]
        items.append(
            {
                "id": f"s{number}", "seed": number, "label_item_id": "case_00000/0000",
                "label_patient_id": "case_00000", "class_pixels": pixels,
            }
        )  # fmt: skip
    manifest = {
        "format": "understudy-synthetic", "image_size": 32, "items": items,
        "generator": {"training_patients": ["case_00000", "case_00001"]},
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(manifest))
    return str(root)


def shown(data: Any, epochs: int = 1) -> tuple[list[str], int]:
    """Ids of all images that so many epochs show, in order, and the steps of an epoch."""
    module = SimpleNamespace(steps_done=0)
    data.trainer = SimpleNamespace(
        world_size=1, global_rank=0, lightning_module=module,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    data.setup("fit")
    ids: list[str] = []
    for _ in range(epochs):
        loader = data.train_dataloader()
        ids += [name for batch in loader for name in batch["id"]]
        module.steps_done += len(loader)
    real = sum(not name.startswith("s") for name in ids)
    assert data.images_shown(module.steps_done) == (len(ids), real)
    return ids, module.steps_done // epochs


@pytest.mark.parametrize("images_per_epoch", [None, 24])
@pytest.mark.parametrize("share", [0.5, 1, 2])
def test_controls_of_films_show_as_many_images_or_as_many_real_ones(
    films: str, tmp_path: Path, share: float, images_per_epoch: int | None
) -> None:
    made = a_set(tmp_path / "s", 24, 12)

    def arm(control: Any) -> ChestXrayDataModule:
        return ChestXrayDataModule(
            films, 3, made, share, images_per_epoch=images_per_epoch, control=control
        )

    mixed, steps = shown(arm(None), epochs=6)
    as_long, steps_as_long = shown(arm("steps"), epochs=6)
    as_real, _ = shown(arm("real"), epochs=6)
    real = [name for name in mixed if not name.startswith("s")]
    assert len(as_long) == len(mixed)
    assert steps_as_long == steps
    # The mix within an epoch is drawn; over whole rounds it is exact, and the control rounds.
    assert abs(len(as_real) - len(real)) <= 6 * 3 / 2 + 9
    if images_per_epoch is None:
        assert len(mixed) == 6 * round(18 * (1 + share))
        assert len(real) == len(as_real) == 6 * 18
        times = Counter(as_long)
        assert set(times.values()) <= {6 * int(1 + share), 6 * int(1.5 + share), 6}
    assert not any(name.startswith("s") for name in as_long + as_real)


def test_stand_ins_are_of_the_synthetic_image_s_class(films: str, tmp_path: Path) -> None:
    """A set that fills the rare class up is replaced by oversampling it, exactly."""
    made = a_set(tmp_path / "s", 2, 6)
    data = ChestXrayDataModule(films, 6, made, balance="synthetic", control="steps")
    data.setup("fit")
    assert Counter(data.training_labels().tolist()) == {0: 12, 1: 12}  # type: ignore[union-attr]
    assert Counter(Counter(data._training_set.indices.tolist()).values()) == {1: 12, 2: 6}


@pytest.mark.parametrize("labels", [2, 3])
def test_controls_of_slices(small_cache: Path, tmp_path: Path, labels: int) -> None:
    made = slices_of(tmp_path / "set", 24, labels)

    def arm(control: Any, **settings: Any) -> KiTS19DataModule:
        return KiTS19DataModule(str(small_cache), 4, made, control=control, **settings)

    mixed, _ = shown(arm(None))
    assert len(mixed) == 36
    assert sum(name.startswith("s") for name in mixed) == 24
    as_long, _ = shown(arm("steps"))
    assert Counter(Counter(as_long).values()) == {3: 12}
    as_real, _ = shown(arm("real"), epochs=3)
    assert Counter(Counter(as_real).values()) == {3: 12}
    share, _ = shown(arm(None, synthetic_share=1))
    assert sum(name.startswith("s") for name in share) == 12
    alone, _ = shown(arm(None, real_slices=False))
    assert sorted(alone) == sorted(f"s{k}" for k in range(24))
    instead, _ = shown(arm("steps", real_slices=False))  # what pretraining's control sees
    assert Counter(Counter(instead).values()) == {2: 12}


def test_weights_count_in_the_length_of_a_control(films: str, tmp_path: Path) -> None:
    """Drawn so that classes are as frequent, 12 + 0 normal and 6 + 12 abnormal films: 2 of 3."""
    made = a_set(tmp_path / "s", 0, 12)
    arm = ChestXrayDataModule(films, 2, made, balance="oversample", images_per_epoch=3000)
    mixed, _ = shown(arm)
    real = sum(not name.startswith("s") for name in mixed)
    control = ChestXrayDataModule(
        films, 2, made, balance="oversample", images_per_epoch=3000, control="real"
    )
    as_real, _ = shown(control)
    assert len(as_real) == 2000
    assert real == pytest.approx(2000, abs=80)


def test_a_control_knows_nobody_through_the_set(films: str, tmp_path: Path) -> None:
    made = a_set(tmp_path / "s", 12, 6, training_patients=["t000", "somebody"])
    for control, patients in ((None, ["somebody"]), ("steps", []), ("real", [])):
        data = ChestXrayDataModule(films, 6, made, control=control)  # type: ignore[arg-type]
        assert data.also_seen().patients == {*patients}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"control": "steps"}, r"--data.control steps: .* Name the set with --data.synthetic"),
        ({"control": "real", "synthetic": "set", "real_films": False}, "which are none"),
    ],
)
def test_what_has_no_control_is_refused(
    films: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ChestXrayDataModule(films, **settings)


def test_slices_take_the_flags_of_synthetic_films(small_cache: Path, tmp_path: Path) -> None:
    made = slices_of(tmp_path / "set", 3)
    with pytest.raises(UserError, match=r"synthetic_share 1 needs 12 slices \(it holds 3\)"):
        KiTS19DataModule(str(small_cache), synthetic=made, synthetic_share=1).training_set()
    with pytest.raises(UserError, match="real_slices false: is about synthetic slices; name"):
        KiTS19DataModule(str(small_cache), real_slices=False)


def test_stand_ins_take_turns_and_any_where_no_real_image_is_alike() -> None:
    chosen = stand_ins(["a"] * 7 + ["c"] * 3, ["a", "b", "a", "b", "a"], seed=1)
    times = Counter(chosen[:7].tolist())
    assert set(times) == {0, 2, 4}
    assert sorted(times.values()) == [2, 2, 3]
    assert len({*chosen[7:].tolist()}) == 3
    assert chosen.tolist() == stand_ins(["a"] * 7 + ["c"] * 3, list("ababa"), seed=1).tolist()


def test_the_length_of_a_control_is_a_number_of_whole_batches() -> None:
    assert epoch_of_real_images(160, 8, 30, None, 230) == 24  # 20.9 images are nearest to 3 batches
    assert epoch_of_real_images(160, 8, 1, None, 1000) == 8


@pytest.mark.parametrize("weighted", [False, True])
def test_images_shown_are_counted_as_they_are_drawn(weighted: bool) -> None:
    weights = np.linspace(1, 3, 10) if weighted else None
    batches = OrderedBatches(10, 4, 3, lambda: 0, weights=weights, images_per_epoch=400)
    drawn = [draw.index for batch in batches for draw in batch]
    for steps in (0, 1, 2, 7, 100):
        expected = sum(index < 6 for index in drawn[: 4 * steps])
        assert batches.count_below(6, steps) == expected

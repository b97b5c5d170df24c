"""CycleGAN: its losses by hand, micro-batches, half precision, condition, and what it invents."""

import csv
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules import UnpairedDataModule
from datamodules.film_cache import FilmCache
from lightning_modules import CycleGAN
from networks import MultiScalePatchDiscriminator, ResNetGenerator
from provenance import UserError, sha256_of
from tests.lightning_modules.test_training_module import largest_difference
from tests.training_runs import cpu_trainer

Cache = Callable[..., Path]


def cyclegan(**settings: Any) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(
        generator=partial(ResNetGenerator, width=4, num_blocks=1),
        discriminator=partial(MultiScalePatchDiscriminator, width=4, num_layers=2),
        image_size=32,
        pool_size=4,
        **settings,
    )


@pytest.fixture
def films(film_cache: Cache, tmp_path: Path) -> Path:
    return film_cache(tmp_path / "films")


def train(module: CycleGAN, films: Path, steps: int = 2, **trainer: Any) -> CycleGAN:
    data = UnpairedDataModule(
        str(films),
        source_label="normal",
        target_label="abnormal",
        batch_size=6,
        images_per_epoch=60,
    )
    runner = cpu_trainer(steps, **{"precision": "64-true", **trainer})
    runner.fit(module, datamodule=data)
    return module


def test_losses_are_the_source_s_by_hand(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With generators that add and take away a constant, and a discriminator that scores by it."""

    class Adds(torch.nn.Module):
        def __init__(self, amount: float) -> None:
            super().__init__()
            self.amount = torch.nn.Parameter(torch.tensor(amount))

        def forward(self, image: Tensor) -> Tensor:
            return image + self.amount

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, image: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
            return [(self.scale * image.mean(dim=(1, 2, 3), keepdim=True), [])]

    module = cyclegan(learning_rate=1e-12)
    module.generators["target"], module.generators["source"] = Adds(0.25), Adds(-0.125)
    module.discriminators["target"], module.discriminators["source"] = Scores(), Scores()
    means: dict[str, list[Tensor]] = {"source": [], "target": []}
    step = CycleGAN.training_step

    def recording(self: CycleGAN, batch: dict[str, Tensor], index: int) -> None:
        for domain, found in means.items():
            found.append(batch[f"{domain}_image"].double().mean(dim=(1, 2, 3)))
        step(self, batch, index)

    monkeypatch.setattr(CycleGAN, "training_step", recording)
    found = train(module, films, steps=1).reported
    source, target = means["source"][0], means["target"][0]
    adversarial = [(0.5 * (source + 0.25) - 1), (0.5 * (target - 0.125) - 1)]
    by_hand = sum(float(x.square().mean()) for x in adversarial)
    by_hand += 10 * 2 * 0.125  # there and back leaves 1/8, both ways
    by_hand += 10 * 0.5 * (0.25 + 0.125)
    assert found["train/loss_generator"] == pytest.approx(by_hand)
    fake = 0.5 * (source + 0.25)  # a pool that fills gives the newest
    of_target = ((0.5 * target - 1).square().mean() + fake.square().mean()) / 2
    assert found["train/loss_discriminator_target"] == pytest.approx(float(of_target), rel=0.2)


@pytest.mark.parametrize("micro_batches", [2, 4])  # 4 parts of 6 images are unequal
def test_micro_batches_do_not_change_the_result(films: Path, micro_batches: int) -> None:
    whole = train(cyclegan(), films)
    cut = train(cyclegan(micro_batches=micro_batches), films)
    assert largest_difference(whole, cut) < 1e-10
    for name, value in whole.reported.items():
        assert cut.reported[name] == pytest.approx(value, rel=1e-6), name


def test_half_precision_trains_alike(films: Path) -> None:
    begin = cyclegan()
    whole = train(cyclegan(), films, precision="32-true")
    half = train(cyclegan(), films, precision="bf16-mixed")
    assert largest_difference(begin, half) > 1e-5
    for name, value in whole.reported.items():
        assert half.reported[name] == pytest.approx(value, rel=0.05, abs=0.02), name


def test_a_condition_reaches_generators_and_discriminators() -> None:
    module = cyclegan(conditioned=True, num_classes=2)
    image = torch.zeros(2, 1, 32, 32)
    assert module.condition_planes(image, torch.tensor([1, 0])).mean(dim=(2, 3)).tolist() == [
        [0.0, 1.0],
        [1.0, 0.0],
    ]
    one, other = module.translate(image, torch.tensor([0, 1]))
    assert not torch.equal(one, other)
    masks = torch.zeros(2, 32, 32, dtype=torch.int64)
    masks[0, 3, 5] = 1
    assert module.condition_planes(image, masks)[0, :, 3, 5].tolist() == [0.0, 1.0]
    with pytest.raises(UserError, match="no labels to show"):
        module.translate(image)
    plain = cyclegan()
    assert torch.equal(plain.translate(image), plain.translate(image, torch.tensor([0, 1])))


@pytest.mark.parametrize("settings", [{"cycle_weight": -1.0}, {"pool_size": -1}])
def test_negative_weights_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(UserError, match=f"--model.{name}"):
        CycleGAN(partial(ResNetGenerator, width=4), MultiScalePatchDiscriminator, 32, **settings)


def drawn_films(root: Path, write: Cache, share: float, level: int, seed: int) -> Path:
    """100 films of 16 px, grey about `level`; a share of them, called abnormal, with a disc."""
    kinds = ["abnormal" if number < share * 10 else "normal" for number in range(10)]
    patients = {f"{root.name}_{i}": "val" if i == 9 else "train" for i in range(10)}
    write(root, patients, films=10, labels=kinds, image_size=16, stored_size=16)
    manifest = json.loads((root / "manifest.json").read_text())
    rows, columns = np.mgrid[:16, :16] - 7.5
    random = np.random.default_rng(seed)
    with open(root / "items.csv", newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    films = level + random.normal(0, 8, (len(table), 16, 16))
    shows = np.array([row["label:label"] == "abnormal" for row in table])
    films += 90 * (np.hypot(rows, columns) < 3) * shows[:, None, None]
    stored = films.clip(0, 255).astype(np.uint8)
    for shard in manifest["shards"]:
        number = manifest["shards"].index(shard)
        np.save(root / shard["array"], stored[5 * number : 5 * number + 5])
    for row, film in zip(table, stored, strict=True):
        row["sha256"] = hashlib.sha256(film.tobytes()).hexdigest()
    with open(root / "items.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    manifest["sha256_items"] = sha256_of(root / "items.csv")
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shares", "conditioned", "invents"),
    [("as_they_are", False, True), ("matched", False, False), ("as_they_are", True, False)],
)
def test_unequal_shares_make_it_invent_disease(
    shares: Any, conditioned: bool, invents: bool, film_cache: Cache, tmp_path: Path
) -> None:
    """10 % of the source's films show a disc, and 90 % of the target's, which are brighter."""
    source = drawn_films(tmp_path / "source", film_cache, 0.1, 60, 0)
    target = drawn_films(tmp_path / "target", film_cache, 0.9, 140, 1)
    torch.manual_seed(0)
    module = CycleGAN(
        generator=partial(ResNetGenerator, width=8, num_blocks=2),
        discriminator=partial(MultiScalePatchDiscriminator, width=16, num_layers=2),
        image_size=16,
        num_classes=2,
        conditioned=conditioned,
        learning_rate=1e-3,
    )
    data = UnpairedDataModule(
        str(target), str(source), class_shares=shares, batch_size=8, images_per_epoch=3200
    )
    cpu_trainer(400).fit(module, datamodule=data)
    cache = FilmCache.open(source)
    films = np.stack([cache.image(index) for index in cache.indices("train")])
    labels = cache.labels("label")[cache.indices("train")].astype(np.int64)
    images = torch.from_numpy(films).float()[:, None] / 127.5 - 1
    made = module.eval().translate(images, torch.from_numpy(labels))[:, 0]
    distance = np.hypot(*(np.mgrid[:16, :16] - 7.5))
    inside, around = (torch.from_numpy(area) for area in (distance < 3, distance > 5))
    shows = (made[:, inside].mean(dim=1) - made[:, around].mean(dim=1)).numpy() > 45 / 127.5
    assert abs(float(made[:, around].mean()) * 127.5 + 127.5 - 140) < 15  # the target's look
    healthy = float(shows[labels == 0].mean())
    assert healthy > 0.9 if invents else healthy < 0.1
    assert float(shows[labels == 1].mean()) > 0.9

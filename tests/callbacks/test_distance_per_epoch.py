"""Distance to the real films after every epoch: against the metrics by hand, and what hangs on it.

Its independence of the number of processes is tested with the training of two processes.
"""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor

import train
from callbacks import distance_per_epoch
from callbacks.checkpoints import Checkpoints
from callbacks.distance_per_epoch import DistancePerEpoch
from callbacks.record import RunRecord
from callbacks.run_log import RunLog
from datamodules import ChestXrayDataModule
from lightning_modules import GAN
from lightning_modules.checkpoint_files import VerifiedCheckpointIO
from lightning_modules.step.divergence import TrainingError
from lightning_modules.step.seeds import derived_seed
from metrics.distances import frechet_distance, kernel_distance, pairwise_diversity
from metrics.features import RandomVGG
from metrics.inception import InceptionExtractor
from networks import DCGANDiscriminator, DCGANGenerator
from provenance import UserError


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path) -> Path:
    return film_cache(tmp_path / "films")


def fit(
    films: Path,
    folder: Path,
    callback: DistancePerEpoch | None,
    epochs: int = 1,
    resume: Any = None,
) -> GAN:
    torch.manual_seed(0)
    module = GAN(
        generator=partial(DCGANGenerator, width=4, latent_size=4, normalization="group"),
        discriminator=partial(DCGANDiscriminator, width=4, normalization="group"),
        image_size=32,
        loss="non_saturating",
    )
    folder.mkdir(exist_ok=True)
    kept = [RunRecord({}), Checkpoints(folder / "checkpoints")]
    runner = L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        log_every_n_steps=1,
        logger=[RunLog(folder)],
        callbacks=[callback, *kept] if callback else kept,
        plugins=[VerifiedCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    data = ChestXrayDataModule(str(films), batch_size=4, images_per_epoch=4)
    runner.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module


def logged(folder: Path, name: str) -> dict[int, float]:
    """Value by epoch."""
    with open(folder / "metrics.csv", newline="") as stream:
        return {
            int(r["epoch"]): float(r["value"]) for r in csv.DictReader(stream) if r["name"] == name
        }


def progress(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["progress"]["images_seen"])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images of every call of the extractor."""
    seen: list[int] = []
    forward = RandomVGG.forward

    def counting(self: RandomVGG, images: Tensor) -> Tensor:
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(RandomVGG, "forward", counting)
    return seen


def test_values_are_those_of_the_metrics_by_hand(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    module = fit(films, folder, DistancePerEpoch(num_images=10, batch_size=3))
    dataset = ChestXrayDataModule(str(films)).evaluation_set("train")
    extractor = RandomVGG()
    # 10 of 12 films, spread evenly; a film's grey levels are whole numbers already.
    chosen = [round(index) for index in np.linspace(0, 11, 10)]
    real = torch.stack([dataset[index]["image"] for index in chosen]).float() / 127.5 - 1
    made = module.synthesise([derived_seed(0, "distance", i) for i in range(10)])
    made = ((made + 1) * 127.5).round() / 127.5 - 1
    with torch.no_grad():
        x, y = extractor(real), extractor(made)
    expected = {
        "frechet_random_vgg": frechet_distance(x, y),
        "frechet_random_vgg_best": frechet_distance(x, y),
        "kernel_random_vgg": kernel_distance(x, y, num_subsets=50)[0],
        "diversity_of_real": pairwise_diversity(y) / pairwise_diversity(x),
        "num_real": 10,
        "num_generated": 10,
    }
    for name, value in expected.items():
        assert logged(folder, f"val/{name}")[0] == pytest.approx(value, rel=1e-4), name
    assert module.monitor == ("val/frechet_random_vgg", "min")


def test_real_features_are_kept_by_content(
    films: Path, film_cache: Callable[..., Path], tmp_path: Path, calls: list[int]
) -> None:
    def images_measured(where: Path, name: str, **settings: Any) -> int:
        calls.clear()
        fit(where, tmp_path / name, DistancePerEpoch(num_images=8, **settings), epochs=2)
        return sum(calls) - 1 - 2 * 8  # but for the trial image and two epochs of generated ones

    assert images_measured(films, "first") == 8
    assert images_measured(films, "second") == 0
    assert images_measured(films, "other split", real_split="val") == 6  # all that there are
    (tmp_path / "elsewhere").mkdir()
    others = film_cache(tmp_path / "elsewhere" / "films", labels=("abnormal",))
    for kept in (films / "features").iterdir():  # beside other films they fit nothing
        (others / "features").mkdir(exist_ok=True)
        (others / "features" / kept.name).write_bytes(kept.read_bytes())
    assert images_measured(others, "changed") == 8
    for kept in (films / "features").iterdir():
        kept.write_bytes(kept.read_bytes()[:200])
    assert images_measured(films, "damaged") == 8


def test_films_that_cannot_be_written_to_are_measured_every_time(
    films: Path, tmp_path: Path, calls: list[int]
) -> None:
    (films / "features").write_text("a file where the folder should be")
    fit(films, tmp_path / "run", DistancePerEpoch(num_images=8))
    assert sum(calls) == 1 + 8 + 8


def test_only_the_canonical_inception_is_called_fid(films: Path, tmp_path: Path) -> None:
    for name, expected in (
        ("inception", "fid"),
        ("inception_12345678", "frechet_inception_12345678"),
        ("random_vgg", "frechet_random_vgg"),
    ):
        network = RandomVGG()
        network.name = name
        assert distance_per_epoch._frechet_name(network) == expected
    assert "canonical" in InceptionExtractor.__doc__  # which weights get the plain name


def test_the_random_vgg_measures_the_same_images_beside_another_extractor(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Means(torch.nn.Module):
        """Another extractor: means of the image's quarters."""

        name, description = "means", "means of quarters"

        def forward(self, images: Tensor) -> Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)

    def build(name: str, weights: str | None = None) -> Any:
        return Means() if name == "means" else RandomVGG()

    monkeypatch.setattr(distance_per_epoch, "build_extractor", build)
    alone, both = tmp_path / "alone", tmp_path / "both"
    fit(films, alone, DistancePerEpoch(num_images=8))
    callback = DistancePerEpoch("means", num_images=8, random_vgg_too=True)
    module = fit(films, both, callback)
    assert module.monitor == ("val/frechet_means", "min")
    same = "val/frechet_random_vgg"
    assert logged(both, same)[0] == pytest.approx(logged(alone, same)[0], rel=1e-6)
    assert logged(both, "val/frechet_means")[0] != logged(both, same)[0]
    assert logged(both, "val/frechet_means_best")
    assert not logged(both, f"{same}_best")
    only_means = tmp_path / "only_means"
    fit(films, only_means, DistancePerEpoch("means", num_images=8))
    diversity = "val/diversity_of_real"  # in the extractor's features, whatever stands beside
    assert logged(both, diversity) == logged(only_means, diversity)


def test_epochs_between_measurements_have_no_values(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit(films, folder, DistancePerEpoch(num_images=4, every_epochs=2), epochs=5)
    assert list(logged(folder, "val/frechet_random_vgg")) == [1, 3, 4]  # the last one always
    assert list(logged(folder, "val/score_real")) == [0, 1, 2, 3, 4]


def test_best_checkpoint_is_the_nearest_also_after_a_resume(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distances = iter([5.0, 3.0, 4.0, 3.5, 2.0])
    values = {"val/num_real": 4.0, "val/diversity_of_real": 1.0}

    def measure(*rest: Any) -> dict[str, float]:
        return {**values, "val/frechet_random_vgg": next(distances)}

    monkeypatch.setattr(distance_per_epoch, "_measure", measure)
    folder = tmp_path / "run"
    best, last = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    fit(films, folder, DistancePerEpoch(num_images=4), epochs=3)
    assert (progress(best), progress(last)) == (8, 12)
    fit(films, folder, DistancePerEpoch(num_images=4), epochs=4, resume=last)
    assert (progress(best), progress(last)) == (8, 16)
    fit(films, folder, DistancePerEpoch(num_images=4), epochs=5, resume=last)
    assert (progress(best), progress(last)) == (20, 20)


def test_without_distance_the_newest_checkpoint_is_the_best(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit(films, folder, None, epochs=3)
    assert progress(folder / "checkpoints/best.ckpt") == 12
    assert not logged(folder, "val/frechet_random_vgg")
    assert list(logged(folder, "val/score_real")) == [0, 1, 2]


def test_collapse_ends_the_training_with_a_sentence(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator that makes one image, whatever the latent."""

    def one_image(self: DCGANGenerator, latent: Tensor, growth: Any = None) -> list[Tensor]:
        constant = torch.zeros_like(latent)
        return [torch.tanh(self.layers(constant[:, :, None, None]))]

    monkeypatch.setattr(DCGANGenerator, "forward", one_image)
    monkeypatch.setattr(distance_per_epoch, "_LEAST_STEPS", 4)
    folder = tmp_path / "run"
    sentence = r"collapsed by 16 images: .* 0\.00, 0\.00, 0\.00 % .* not rising.*penalties\.r1"
    with pytest.raises(TrainingError, match=sentence):
        fit(films, folder, DistancePerEpoch(num_images=4), epochs=9)
    diversity = logged(folder, "val/diversity_of_real")
    assert list(diversity) == [0, 1, 2, 3]  # the epoch that showed it is written too
    assert max(diversity.values()) < 0.001
    assert progress(folder / "checkpoints/last.ckpt") == 12


def stopped_at(
    callback: DistancePerEpoch, diversities: list[float], every: int, first: int = 0
) -> int | None:
    """Which measurement ends a training, counted from 0; one comes after every so many steps."""
    for number, diversity in enumerate(diversities[first:], start=first):
        module: Any = SimpleNamespace(steps_done=(number + 1) * every, images_seen=0)
        callback._measured = {"val/diversity_of_real": diversity}
        callback._watch_diversity(module)
        if callback._failure:
            return number
    return None


@pytest.mark.parametrize(
    ("diversities", "every", "stops"),
    [
        # Few films: it begins with one image, and learns more for many epochs.
        ([0.006, 0.006, 0.007, 0.006, 0.008, 0.3, 0.65], 4, None),
        ([0.006, 0.0061, 0.0065, 0.007, 0.009, 0.012, 0.019, 0.1], 100, None),  # late, but rises
        ([0.5, 0.01, 0.01, 0.01], 1, 3),  # it was diverse once
        ([0.5, 0.01, 0.01, 0.03, 0.01, 0.01, 0.01], 1, 6),  # three running
        ([0.5, 0.001, 0.002, 0.003, 0.004, 0.003, 0.002], 1, 5),  # rises, then no longer
        ([0.001] * 6, 50, 3),  # never diverse: after 200 steps
        ([0.001] * 6, 1000, 2),
        ([0.0, 1e-9, 2e-9, 3e-9], 1000, 2),  # rounding is no rise
        ([0.02] * 6, 1000, None),  # the limit itself is none
        ([0.9, 0.8, 0.7, 0.6, 0.5], 1000, None),
    ],
    ids=str,
)
def test_what_is_called_collapsed(diversities: list[float], every: int, stops: int | None) -> None:
    assert stopped_at(DistancePerEpoch(num_images=4), diversities, every) == stops
    for cut in range(1, stops or len(diversities)):  # resumed in between, it is the same
        first, second = DistancePerEpoch(num_images=4), DistancePerEpoch(num_images=4)
        assert stopped_at(first, diversities[:cut], every) is None
        second.load_state_dict(first.state_dict())
        assert stopped_at(second, diversities, every, first=cut) == stops


def test_watching_begins_anew_in_a_run_of_an_earlier_version() -> None:
    callback = DistancePerEpoch(num_images=4)
    callback.load_state_dict({"best": 3.0, "collapsed": 1})
    assert callback.best == 3.0
    assert stopped_at(callback, [0.001, 0.001, 0.001], 1000) == 2


def test_a_limit_of_nothing_never_ends_a_training() -> None:
    callback = DistancePerEpoch(num_images=4, collapsed_below=0)
    assert stopped_at(callback, [0.5, 0.0, 0.0, 0.0, 0.0], 1000) is None


@pytest.mark.parametrize(
    "numbers", [{"num_images": 3}, {"num_images": -1}, {"every_epochs": 0}], ids=str
)
def test_numbers_that_make_no_sense_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"--distance.{next(iter(numbers))}"):
        DistancePerEpoch(**numbers)


def test_extractor_is_tried_before_the_first_step(films: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is downloaded"):
        fit(films, tmp_path / "run", DistancePerEpoch("timm:tf_efficientnet_lite0"))
    with pytest.raises(UserError, match="no such feature extractor"):
        fit(films, tmp_path / "run", DistancePerEpoch("vgg"))


def test_too_few_films_are_told_before_the_first_step(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    patients = {f"patient_{i:012x}": s for i, s in enumerate(["train", "train", "val", "test"])}
    few = film_cache(tmp_path / "few", patients=patients, films=2)
    with pytest.raises(UserError, match=r"--distance.real_split val: has 2 film"):
        fit(few, tmp_path / "run", DistancePerEpoch(num_images=4, real_split="val"))
    fit(few, tmp_path / "enough", DistancePerEpoch(num_images=4))


def test_flags_of_train_py_reach_the_callback(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = train.fit(
        [
            "fit",
            "--config=configs/chest_xray/dcgan.yaml",
            f"--data.root={films}",
            "--data.batch_size=4",
            "--model.generator.width=2",
            "--model.discriminator.width=2",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            "--distance.num_images=5",
            "--distance.real_split=val",
            "--wandb=disabled",
            f"--run_folder={tmp_path / 'run'}",
        ]
    )
    assert logged(result.run_folder, "val/num_real") == {0: 5.0}
    assert logged(result.run_folder, "val/frechet_random_vgg")
    assert list((result.run_folder / "samples").glob("*.png"))

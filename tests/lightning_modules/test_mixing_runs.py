"""Training on mixed batches: processes, micro-batches, resume, precision, and what is refused.

The mixture is a function of the seed, the step and an image's place in the global batch.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import train
from callbacks.checkpoints import Checkpoints
from datamodules import ChestXrayDataModule
from provenance import UserError
from tests.classifier_runs import arguments as of_classifier
from tests.classifier_runs import last, logged
from tests.conftest import write_film_cache
from tests.lightning_modules.test_resume import arguments as of_segmenter
from tests.methods import PIX2PIX, SEGMENTER
from tests.training_runs import train_together

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[2]

EVERY = (
    "[rotation, mixup: {alpha: 1.0}, cutmix, ricap: {probability: 0.5}, perlin_mix, cutout, augmix]"
)
OF_MASKS = "[geometric, cutmix: {probability: 0.5}, ricap, perlin_mix, cutout: {side: 0.2}]"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patients = {f"patient_{i:012x}": "val" if i < 4 else "train" for i in range(16)}
    return write_film_cache(tmp_path_factory.mktemp("films") / "cache", patients)


def classifier(films: Path, to: Path, policy: str, *extra: str) -> list[str]:
    batch = ["--data.batch_size=8", "--data.images_per_epoch=24"]  # 3 steps; two groups of four
    return of_classifier(films, to, *batch, f"--data.augmentation={policy}", *extra)


def segmenter(cache: Path, to: Path, *extra: str) -> list[str]:
    policy = [f"--data.augmentation={OF_MASKS}", "--data.batch_size=8", "--trainer.max_epochs=2"]
    given = of_segmenter(SEGMENTER, cache, to)
    replaced = [word.partition("=")[0] for word in policy]
    return [word for word in given if word.partition("=")[0] not in replaced] + policy + [*extra]


def apart(one: Path, other: Path) -> float:
    """Largest difference of two runs' weights."""
    a, b = last(one)["state_dict"], last(other)["state_dict"]
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def test_micro_batches_change_nothing_and_mixing_does(films: Path, tmp_path: Path) -> None:
    train.fit(classifier(films, tmp_path / "whole", EVERY))
    train.fit(classifier(films, tmp_path / "cut", EVERY, "--model.micro_batches=3"))
    assert apart(tmp_path / "whole", tmp_path / "cut") < 1e-10
    train.fit(classifier(films, tmp_path / "plain", "none"))
    assert apart(tmp_path / "whole", tmp_path / "plain") > 1e-4
    found = logged(tmp_path / "whole")
    assert found["train/consistency"] > 0
    assert "train/consistency" not in logged(tmp_path / "plain")
    assert 0 <= found["train/accuracy"] <= 1


@pytest.mark.ddp
def test_two_processes_of_four_images_train_a_classifier_as_one_of_eight(
    films: Path, tmp_path: Path
) -> None:
    train.fit(classifier(films, tmp_path / "one", EVERY))
    train_together([classifier(films, tmp_path / "two", EVERY)], tmp_path)
    assert "no multiple" not in (tmp_path / "rank_0.log").read_text()
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-10
    one, two = logged(tmp_path / "one"), logged(tmp_path / "two")
    for name in (name for name in one if name.startswith(("val/", "train/"))):
        assert two[name] == pytest.approx(one[name], abs=1e-9), name


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_of_four_slices_train_a_segmenter_as_one_of_eight(
    small_cache: Path, tmp_path: Path
) -> None:
    train.fit(segmenter(small_cache, tmp_path / "one"))
    train_together([segmenter(small_cache, tmp_path / "two")], tmp_path)
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-10


@pytest.mark.parametrize("kind", ["classifier", "segmenter"])
def test_interrupted_run_resumes_to_the_same_bits(
    kind: str, films: Path, small_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(name: str) -> list[str]:
        every = "--checkpoint_every_steps=1"
        if kind == "segmenter":
            longer = ["--data.images_per_epoch=24", every]
            return segmenter(small_cache, tmp_path / name, *longer)
        return classifier(films, tmp_path / name, "[mixup, perlin_mix, augmix]", every)

    train.fit(words("whole"))
    save = Checkpoints.on_train_batch_end

    def save_then_stop(self: Checkpoints, trainer: Any, module: Any, *rest: Any) -> None:
        save(self, trainer, module, *rest)
        if module.steps_done == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Checkpoints, "on_train_batch_end", save_then_stop)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train.fit(words("cut"))
    assert last(tmp_path / "cut")["progress"]["steps_done"] == 4
    train.fit([*words("cut"), "--resume=true"])
    whole, resumed = last(tmp_path / "whole"), last(tmp_path / "cut")
    assert resumed["progress"] == whole["progress"]
    assert apart(tmp_path / "whole", tmp_path / "cut") == 0
    assert whole["progress"]["steps_done"] == 6


def test_half_precision(films: Path, small_cache: Path, tmp_path: Path) -> None:
    """Images are mixed in float32, and losses stay finite."""
    half = "--trainer.precision=bf16-mixed"
    words = [w for w in classifier(films, tmp_path / "films", "[mixup, augmix]") if "64-t" not in w]
    train.fit([*words, half])
    assert 0 < logged(tmp_path / "films")["train/loss"] < 10
    words = [w for w in segmenter(small_cache, tmp_path / "slices") if "64-t" not in w]
    train.fit([*words, half])
    assert 0 < logged(tmp_path / "slices")["train/loss"] < 10


def test_validation_sees_images_as_they_are(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    transfer = ChestXrayDataModule.on_after_batch_transfer

    def watched(self: ChestXrayDataModule, batch: dict[str, Any], index: int) -> dict[str, Any]:
        found = transfer(self, batch, index)
        assert self.trainer is not None
        seen.append((self.trainer.training, "target" in found))
        return found

    monkeypatch.setattr(ChestXrayDataModule, "on_after_batch_transfer", watched)
    train.fit(classifier(films, tmp_path / "run", "[mixup]"))
    assert set(seen) == {(True, True), (False, False)}


def test_the_record_holds_every_setting(films: Path, tmp_path: Path) -> None:
    train.fit(classifier(films, tmp_path / "run", "augmix_medical"))
    record = last(tmp_path / "run")["understudy"]["augmentation"]
    assert record[0]["augmix"]["repertoire"] == "medical"
    assert record[0]["augmix"]["consistency_weight"] == 12
    json.dumps(record)


def test_what_cannot_be_mixed_is_a_sentence(
    films: Path, small_cache: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("mixup", "augmix"):
        words = [
            word if "augmentation" not in word else f"--data.augmentation=[{name}]"
            for word in segmenter(small_cache, tmp_path / "masks")
        ]
        with pytest.raises(UserError, match=rf"--data\.augmentation: {name}: .*label map"):
            train.fit(words)
    generator = [
        word if "augmentation" not in word else "--data.augmentation=[cutmix]"
        for word in of_segmenter(PIX2PIX, small_cache, tmp_path / "generator")
    ]
    with pytest.raises(UserError, match=r"\(cutmix\): .* Pix2Pix would learn to make such images"):
        train.fit(generator)
    with pytest.raises(UserError, match=r"batch_size 1 on 1 process leaves each with one image"):
        train.fit(classifier(films, tmp_path / "alone", "[mixup]", "--data.batch_size=1"))

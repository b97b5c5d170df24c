"""A rehearsed training is as long as the real one, is refused alike, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

import train
from callbacks.progressive_growth import ProgressiveGrowth
from datamodules.open_cache import open_cache
from provenance import UserError
from studies.run.planning.stand_in import write_stand_in
from studies.specification.parts import GeneratorPlan
from tests.gan_runs import ROOT, trained
from training import rehearsal
from training.rehearsal import rehearse


@pytest.fixture
def words(small_cache: Path) -> list[str]:
    return [
        *("fit", "--config", str(ROOT / "configs/kits19/unet_light.yaml")),
        *("--data.root", str(small_cache), "--data.batch_size", "4", "--data.slices", "all"),
        *("--model.network.width", "8", "--model.network.depth", "2", "--trainer.max_epochs", "3"),
        *("--trainer.accelerator", "cpu"),
    ]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rehearsal, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def test_it_is_as_long_as_the_training_and_its_checkpoint_as_large(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    counted, timed = rehearse(words, timed=False), rehearse(words, timed=True)
    assert capsys.readouterr().out == ""
    assert list((tmp_path / "temporary").iterdir()) == []
    done = train.fit([*words, "--run_folder", str(tmp_path / "run"), "--wandb", "disabled"])
    assert counted.images == timed.images == done.images_seen
    assert counted.steps * 4 == done.images_seen
    assert (counted.seconds, counted.checkpoint_bytes) == (None, None)
    assert counted.task == "segmentation"
    assert counted.class_names == ("background", "kidney", "tumour")
    assert timed.seconds is not None
    assert 0 < timed.seconds < done.seconds
    assert timed.device == "cpu"
    assert timed.num_timed == min(16, timed.steps - 2)
    assert timed.checkpoint_bytes is not None
    written = done.last_checkpoint.stat().st_size
    assert timed.checkpoint_bytes == pytest.approx(written, rel=0.05)


def test_synthetic_images_that_are_not_made_yet_count(
    words: list[str], small_cache: Path, tmp_path: Path
) -> None:
    """As many steps as the images add, in the arm and in its controls."""
    plan = GeneratorPlan("x.yaml", num_images=8, with_class="tumour")
    images = write_stand_in(tmp_path / "images", open_cache(small_cache), plan)
    synthetic = [*words, "--data.synthetic", str(images)]
    alone, beside = rehearse(words, timed=False), rehearse(synthetic, timed=True)
    assert beside.steps == alone.steps + 3 * 8 // 4
    assert beside.seconds is not None
    controls = [
        rehearse([*synthetic, "--data.control", control], timed=False).steps
        for control in ("steps", "real")
    ]
    assert controls == [beside.steps, alone.steps]


def test_a_growing_gan_is_timed_from_its_first_to_its_last_size(
    film_cache: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, seen = film_cache(tmp_path / "films", labels=None), []
    told: list[list[str]] = []
    monkeypatch.setattr(train, "fit", lambda args: told.append(args) or _Nothing)
    trained(
        films, "pggan", tmp_path / "run",
        "--data.images_per_epoch=400",
        "--trainer.callbacks.stage_images=80", "--trainer.callbacks.fade_images=0",
    )  # fmt: skip
    own = ProgressiveGrowth.growth_at
    monkeypatch.setattr(
        ProgressiveGrowth,
        "growth_at",
        lambda self, images, final: seen.append(images) or own(self, images, final),
    )
    found = rehearse([word for word in told[0] if "run_folder" not in word], timed=True)
    assert (found.steps, found.num_timed) == (100, 8)
    sizes = [own(ProgressiveGrowth(80, 0), images, 32).resolution for images in seen]
    assert set(sizes) == {4, 8, 16, 32}
    assert sizes == sorted(sizes)


class _Nothing:
    last_checkpoint = None


def test_what_the_training_refuses_is_refused(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"--data.sampling liver: expected uniform"):
        rehearse([*words, "--data.sampling", "liver"], timed=False)
    with pytest.raises(UserError, match="the training has no end"):
        rehearse([*words, "--trainer.max_epochs", "-1"], timed=False)

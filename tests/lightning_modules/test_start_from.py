"""A segmenter that goes on from another run's weights, as after a pretraining."""

from collections.abc import Callable
from pathlib import Path

import pytest

import train
from lightning_modules.checkpoint_files import load_checkpoint_file
from provenance import UserError

ROOT = Path(__file__).parents[2]


def arguments(root: Path, run_folder: Path, *more: str) -> list[str]:
    config = ROOT / "configs/kits19/unet_light.yaml"
    return [
        *("fit", "--config", str(config), "--data.root", str(root), "--wandb", "disabled"),
        *("--run_folder", str(run_folder), "--model.network.width=2", "--model.network.depth=1"),
        *("--trainer.max_epochs=1", "--samples_every_epochs=0", "--data.batch_size=4"),
        *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", *more),
    ]


@pytest.fixture(scope="module")
def first(small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("first") / "run"
    result = train.fit(arguments(small_cache, run))
    assert (result.images_seen, result.real_images_seen) == (12, 12)
    return result.last_checkpoint


def test_it_begins_with_the_other_run_s_weights(
    first: Path, small_cache: Path, tmp_path: Path
) -> None:
    still = ("--model.learning_rate=1e-12", f"--model.start_from={first}")
    tuned = train.fit(arguments(small_cache, tmp_path / "run", *still)).last_checkpoint
    before, after = (load_checkpoint_file(path)["state_dict"] for path in (first, tuned))
    weights = [name for name in before if name.endswith("weight")]
    assert weights
    for name in weights:
        assert (before[name] - after[name]).abs().max() < 1e-9


def test_another_network_or_split_is_refused(
    first: Path, small_cache: Path, tmp_path: Path, make_cache: Callable[..., Path]
) -> None:
    start = f"--model.start_from={first}"
    with pytest.raises(UserError, match=r"weights do not fit this run's network.*size mismatch"):
        train.fit(arguments(small_cache, tmp_path / "a", start, "--model.network.width=4"))
    other = make_cache(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="was trained on the patient split test-0"):
        train.fit(arguments(other, tmp_path / "b", start))

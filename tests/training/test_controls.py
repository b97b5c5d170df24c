"""A training beside synthetic images, and its two controls, from the command line to its end."""

from pathlib import Path

import pytest

import train
from lightning_modules.checkpoint_files import load_checkpoint_file
from tests.datamodules.test_controls import slices_of

ROOT = Path(__file__).parents[2]


def test_controls_show_what_they_promise_and_scale_the_schedule(
    small_cache: Path, tmp_path: Path
) -> None:
    """12 real slices and 24 synthetic ones, in batches of 4, two epochs; the rate falls to zero."""
    made = slices_of(tmp_path / "set", 24)
    shown, last_step = {}, {}
    for control in ("null", "steps", "real"):
        result = train.fit(
            [
                *("fit", "--config", str(ROOT / "configs/kits19/unet_light.yaml")),
                *("--data.root", str(small_cache), "--data.synthetic", made),
                *("--data.control", control, "--data.batch_size", "4"),
                *("--model.network.width", "2", "--model.network.depth", "1"),
                *("--model.decay_from", "0", "--trainer.max_epochs", "2", "--wandb", "disabled"),
                *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
                *("--samples_every_epochs", "0", "--run_folder", str(tmp_path / control)),
            ]
        )
        shown[control] = (result.images_seen, result.real_images_seen)
        content = load_checkpoint_file(result.last_checkpoint)
        (group,) = content["optimizer_states"][0]["param_groups"]
        # Of n steps the last is taken with 1/n of the rate, so of a schedule that is scaled the
        # product with their number stays.
        last_step[control] = group["lr"] * content["progress"]["steps_done"]
    assert shown == {"null": (72, 24), "steps": (72, 72), "real": (24, 24)}
    assert last_step["null"] == pytest.approx(0.001)
    assert last_step["steps"] == pytest.approx(0.001)
    assert last_step["real"] == pytest.approx(0.001)

"""--data.augmentation at the prompt: three ways to write it, one record, one resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import train
from provenance import UserError


def fitted(cache: Path, run: Path, *more: str) -> dict[str, Any]:
    words = [
        "fit",
        "--config=configs/kits19/unet_light.yaml",
        "--model.network.width=4",
        "--model.network.depth=2",
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--data.images_per_epoch=4",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        f"--run_folder={run}",
    ]
    if not any("max_epochs" in word for word in more):
        words.append("--trainer.max_epochs=1")
    train.fit([*words, *more])
    loaded: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    return loaded


def test_a_file_and_a_list_train_to_the_same_bits_and_are_recorded(
    small_cache: Path, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("- rotation: {max_degrees: 40}\n- noise\n")
    listed = "[rotation: {max_degrees: 40}, noise]"
    by_file = fitted(small_cache, tmp_path / "a", f"--data.augmentation={file}")
    by_list = fitted(small_cache, tmp_path / "b", "--data.augmentation", listed)
    plain = fitted(small_cache, tmp_path / "c")
    for name, value in by_file["state_dict"].items():
        assert torch.equal(value, by_list["state_dict"][name])
    assert any(
        not torch.equal(value, plain["state_dict"][name])
        for name, value in by_file["state_dict"].items()
    )
    recorded = by_file["understudy"]["augmentation"]
    assert recorded == by_list["understudy"]["augmentation"]
    assert [next(iter(one)) for one in recorded] == ["rotation", "noise"]
    assert recorded[0]["rotation"]["max_degrees"] == 40
    assert plain["understudy"]["augmentation"] == []
    written = yaml.safe_load((tmp_path / "a/config.yaml").read_text())
    # What the file held, so that the run can be repeated without it.
    assert written["data"]["init_args"]["augmentation"] == yaml.safe_load(file.read_text())


def test_a_run_is_resumed_with_its_own_policy_only(
    small_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--data.augmentation", "medical")
    fitted(small_cache, tmp_path / "run", *more)
    on = ("--trainer.max_epochs=2", "--resume=true")
    with pytest.raises(UserError, match=r"data.augmentation was medical, is now nnunet"):
        fitted(small_cache, tmp_path / "run", "--data.augmentation=nnunet", *on)
    from augmentations import presets

    with monkeypatch.context() as patch:  # as if a later version had another preset of that name
        patch.setitem(presets.PRESETS, "medical", ["rotation"])
        with pytest.raises(UserError, match=r"trained with another augmentation.*geometric"):
            fitted(small_cache, tmp_path / "run", *more, *on)
    assert fitted(small_cache, tmp_path / "run", *more, *on)["progress"]["steps_done"] == 2


def test_a_policy_is_refused_before_a_run_begins(small_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no operation gama\. Did you mean gamma"):
        fitted(small_cache, tmp_path / "run", "--data.augmentation=[gama]")
    assert not (tmp_path / "run").exists()

"""A checkpoint rebuilds its module without what it was built from."""

from functools import partial
from pathlib import Path

import pytest
import torch

import train
from lightning_modules.loading import load_module

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "resnet18"])
def test_pretrained_encoder_comes_back_without_its_weights_file(
    encoder: str, small_cache: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """lite0 sums its first layer's colours, resnet18 (unequal means) repeats the grey image."""
    weights = tmp_path / "encoder.pth"
    _save_encoder(encoder, weights)
    result = train.fit(
        [
            "fit",
            f"--config={ROOT / 'configs/kits19/fpn.yaml'}",
            f"--data.root={small_cache}",
            f"--model.network.encoder_name={encoder}",
            f"--model.network.encoder_weights_path={weights}",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
            "--samples_every_epochs=0",
            "--wandb=disabled",
            f"--run_folder={tmp_path / 'run'}",
        ]
    )
    kept = torch.load(weights, weights_only=True)
    weights.unlink()
    module, record = load_module(result.last_checkpoint)
    assert record["model"]["init_args"]["network"]["init_args"]["encoder_name"] == encoder
    pyramid = module.network
    assert pyramid.repeats_grey == (encoder == "resnet18")  # type: ignore[union-attr]
    expected_mean = [0.5] if encoder != "resnet18" else [0.485, 0.456, 0.406]
    assert pyramid.mean.flatten().tolist() == pytest.approx(expected_mean)  # type: ignore
    image = torch.rand(2, 1, 32, 32) * 2 - 1
    stored = torch.load(result.last_checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, stored[name]) for name, value in module.state_dict().items())
    assert module(image).isfinite().all()
    assert len(kept) > 50


def _save_encoder(name: str, path: Path) -> None:
    """Random weights under the names that a published file has."""
    if name.startswith("tu-"):
        import timm

        make = partial(timm.create_model, name.removeprefix("tu-"), pretrained=False)
    else:
        import torchvision

        make = getattr(torchvision.models, name)
    torch.save(make().state_dict(), path)

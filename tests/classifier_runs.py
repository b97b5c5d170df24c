"""Small classifiers for tests: the flags of a training, and what it leaves."""

import json
from pathlib import Path
from typing import Any

import torch

SMALL = [
    "--config=configs/chest_xray/vgg16.yaml",
    "--model.network.width=4",
    "--model.network.hidden=8",
    "--model.network.pooled_size=1",
    "--model.network.dropout=0.0",
    "--model.learning_rate=0.001",
]


def arguments(cache: Path, run_folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        *SMALL,
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--data.images_per_epoch=12",  # 3 steps
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=2",
        "--trainer.callbacks=[]",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        f"--run_folder={run_folder}",
        *extra,
    ]


def last(run_folder: Path) -> dict[str, Any]:
    return torch.load(run_folder / "checkpoints/last.ckpt", weights_only=True)


def logged(run_folder: Path) -> dict[str, float]:
    """Last value of every metric."""
    summary = json.loads((run_folder / "metrics.json").read_text())
    return {name: entry["last"] for name, entry in summary.items()}

"""Which share of an epoch's time went where."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from callbacks.run_log import RunLog
from callbacks.time_shares import TimeShares
from lightning_modules.training_module import TrainingModule

IMAGES, EPOCHS = 4, 2


class Slow(TrainingModule):
    """Steps, validation and data that take as long as they are told."""

    def __init__(self, step: float, report: float) -> None:
        super().__init__(learning_rate=0.1)
        self.layer = torch.nn.Linear(1, 1)
        self.step, self.report = step, report

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.begin_step()
        time.sleep(self.step)
        self.end_step(1, {})

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        time.sleep(self.report)


class SlowData(IterableDataset[torch.Tensor]):
    def __init__(self, wait: float) -> None:
        self.wait = wait

    def __len__(self) -> int:
        return IMAGES

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(IMAGES):
            time.sleep(self.wait)
            yield torch.zeros(1)


def shares(step: float, wait: float, report: float, folder: Path) -> dict[str, list[float]]:
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        logger=RunLog(folder),
        callbacks=[TimeShares()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loaders = [DataLoader(SlowData(one), batch_size=None) for one in (wait, 0.0)]
    trainer.fit(Slow(step, report), *loaders)
    found: dict[str, list[float]] = {}
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["name"], []).append(float(row["value"]))
    return found


def test_each_share_is_what_was_slow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Waiting 30, steps 50 and validation 20 of 100 ms an image; a busy machine adds to all."""
    found = shares(step=0.05, wait=0.03, report=0.02, folder=tmp_path)
    for name, expected in (("loading", 0.3), ("reports", 0.2)):
        values = found[f"time_share/{name}"]
        assert len(values) == EPOCHS
        assert values == pytest.approx([expected] * EPOCHS, abs=0.12)
    lines = [line for line in capsys.readouterr().err.splitlines() if "waiting for data" in line]
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert all("4 images in" in line and "--data.num_workers" in line for line in lines)


def test_data_that_are_there_need_no_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares(step=0.05, wait=0.0, report=0.0, folder=tmp_path)
    told = capsys.readouterr().err
    assert "waiting for data" in told
    assert "--data.num_workers" not in told

"""Trainings for tests: a Lightning trainer on the CPU, and other processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L

ROOT = Path(__file__).parents[1]


def cpu_trainer(steps: int = 2, **settings: Any) -> L.Trainer:
    """One epoch of `steps` steps and one validation batch, with no output and no files."""
    return L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=steps,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **settings,
    )


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a script, or `-c` and code, with one thread in the project's folder; what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )

"""Trainings for tests: a Lightning trainer on the CPU, and other processes.

Processes whose start is not what a test is about fork from the one of `tests/forking.py`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import lightning as L

from tests.forking import FORK_SERVER, preload

ROOT = Path(__file__).parents[1]
preload("torch.distributed", "training.cli", "torchvision")
_PROLOGUE = """
import os, sys, torch
os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for name in [n for n in os.environ if n.startswith(("UNDERSTUDY_", "COURSE_", "WANDB_"))]:
    del os.environ[name]
os.environ.update(variables)
torch.set_num_threads(1)
"""


def rows(run_folder: Path) -> list[str]:
    """Lines of a run's metrics.csv that another run of the same training repeats.

    All but those of time and memory.
    """
    lines = (run_folder / "metrics.csv").read_text().splitlines()
    unlike = ("images_per_second", "memory", "time_share")
    return [line for line in lines if not any(name in line for name in unlike)]


def cpu_trainer(steps: int = 2, **settings: Any) -> L.Trainer:
    """One epoch of `steps` steps and one validation batch, with no output and no files."""
    return L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=steps,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **{"enable_progress_bar": False, **settings},
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


def start(code: str, errors: Path, variables: dict[str, str], **names: Any) -> ForkServerProcess:
    """A process with one thread, in this one's folder, that executes `code`.

    Args:
        code: Python.
        errors: File for what it prints to the standard error.
        variables: Of its environment, beside those that the first process was started with.
        **names: What `code` finds under these names: plain values.
    """
    names |= {"errors": str(errors), "variables": variables}
    process = FORK_SERVER.Process(target=exec, args=(_PROLOGUE + code, names))
    process.start()
    return process


def run(
    code: str,
    errors: Path,
    seconds: float = 240,
    variables: dict[str, str] | None = None,
    **names: Any,
) -> int:
    """As `start`, and wait for its end: the exit status, or minus the signal that ended it."""
    process = start(code, errors, variables or {}, **names)
    process.join(timeout=seconds)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def run_together(code: str, folder: Path, processes: int = 2, **names: Any) -> None:
    """Execute `code` in processes that Lightning, or torch.distributed, makes one training of.

    `code` finds `processes`, how many, and its `rank` from 0. What they print lies in `folder`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    errors = [folder / f"rank_{rank}.log" for rank in range(processes)]
    together = [
        start(
            code,
            errors[rank],
            {"LOCAL_RANK": str(rank), "NODE_RANK": "0", **address},
            rank=rank,
            processes=processes,
            **names,
        )
        for rank in range(processes)
    ]
    try:
        # One that fails leaves the others waiting for it.
        while None in (codes := [process.exitcode for process in together]) and not any(codes):
            time.sleep(0.05)
    finally:
        for process in together:
            process.kill()
            process.join()
    assert codes == [0] * processes, "\n".join(log.read_text()[-2000:] for log in errors)


def train_together(runs: Sequence[list[str]], folder: Path, processes: int = 2) -> None:
    """`train.py` with each of these flags, in turn, on several processes.

    Each leaves in its run folder what every rank holds at the end, rank_0.pt and so on, and
    moved.json: what rank 0 gave to the others (tests/moved_bytes.py).
    """
    measure = (ROOT / "tests/moved_bytes.py").read_text()
    code = (
        f"{measure}\nimport train\nfor words in runs:\n"
        "    train.fit([*words, f'--trainer.devices={processes}'])\n"
    )
    run_together(code, folder, processes, runs=list(runs))


def train_and_die(words: list[str], step: int, errors: Path) -> None:
    """`train.py` with these flags, ended by SIGKILL after a step and its checkpoint."""
    code = (
        "import os, signal, train\n"
        "from callbacks.checkpoints import Checkpoints\n"
        "save = Checkpoints.on_train_batch_end\n"
        "def save_then_die(self, trainer, module, *rest):\n"
        "    save(self, trainer, module, *rest)\n"
        "    if module.steps_done == step:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Checkpoints.on_train_batch_end = save_then_die\n"
        "train.fit(words)\n"
    )
    status = run(code, errors, words=words, step=step)
    assert status == -signal.SIGKILL, errors.read_text()[-2000:]

"""Trainings by train.py that are killed at random moments, gone on with, and compared.

A chain is one training, in one folder: the same command again and again, each time killed at a
moment that a seed draws, until one call of it comes to the end. Kills are aimed at the start (from
the first import to the first step), at the training, and at the writing of a checkpoint, for which
the temporary file is watched. Where they fell, the training itself tells (`Moments`).

Calls that are killed at their start, and the last, are the command as it is given at a prompt; the
others fork, without its imports.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import torch

from tests.training_runs import ROOT, rows, start

Aim = Literal["start", "training", "writing"]
AIMS: tuple[Aim, ...] = ("start", "training", "writing", "training", "writing")
# Seconds, on an idle core, of imports to the first step; of a step; of a checkpoint's writing.
LONGEST: dict[Aim, float] = {"start": 8.0, "training": 0.05, "writing": 0.004}
SECONDS_TO_END = 60  # for what is left of a training after the kill of a part of it


@dataclass
class Kill:
    """One SIGKILL.

    Attributes:
        workers: Loading processes of the call that was killed.
        aim: What it was aimed at.
        nth: Of the moments that the training tells, or of the temporary files, it is aimed at.
        delay: Seconds after it, or after the begin of the call.
        whom: "all" processes, or one of them: "rank 0" or "rank 1".
        fell: Part of the training that had begun last: "start", "step", "validation" or
            "checkpoint".
        half_written: Whether a checkpoint that was not finished lay there.
        steps_done: Of the newest whole checkpoint.
        seconds_to_end: Until no process of the call was left.
    """

    workers: int
    aim: Aim
    nth: int
    delay: float
    whom: str
    fell: str = ""
    half_written: bool = False
    steps_done: int = 0
    seconds_to_end: float = 0.0


_FORKED = """
import multiprocessing, os, sys
os.setpgid(0, 0)
multiprocessing.set_start_method("fork", force=True)  # as in a command's process
sys.path.insert(0, moments)
sys.argv = ['train.py', *words]
import train
from command_line import run_verb
sys.exit(run_verb('train.py', train.main))
"""


class Call:
    """One call of train.py, whose processes are in process groups of their own.

    Args:
        words: Its flags.
        folder: Of the run.
        number: Of the call in its chain.
        workers: Loading processes of each process that trains.
        forked: How many processes to fork from one that has imported Lightning, which saves 5
            seconds each; 0 for the command as it is given at a prompt.
    """

    def __init__(
        self, words: list[str], folder: Path, number: int, workers: int, forked: int = 0
    ) -> None:
        self.folder = folder
        self.moments = folder.with_name(f"{folder.name}_{number:02d}.moments")
        self.errors = folder.with_name(f"{folder.name}_{number:02d}.log")
        self.words = [
            *words,
            f"--run_folder={folder}",
            f"--data.num_workers={workers}",
            "--trainer.callbacks+=moments.Moments",
            f"--trainer.callbacks.path={self.moments}",
            "--resume=true",
        ]
        self.began = time.time()
        self._command: subprocess.Popen[bytes] | None = None
        self._forks: list[ForkServerProcess] = []
        if forked:
            self._fork(forked)
        else:
            self._give()

    def _give(self) -> None:
        with open(self.errors, "wb") as errors:
            self._command = subprocess.Popen(
                [sys.executable, "train.py", *self.words],
                cwd=ROOT,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": str(Path(__file__).parent),
                },
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        self.groups = [self._command.pid]

    def _fork(self, processes: int) -> None:
        variables = {}
        if processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0"}
        for rank in range(processes):
            own = {**variables, "LOCAL_RANK": str(rank)} if processes > 1 else {}
            errors = self.errors if rank == 0 else self.errors.with_suffix(f".rank_{rank}")
            moments = str(Path(__file__).parent)
            self._forks.append(start(_FORKED, errors, own, words=self.words, moments=moments))
        self.groups = [fork.pid or 0 for fork in self._forks]

    def status(self) -> int | None:
        """Of rank 0, or of one that failed before it; None while they run."""
        if self._command is not None:
            return self._command.poll()
        failed = (code for fork in self._forks if (code := fork.exitcode))
        return next(failed, self._forks[0].exitcode)

    def wait(self) -> None:
        """Wait for the end of a training that nobody disturbs.

        Raises:
            AssertionError: It failed.
        """
        while not (status := self.status()) and (status is None or self.left()):
            time.sleep(0.02)
        if status:
            for group in self.groups:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        logs = [self.errors, *self.folder.parent.glob(f"{self.errors.stem}.rank_*")]
        assert status == 0, "\n".join(log.read_text()[-2000:] for log in logs)

    def told(self) -> list[tuple[float, str]]:
        """What the training told: seconds since the call, and the part that began then."""
        if not self.moments.exists():
            return []
        lines = [line.split() for line in self.moments.read_text().splitlines()]
        return [(float(at) - self.began, part) for at, part in lines]

    def left(self) -> dict[int, str]:
        """The processes of the call that are alive, and their rank."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                stat = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(stat[2]) not in self.groups or stat[0] == "Z":
                    continue
                variables = Path(entry.path, "environ").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            given = dict(each.partition(b"=")[::2] for each in variables)
            told = given.get(b"LOCAL_RANK", b"0").decode()
            rank = self.groups.index(int(stat[2])) if self._forks else told
            found[int(entry.name)] = f"rank {rank}"
        return found

    def until(self, kill: Kill) -> bool:
        """Wait for the moment of a kill; False if the training has come to its end before."""
        aimed = self.began if kill.aim == "start" else 0.0
        seen, files = 0, set[str]()
        while self.status() is None:
            if not aimed and kill.aim == "training" and len(self.told()) >= kill.nth:
                aimed = time.time()
            elif not aimed and kill.aim == "writing":
                now = set(half_written(self.folder))
                # What an earlier kill left is there until the run folder is held.
                seen += len(now - files) if self.moments.exists() else 0
                files = now
                aimed = time.time() if seen >= kill.nth else 0.0
            if aimed and time.time() >= aimed + kill.delay:
                return True
            time.sleep(0.0002 if kill.aim == "writing" else 0.001)
        return False

    def kill(self, kill: Kill) -> None:
        """SIGKILL, and wait until nothing of the call is left."""
        chosen = [pid for pid, rank in self.left().items() if rank == kill.whom]
        if kill.whom == "all" or not chosen:
            for group in self.groups:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        else:
            # Of a rank the training process alone: its loading processes have to notice.
            os.kill(min(chosen), signal.SIGKILL)
        killed = time.time()
        while self.left():
            self.status()
            assert time.time() < killed + SECONDS_TO_END, f"{kill}: alive still: {self.left()}"
            time.sleep(0.02)
        kill.seconds_to_end = time.time() - killed
        told = [part for at, part in self.told() if self.began + at <= killed]
        kill.fell = told[-1] if told else "start"
        kill.half_written = bool(half_written(self.folder))


def half_written(folder: Path) -> list[str]:
    """Temporary files among the checkpoints of a run."""
    try:
        return [e.name for e in os.scandir(folder / "checkpoints") if e.name.endswith(".part")]
    except FileNotFoundError:
        return []


def left_alone(words: list[str], folder: Path, processes: int) -> None:
    """Train without a kill."""
    Call(words, folder, 0, 0, processes).wait()


def killed_often(
    words: list[str], folder: Path, kills: int, processes: int, seed: int
) -> tuple[list[Kill], list[Path]]:
    """Train with so many kills; a training that ends before its next kill is followed by another.

    Args:
        words: Of train.py, without run folder and workers.
        folder: Its neighbours hold the trainings.
        kills: How many.
        processes: Of each training.
        seed: Of aims and moments.

    Returns:
        The kills, and the folders of all trainings, each of which came to its end.
    """
    draw = random.Random(seed)
    aims = [AIMS[number % len(AIMS)] for number in range(kills)]
    draw.shuffle(aims)
    done: list[Kill] = []
    folders = [folder.with_name(f"{folder.name}_a")]
    calls = 0
    while True:
        calls += 1
        run, workers = folders[-1], (0, 2)[calls % 2]
        if len(done) == kills:
            Call(words, run, calls, workers).wait()
            return done, folders
        aim = aims[len(done)]
        ranks = [f"rank {rank}" for rank in range(processes)]
        # At the start a rank that is left alone waits for the others, by torch's own time limit.
        whom = "all" if aim == "start" else draw.choice(["all", *ranks])
        nth = 1 if aim == "start" else draw.randint(1, 15 if aim == "training" else 5)
        kill = Kill(workers, aim, nth, draw.uniform(0, LONGEST[aim] * processes), whom)
        call = Call(words, run, calls, workers, 0 if aim == "start" else processes)
        if not call.until(kill):
            call.wait()
            folders.append(run.with_name(f"{folder.name}_{chr(ord('a') + len(folders))}"))
            continue
        call.kill(kill)
        last = run / "checkpoints/last.ckpt"
        if last.exists():
            kill.steps_done = torch.load(last, weights_only=True)["progress"]["steps_done"]
        done.append(kill)


def state(run_folder: Path, name: str) -> dict[str, Any]:
    """A checkpoint of a run."""
    loaded: dict[str, Any] = torch.load(run_folder / f"checkpoints/{name}.ckpt", weights_only=True)
    return loaded


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Names of what is not bit for bit the same in two nested values."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = one.dtype == other.dtype and torch.equal(one, other)
        return [] if alike else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [d for key in one for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)}"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for index, (a, b) in pairs for d in differences(a, b, f"{where}.{index}")]
    return [] if one == other else [f"{where}: {one} and {other}"]


COMPARED = ("progress", "state_dict", "optimizer_states", "callbacks", "epoch", "global_step")


def differing(whole: Path, other: Path) -> list[str]:
    """What is not the same at the end: weights, averages, Adam's state, counters, log, pictures."""
    found = []
    for name in ("last", "best"):
        one, two = state(whole, name), state(other, name)
        for part in COMPARED:
            found += differences(one[part], two[part], f"{name}.{part}")
    if rows(whole) != rows(other):
        found.append("metrics.csv")
    sheets = [
        {path.name: path.read_bytes() for path in sorted((run / "samples").rglob("*.*"))}
        for run in (whole, other)
    ]
    if sheets[0] != sheets[1]:
        found.append("samples")
    return found

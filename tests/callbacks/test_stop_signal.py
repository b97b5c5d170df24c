"""Several processes ask one another of a SIGTERM seldom, all at the same steps, and all stop."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from callbacks import stop_signal
from callbacks.stop_signal import StopSignal, steps_until_asked
from lightning_modules.training_module import TrainingModule


@pytest.mark.parametrize(
    ("seconds", "steps"), [(0.0, 50), (0.01, 50), (0.04, 25), (0.3, 3), (1.0, 1), (90.0, 1)]
)
def test_they_ask_about_once_a_second_and_every_50_steps_at_least(
    seconds: float, steps: int
) -> None:
    assert steps_until_asked(seconds) == steps


class Ranks:
    """Two threads that stand for two processes, with clocks of their own and one collective."""

    def __init__(self, seconds_a_step: list[float], during: tuple[int, int] | None = None) -> None:
        self.seconds_a_step = seconds_a_step
        self.clocks = [0.0 for _ in seconds_a_step]
        self.during = during  # a process gets the signal while they ask in that step
        self.own = threading.local()
        self.barrier = threading.Barrier(len(seconds_a_step), timeout=10)
        self.given: dict[int, Tensor] = {}
        self.asked: list[list[int]] = [[] for _ in seconds_a_step]
        self.stopped = [-1 for _ in seconds_a_step]
        self.checkpoints = [Mock() for _ in seconds_a_step]

    def all_reduce(self, values: Tensor, op: Any) -> None:
        assert op == torch.distributed.ReduceOp.MAX
        self.asked[self.own.rank].append(self.own.step)
        self.given[self.own.rank] = values.clone()
        self.barrier.wait()
        if self.during == (self.own.rank, self.own.step):
            self.own.signals._note()
        most = torch.stack(list(self.given.values())).max(dim=0).values
        self.barrier.wait()
        values.copy_(most)

    def train(self, rank: int, steps: int, told: tuple[int, int]) -> None:
        """The steps of a process, `told` being which process gets the signal in which step."""
        self.own.rank, self.own.step = rank, 0
        signals = self.own.signals = StopSignal(self.checkpoints[rank])
        trainer: Any = SimpleNamespace(
            received_sigterm=False,
            is_last_batch=False,
            fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace()),
        )
        module = Mock(spec=TrainingModule, steps_done=0, device=torch.device("cpu"))
        signals.on_train_start(trainer, module)
        for step in range(1, steps + 1):
            self.own.step = module.steps_done = step
            self.clocks[rank] += self.seconds_a_step[rank]
            if told == (rank, step):
                signals._note()
            try:
                signals.on_train_batch_end(trainer, module, None, None, step)
            except SIGTERMException:
                self.stopped[rank] = step
                return

    def ask_together(
        self, monkeypatch: pytest.MonkeyPatch, told: tuple[int, int] = (-1, -1)
    ) -> None:
        """Two processes of 200 steps, told or not."""
        monkeypatch.setattr(stop_signal, "process_count", lambda: 2)
        monkeypatch.setattr(stop_signal, "validation_follows", lambda trainer: False)
        monkeypatch.setattr(stop_signal.dist, "all_reduce", self.all_reduce)
        clock = SimpleNamespace(monotonic=lambda: self.clocks[self.own.rank])
        monkeypatch.setattr(stop_signal, "time", clock)
        threads = [threading.Thread(target=self.train, args=(r, 200, told)) for r in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("told", [(0, 60), (1, 60), (1, 77)])
def test_all_stop_at_the_same_step_whoever_is_told(
    told: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = Ranks([0.001, 0.0625])  # the slower one's 16 steps take a second
    ranks.ask_together(monkeypatch, told)
    assert ranks.asked[0] == ranks.asked[1] == list(range(1, told[1] + 16, 16))
    assert ranks.stopped == [ranks.asked[0][-1]] * 2
    assert [one.save_last.call_count for one in ranks.checkpoints] == [1, 1]


def test_a_signal_that_comes_while_they_ask_is_told_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranks = Ranks([0.0625, 0.0625], during=(1, 33))
    ranks.ask_together(monkeypatch)
    assert ranks.asked == [[1, 17, 33, 49]] * 2
    assert ranks.stopped == [49, 49]


def test_one_process_stops_after_the_very_step(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks([0.001])
    monkeypatch.setattr(stop_signal, "validation_follows", lambda trainer: False)
    ranks.train(0, 200, (0, 60))
    assert (ranks.asked, ranks.stopped) == ([[]], [60])


def test_lightning_asks_at_every_step_by_the_name_that_is_replaced() -> None:
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)


@pytest.fixture
def first_process() -> Iterator[subprocess.Popen[bytes]]:
    """Stands for the first process of a training, which Lightning kills when another one fails."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_process_that_stops_outlives_one_that_has_stopped_before(
    stopped: bool, first_process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its status is 137, its log is cut off, and `--resume true` is not told."""
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(143)"])
    other.wait()
    observers: list[Any] = []
    monkeypatch.setattr(_ChildProcessObserver, "start", lambda self: observers.append(self))
    monkeypatch.setattr(
        _SubprocessScriptLauncher, "_call_children_scripts", lambda self: self.procs.append(other)
    )
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), 2, 1)
    launcher.launch(lambda: None)
    observers[0]._main_pid = first_process.pid
    if stopped:
        trainer: Any = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
        StopSignal(Mock()).on_exception(trainer, Mock(), SIGTERMException())
    assert observers[0]._run()  # it looks at them no more
    if stopped:
        assert first_process.poll() is None
    else:
        assert first_process.wait(timeout=60) == -signal.SIGKILL

"""Processes that do a study's jobs, each with its share of cores and its own accelerator.

Jobs never run in the study's own process: a crash, a kill for memory or a broken CUDA context
costs one cell. A worker is replaced after a failure, since a device error outlives its exception.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path

from studies.run.attempt import JobOutcome, record_failure, run_job
from studies.run.folder import Study
from studies.run.verbs import Verbs
from worker_pool import end_with_parent

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Inside of a SLURM job these count the study's processes. Lightning would take them for those of a
# training, and start no others.
_TASKS_OF_SLURM = ("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SLURM_PROCID")


class InlinePool:
    """Does a job at once in this process: for debugging, and where processes cost too much."""

    def __init__(self, study: Study, load_verbs: Callable[[], Verbs]) -> None:
        self._study = study
        self._load_verbs = load_verbs
        self._outcomes: list[JobOutcome] = []
        self.num_workers = 1

    def idle(self) -> int:
        """Jobs that may be submitted now."""
        return 0 if self._outcomes else 1

    def submit(self, name: str) -> None:
        """Do the job."""
        self._outcomes.append(run_job(name, self._study, self._load_verbs))

    def collect(self, timeout_s: float) -> list[JobOutcome]:
        """Outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        """Nothing to end."""


class WorkerPool:
    """A fixed number of spawned processes; what they print goes to the study's logs folder."""

    def __init__(self, study: Study, load_verbs: Callable[[], Verbs], num_workers: int) -> None:
        self._study = study
        self._load_verbs = load_verbs
        self._workers: list[_Worker | None] = [None] * num_workers
        self.num_workers = num_workers

    def idle(self) -> int:
        """Jobs that may be submitted now."""
        return sum(worker is None or worker.job is None for worker in self._workers)

    def submit(self, name: str) -> None:
        """Hand a job to an idle worker, starting one if need be."""
        for index, worker in enumerate(self._workers):
            if worker is None or worker.job is None:
                if worker is None:
                    worker = _Worker(self._study, self._load_verbs, index, self.num_workers)
                    self._workers[index] = worker
                worker.job = name
                worker.started = time.monotonic()
                worker.connection.send(name)
                return
        raise RuntimeError("submit was called without an idle worker")

    def collect(self, timeout_s: float) -> list[JobOutcome]:
        """Outcomes that arrive within the time; a dead worker's job counts as failed."""
        busy = [worker for worker in self._workers if worker and worker.job]
        ready = wait(
            [worker.connection for worker in busy] + [worker.process.sentinel for worker in busy],
            timeout_s,
        )
        outcomes = []
        for worker in busy:
            if worker.connection in ready or worker.process.sentinel in ready:
                outcome = worker.receive() or self._died(worker)
                worker.job = None
                outcomes.append(outcome)
                if outcome.state == "failed":
                    worker.kill()
                    self._workers[self._workers.index(worker)] = None
        return outcomes

    def close(self) -> None:
        """End all workers. A killed fit goes on from its checkpoint at the next start."""
        for worker in self._workers:
            if worker:
                worker.end()

    def _died(self, worker: "_Worker") -> JobOutcome:
        assert worker.job is not None
        worker.process.join(10)
        code = worker.process.exitcode
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        hint = " It may have run out of memory." if how == "SIGKILL" else ""
        error = ChildProcessError(f"the process that ran it died ({how}).{hint}")
        message = record_failure(worker.job, self._study, error)
        return JobOutcome(worker.job, "failed", time.monotonic() - worker.started, message)


class _Worker:
    def __init__(
        self, study: Study, load_verbs: Callable[[], Verbs], index: int, num_workers: int
    ) -> None:
        # spawn: CUDA does not survive a fork, and neither do threads of the libraries.
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        # Not a daemon: those may not have children, and data loaders are children.
        self.process = spawn.Process(
            target=_work, args=(theirs, study, load_verbs, index, num_workers), daemon=False
        )
        self.process.start()
        theirs.close()
        self.job: str | None = None
        self.started = time.monotonic()

    def receive(self) -> JobOutcome | None:
        """The outcome, or None when the process died without sending one."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """Let an idle worker return by itself, so that its libraries clean up behind them."""
        self.connection.close()
        if self.job is None:
            self.process.join(10)
        self.kill()

    def kill(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(10)


def _work(
    connection: Connection,
    study: Study,
    load_verbs: Callable[[], Verbs],
    index: int,
    num_workers: int,
) -> None:
    """Body of a worker process: one job after another until the pipe closes."""
    # Ctrl-C reaches the whole group; the parent ends its workers itself. Lightning would take it
    # for a wish to stop early and return as if the training were complete.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()  # or a study that was killed leaves them training beside its next start
    for name in _TASKS_OF_SLURM:
        os.environ.pop(name, None)
    os.environ.update(thread_settings(os.environ, max(1, num_cores() // num_workers)))
    devices = accelerators()
    if num_workers > 1 and len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    while True:
        try:
            name = connection.recv()
        except (EOFError, OSError):
            return
        _print_to(study.folder.log(name))
        connection.send(run_job(name, study, load_verbs))


def thread_settings(environment: Mapping[str, str], share: int) -> dict[str, str]:
    """Threads of every library, as environment variables that are not set yet.

    A person who sets one of them means all: with MKL's share of two beside OMP_NUM_THREADS=1 torch
    uses two threads that wait for each other, ten times slower on a busy machine.

    Args:
        environment: Of the process.
        share: Cores of this worker, where nothing is set.
    """
    given = [environment[name] for name in _THREAD_VARIABLES if environment.get(name)]
    threads = given[0] if given else str(share)
    return {name: threads for name in _THREAD_VARIABLES if not environment.get(name)}


def num_cores() -> int:
    """Cores that this process may use; containers and schedulers often grant fewer than exist."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def accelerators() -> list[str]:
    """CUDA devices as named in CUDA_VISIBLE_DEVICES, found without loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip()]
    return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _print_to(log: Path) -> None:
    """Send everything this process and its children print to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)

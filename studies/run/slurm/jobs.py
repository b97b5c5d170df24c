"""The jobs that a cluster does: a generator or a cell each, and the last one, which reports."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance import UserError
from studies.run.attempt import record_failure
from studies.run.audits import audit_sets
from studies.run.external import evaluate_external
from studies.run.folder import Study
from studies.run.linear_baseline import measure_linear_baseline
from studies.run.verbs import Verbs
from studies.run.workers import WorkerPool
from wandb_runs.environment import Destination

_WAIT_SECONDS = 10.0


@dataclass
class Task:
    """A generator or a cell, as one job. It is done in a process of its own, as on one machine."""

    name: str
    generator: str | None
    study: Study
    load_verbs: Callable[[], Verbs]

    def __call__(self) -> str:
        """Do it, once its generator is there and no other process has it; what is said of it."""
        if self.generator and not self.study.folder.record(self.generator).is_file():
            error = UserError(f"The generator it needs failed: see {self.generator}.")
            raise RuntimeError(record_failure(self.name, self.study, error))
        pool = WorkerPool(self.study, self.load_verbs, 1)
        try:
            while True:
                pool.submit(self.name)
                outcomes = pool.collect(_WAIT_SECONDS)
                while not outcomes:
                    outcomes = pool.collect(_WAIT_SECONDS)
                # Of a process on a node that was lost, until its claim is old.
                if outcomes[0].state != "elsewhere":
                    break
                print(f"{self.name}: {outcomes[0].message}; waiting", flush=True)
                time.sleep(_WAIT_SECONDS)
        finally:
            pool.close()
        if outcomes[0].state == "failed":  # so that SLURM's own records say so too
            raise RuntimeError(outcomes[0].message)
        return f"{self.name}: done in {outcomes[0].seconds:.0f} s"

    def checkpoint(self) -> Any:
        """What goes on after a time limit: the same; the training's own checkpoint is kept."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Closing:
    """What comes after all cells: external tests, audits, the linear baseline, the report."""

    study: Study
    load_verbs: Callable[[], Verbs]
    report: Callable[[Path, Destination], None] | None
    jobs: list[str]
    cells: set[str]

    def __call__(self) -> None:
        """Do all of it; RuntimeError at the end where something failed."""
        failed = evaluate_external(self.study, self.cells, self.load_verbs, print)
        failed += audit_sets(self.study, self.load_verbs, print)[1]
        lacking = measure_linear_baseline(self.study)
        if lacking is not None:
            print(lacking)
        if self.report is not None:
            self.report(self.study.out, self.study.logged)
        # Pickles are code to whoever reads them, and a study's folder is handed on.
        for job in (*self.jobs, os.environ.get("SLURM_JOB_ID", "")):
            for pickle in (self.study.out / "slurm").glob(f"{job}_*.pkl") if job else ():
                pickle.unlink()
        if failed:
            raise RuntimeError("; ".join(f"{name}: {message}" for name, message in failed))

    def checkpoint(self) -> Any:
        """As a task's."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

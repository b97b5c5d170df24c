"""A study's jobs as jobs of a SLURM cluster, through submitit.

Generators are one array, cells are one array for each generator that they wait for, and a last job
audits and reports. What a job is killed for (its time limit, a lost node) puts it back into the
queue, and it goes on from its checkpoint.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from display.numbers import count
from provenance import UserError, read_json, write_json_atomic
from studies.run.attempt import record_failure
from studies.run.audits import audit_sets
from studies.run.external import evaluate_external
from studies.run.folder import Study
from studies.run.linear_baseline import measure_linear_baseline
from studies.run.verbs import Verbs
from studies.run.workers import WorkerPool
from studies.specification.generator_names import generator_job
from studies.specification.specification import PROJECT_ROOT
from wandb_runs.environment import Destination

CLOSING = "report"
# So many time limits may pass before SLURM gives a job up.
_MOST_REQUEUES = 1000
_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class SlurmJobs:
    """What is asked of SLURM for every job of a study.

    Attributes:
        partition: Where the jobs run; None: the cluster's default.
        account: Whose account they are on, where the site asks for one.
        qos: Their quality of service, where the site asks for one.
        hours: Longest time of a job. Two minutes before, it is put back into the queue, and goes
            on from its checkpoint.
        gpus: Of a job; 0 for none.
        cpus: Cores of a job.
        memory_gb: Memory of a job.
        at_once: Jobs of the study that run at a time, for each of its arrays.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    hours: float = 12.0
    gpus: int = 1
    cpus: int = 8
    memory_gb: int = 48
    at_once: int = 16

    def settings(self, name: str) -> dict[str, Any]:
        """As submitit takes them, for jobs of this name.

        Raises:
            UserError: A number that no cluster could give.
        """
        for field, least in (("cpus", 1), ("memory_gb", 1), ("at_once", 1), ("gpus", 0)):
            if getattr(self, field) < least:
                raise UserError(
                    f"--slurm.{field} {getattr(self, field)}: expected {least} or more. Nothing "
                    "was submitted."
                )
        if self.hours * 60 < 1:
            raise UserError(
                f"--slurm.hours {self.hours}: expected a minute (0.0167) or more. Nothing was "
                "submitted."
            )
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "gpus_per_node": self.gpus or None,
        }
        return {
            "name": name,
            "timeout_min": int(self.hours * 60),
            "cpus_per_task": self.cpus,
            "mem_gb": self.memory_gb,
            "slurm_array_parallelism": self.at_once,
            "slurm_signal_delay_s": 120 if self.hours * 60 > 4 else 1,
            "slurm_stderr_to_stdout": True,
            # Tasks import this code, from whichever folder the study was submitted.
            "slurm_setup": [f'export PYTHONPATH="{PROJECT_ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"'],
            **{f"slurm_{key}": value for key, value in given.items() if value is not None},
        }


NOT_ASKED = SlurmJobs()


@dataclass
class _Task:
    """A generator or a cell, as one job. It is done in a process of its own, as on one machine."""

    name: str
    generator: str | None
    study: Study
    load_verbs: Callable[[], Verbs]

    def __call__(self) -> str:
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
class _Closing:
    """What comes after all cells: external tests, audits, the linear baseline, the report."""

    study: Study
    load_verbs: Callable[[], Verbs]
    report: Callable[[Path, Destination], None] | None
    jobs: list[str]
    cells: set[str]

    def __call__(self) -> None:
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


def refuse_no_cluster() -> None:
    """Refuse to submit from where there is no SLURM.

    Raises:
        UserError: Says so.
    """
    for program in ("sbatch", "srun", "squeue"):
        if shutil.which(program) is None:
            raise UserError(
                f"--executor slurm: there is no {program} here, so no job can be submitted. "
                "Nothing was run. Give the command on a login node of the cluster; or leave the "
                "flag out to run the study on this machine."
            )


def submit_study(
    study: Study,
    cells: set[str],
    needs: Mapping[str, str | None],
    asked: SlurmJobs,
    load_verbs: Callable[[], Verbs],
    report: Callable[[Path, Destination], None] | None,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Submit what a study lacks, but for jobs that wait or run already.

    Args:
        study: The study, opened.
        cells: Names of all that were chosen, also of those that are done.
        needs: Jobs that are to be done, each with the generator that it needs and that is not made.
        asked: Of SLURM, for every job.
        load_verbs: Gives the verbs; tasks import it by its module and name.
        report: Writes the report of a study's folder; imported likewise.
        say: Prints a line.

    Returns:
        The number in the queue of every job that was submitted now.

    Raises:
        UserError: SLURM refuses; with its own words.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder = (study.out / "slurm").resolve()
    record = folder / "jobs.json"
    before: dict[str, str] = read_json(record)["jobs"] if record.is_file() else {}
    queue = _queue()
    live = {name: job for name, job in before.items() if job in queue}
    waiting = [name for name in live if name in needs]
    if waiting:
        say(f"{count(len(waiting), 'job')} in the queue already, left as they are.")
    executor = submitit.AutoExecutor(
        folder=folder, cluster="slurm", slurm_max_num_timeout=_MOST_REQUEUES
    )
    submitted: dict[str, str] = {}

    def submit(tasks: Mapping[str, Any], after: list[str]) -> None:
        """One array of these, once the jobs of `after` have ended, however they end."""
        options = {"requeue": True, "dependency": f"afterany:{':'.join(after)}" if after else None}
        executor.update_parameters(
            **asked.settings(study.specification.name),
            slurm_additional_parameters={k: v for k, v in options.items() if v is not None},
        )
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks.values()]
        submitted.update({n: job.job_id for n, job in zip(tasks, jobs, strict=True)})
        write_json_atomic(record, {"jobs": before | submitted})

    new = {
        name: _Task(name, generator, study, load_verbs)
        for name, generator in needs.items()
        if name not in live
    }
    try:
        first = {n: task for n, task in new.items() if generator_job(n) is not None}
        if first:
            submit(first, [])
        later = {n: task for n, task in new.items() if n not in first}
        for generator in dict.fromkeys(task.generator for task in later.values()):
            group = {n: task for n, task in later.items() if task.generator == generator}
            made_by = [(live | submitted)[generator]] if generator is not None else []
            submit(group, made_by)
        if new or not waiting:
            all_jobs = [job for n, job in (live | submitted).items() if n in needs]
            submit({CLOSING: _Closing(study, load_verbs, report, all_jobs, cells)}, all_jobs)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        done = f"{count(len(submitted), 'job')} had been submitted" if submitted else "No job was"
        raise UserError(
            f"--executor slurm: sbatch refuses: {str(error).strip()} {done}; see squeue. Mend the "
            "--slurm flags and give the command again: what is in the queue is left there."
        ) from error
    return submitted


def _queue() -> set[str]:
    """Numbers of this user's jobs that wait or run, of arrays one for each task.

    Raises:
        UserError: The cluster does not answer.
    """
    words = ["squeue", "--noheader", "--array", "--me", "--format=%i"]
    asked = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if asked.returncode:
        raise UserError(
            f"--executor slurm: the cluster does not answer ({asked.stderr.strip()}). Nothing was "
            "submitted. Try again once squeue does."
        )
    return set(asked.stdout.split())


def submission_lines(submitted: Mapping[str, str], out: Path) -> list[str]:
    """What a person reads after the jobs were submitted."""
    if not submitted:
        return ["Nothing was submitted."]
    arrays = ", ".join(dict.fromkeys(job.split("_")[0] for job in submitted.values()))
    words = " ".join([Path(sys.argv[0]).name, "report", str(out)])
    return [
        f"{count(len(submitted), 'job')} submitted ({arrays}); squeue shows them, and "
        f"{out}/slurm/jobs.json which is which. The last one writes the report.",
        f"Before then: python {words}. What failed or was lost: give this command again.",
    ]

"""Gives what a study lacks to a SLURM cluster, through submitit."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from display.numbers import count
from provenance import UserError, read_json, write_json_atomic
from studies.run.folder import Study
from studies.run.slurm.asked import SlurmJobs
from studies.run.slurm.jobs import Closing, Task
from studies.run.verbs import Verbs
from studies.specification.generator_names import generator_job
from wandb_runs.environment import Destination

CLOSING = "report"
# So many time limits may pass before SLURM gives a job up.
_MOST_REQUEUES = 1000


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
        name: Task(name, generator, study, load_verbs)
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
            submit({CLOSING: Closing(study, load_verbs, report, all_jobs, cells)}, all_jobs)
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

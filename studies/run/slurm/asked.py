"""What is asked of SLURM for the jobs of a study."""

import shutil
from dataclasses import dataclass
from typing import Any

from provenance import UserError
from studies.specification.specification import PROJECT_ROOT


@dataclass(frozen=True)
class SlurmJobs:
    """What is asked of SLURM for every job of a study.

    Attributes:
        partition: Partition of the jobs; None: the cluster's default.
        account: Account of the jobs, if the site requires one.
        qos: Quality of service of the jobs, if the site requires one.
        hours: Time limit of a job in hours. Two minutes before it, the job is requeued, and later
            continues from its checkpoint.
        gpus: GPUs per job; 0 for none.
        cpus: Cores per job.
        memory_gb: Memory per job in GB.
        at_once: Largest number of jobs that run at a time, for each array of the study.
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

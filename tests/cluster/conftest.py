"""A SLURM cluster of two nodes, both on this machine, for as long as the tests of this folder."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Cluster:
    """Commands of SLURM, and a wait for jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Nodes are no names of hosts here, and the first one is where ranks meet.
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "MASTER_ADDR": "127.0.0.1",
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "WANDB_MODE": "disabled",
            # Where jobs find the callback of `holding.py`.
            "PYTHONPATH": str(ROOT / "tests/cluster"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
        }

    def run(self, *words: str) -> str:
        """What a command printed; a test fails with its words where it fails."""
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def submit(self, *words: str) -> str:
        """The number of a job, by sbatch."""
        return self.run("sbatch", "--parsable", *words).strip()

    def shown(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of a job."""
        text = self.run("scontrol", "show", "job", "-o", job)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def wait(self, job: str, seconds: float, log: Path) -> dict[str, str]:
        """A job once it has ended."""
        until = time.monotonic() + seconds
        ended = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY")
        while (shown := self.shown(job))["JobState"] not in ended:
            written = log.read_text()[-3000:] if log.is_file() else ""
            assert time.monotonic() < until, f"{shown}\n{written}"
            time.sleep(1)
        return shown


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Started by `make cluster-up`'s own script; skips where SLURM is not installed."""
    found = f"{os.environ['PATH']}:/usr/sbin"
    for program in ("slurmctld", "slurmd", "munged"):
        if shutil.which(program, path=found) is None:
            pytest.skip(f"{program} is not installed (Debian: slurm-wlm and munge)")
    if Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("this machine is configured for a SLURM of its own")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1] // 10 * 10)
    # Not in pytest's folder: the name of a socket has an end.
    folder = Path(tempfile.mkdtemp(prefix="cluster_"))
    environment = {**os.environ, "CLUSTER_PORT": port}
    environment.pop("SLURM_CONF", None)
    up, down = ([str(ROOT / f"scripts/cluster/{way}.sh"), str(folder)] for way in ("up", "down"))
    subprocess.run(up, env=environment, check=True, timeout=120)
    try:
        yield Cluster(folder)
    finally:
        subprocess.run(down, env=environment, check=True, timeout=120)
        shutil.rmtree(folder)

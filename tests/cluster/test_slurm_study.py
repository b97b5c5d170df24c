"""A study whose cells are jobs of a SLURM cluster, by verbs that learn nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance import read_json
from studies.run.outcome import StudyOutcome
from studies.run.runner import run_study
from studies.run.slurm.asked import SlurmJobs
from studies.run.slurm.submit import CLOSING
from studies.specification.read import parse_specification
from study import report
from tests.cluster.conftest import ROOT, Cluster

FAKES = ROOT / "tests/studies"
sys.path.insert(0, str(FAKES))
import fake_verbs  # noqa: E402

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PLAN = {
    "name": "small",
    "title": "Small study",
    "question": "Does synthetic data help?",
    "seeds": [0, 1],
    "metric": {"name": "iou_mean", "title": "IoU"},
    "generator": {"config": "configs/gan.yaml", "num_images": 8},
    "scenarios": [
        {"id": 1, "name": "real only"},
        {"id": 3, "name": "real + synthetic", "synthetic": True},
    ],
    "models": [{"name": "fpn", "title": "FPN", "config": "configs/fpn.yaml"}],
    "baseline_scenario": 1,
}


def kill_node(cluster: Cluster, node: str, job: str) -> None:
    """A machine dies: its daemon and all that a job ran there, before any can tell of it."""
    marks = {
        f"SLURM_JOB_ID={cluster.shown(job)['JobId']}",
        f"SLURM_CONF={cluster.folder}/slurm.conf",
    }
    daemon = int((cluster.folder / f"run/{node}.pid").read_text())
    tasks, keepers = [], {daemon}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marks <= set((entry / "environ").read_text().split("\0")):
                tasks.append(int(entry.name))
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                    keepers.add(parent)
        except OSError:  # of somebody else, or gone
            continue
    for process in (*keepers, *(task for task in tasks if task not in keepers)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_a_failed_cell_and_a_lost_node_cost_no_other(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "control").mkdir()
    fake_verbs_at = os.pathsep.join([str(FAKES), str(ROOT)])
    for name, value in {**cluster.environment, "PYTHONPATH": fake_verbs_at}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UNDERSTUDY_FAKE", str(tmp_path / "control"))
    fake_verbs.write_cache(tmp_path / "data")
    out = tmp_path / "out"
    said: list[str] = []

    def run() -> StudyOutcome:
        return run_study(
            parse_specification(PLAN, "small.yaml"),
            tmp_path / "data",
            out,
            fake_verbs.load_verbs,
            executor="slurm",
            slurm=SlurmJobs(hours=0.5, gpus=1, cpus=2, memory_gb=1),
            report=report,
            say=said.append,
        )

    fake_verbs.order("1__fpn__seed0", "fail")
    fake_verbs.order("3__fpn__seed1", "sleep")
    submitted = run().submitted
    assert submitted is not None
    made = {f"generator__seed{seed}" for seed in (0, 1)}
    cells = {f"{scenario}__fpn__seed{seed}" for scenario in (1, 3) for seed in (0, 1)}
    assert submitted.keys() == made | cells | {CLOSING}
    assert read_json(out / "slurm/jobs.json") == {"jobs": submitted}

    lost = submitted["3__fpn__seed1"]
    until = time.monotonic() + 240
    while "sleeping 3__fpn__seed1" not in fake_verbs.events():
        assert time.monotonic() < until, (fake_verbs.events(), cluster.run("squeue", "--array"))
        time.sleep(1)
    again = run().submitted
    assert again is not None
    assert lost not in again.values()
    assert "in the queue already" in "\n".join(said)
    fake_verbs.order("3__fpn__seed1", "")
    node = cluster.shown(lost)["NodeList"]
    kill_node(cluster, node, lost)
    log = next((out / "slurm").glob(f"{lost}_*.out"))
    shown = cluster.wait(lost, 400, log)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1"), log.read_text()
    assert "fit 3__fpn__seed1 resumed" in fake_verbs.events()
    assert cluster.shown(submitted["1__fpn__seed0"])["JobState"] == "FAILED"
    failure = read_json(out / "cells/1__fpn__seed0.failed.json")
    assert failure["message"] == "ValueError: the loss is not finite"
    cluster.wait(submitted[CLOSING], 240, log)
    finished = {path.stem for path in (out / "cells").glob("*seed[0-9].json")}
    assert finished == cells - {"1__fpn__seed0"}
    assert (out / "report.html").is_file()

    subprocess.run(["slurmd", "-N", node], env=cluster.environment, check=True, timeout=60)
    fake_verbs.order("1__fpn__seed0", "")
    last = run().submitted
    assert last is not None
    assert last.keys() == {"1__fpn__seed0", CLOSING}
    assert cluster.wait(last[CLOSING], 240, log)["JobState"] == "COMPLETED"
    assert (out / "cells/1__fpn__seed0.json").is_file()
    fits = [event for event in fake_verbs.events() if event.startswith("fit ")]
    others = [event for event in fits if "1__fpn__seed0" not in event]
    assert len(others) == len(set(others)) == len(made | cells)  # each once, the lost one resumed

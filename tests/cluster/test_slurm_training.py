"""Trainings as SLURM jobs, by the templates that users submit."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from tests.cluster.conftest import Cluster
from tests.cluster.holding import REQUEUES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1600)]

TRAIN, TORCHRUN = "scripts/slurm_train.sh", "scripts/slurm_torchrun.sh"


def flags(cache: Path) -> list[str]:
    """Nine steps of a small Pix2Pix on CPU cores, three an epoch."""
    return [
        "--model.generator.width=4",
        "--model.generator.noise_channels=3",
        "--model.discriminator.width=4",
        "--model.discriminator.num_layers=2",
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--data.num_workers=0",
        "--data.augmentation=geometric",
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=3",
        "--checkpoint_every_steps=1",
        "--samples_every_epochs=0",
    ]


def last(run_folder: Path) -> dict[str, Any]:
    return torch.load(run_folder / "checkpoints/last.ckpt", weights_only=True)


def assert_same_bits(run_folder: Path, other: Path) -> None:
    """Two finished runs have the same progress, weights and moments of their optimisers."""
    cut, uncut = last(run_folder), last(other)
    assert cut["progress"] == uncut["progress"]
    assert (
        cut["optimizer_states"][0]["state"].keys() == uncut["optimizer_states"][0]["state"].keys()
    )
    for name, value in uncut["state_dict"].items():
        assert torch.equal(cut["state_dict"][name], value), name
    for ours, theirs in zip(cut["optimizer_states"], uncut["optimizer_states"], strict=True):
        for number, moments in theirs["state"].items():
            assert all(torch.equal(ours["state"][number][key], moments[key]) for key in moments)


def submitted(
    cluster: Cluster,
    options: list[str],
    script: str,
    run_folder: Path,
    words: list[str],
    requeues: int = 0,
) -> tuple[dict[str, str], str]:
    """A job of a template, once it has ended, and its log.

    After so many requeues it gets time to end in, however busy the machine.
    """
    log = run_folder.with_suffix(".out")
    config = "configs/kits19/pix2pix.yaml"
    job = cluster.submit(f"--output={log}", *options, script, config, str(run_folder), *words)
    while int(cluster.shown(job)["Restarts"]) < requeues:
        assert cluster.shown(job)["JobState"] in ("PENDING", "RUNNING", "COMPLETING"), (
            log.read_text()
        )
        time.sleep(5)
    if requeues:
        cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=20")
    return cluster.wait(job, 900, log), log.read_text()


@pytest.fixture(scope="module")
def whole(cluster: Cluster, small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two nodes with a task each, which nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    nodes = ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1"]
    shown, log = submitted(cluster, nodes, TRAIN, folder, flags(small_cache))
    assert (shown["JobState"], shown["NumNodes"]) == ("COMPLETED", "2"), log
    return folder


def test_two_tasks_on_two_nodes_train_as_one_process(
    whole: Path, small_cache: Path, tmp_path: Path
) -> None:
    config = "--config=configs/kits19/pix2pix.yaml"
    alone = tmp_path / "alone"
    train.fit(["fit", config, *flags(small_cache), f"--run_folder={alone}", "--wandb=disabled"])
    assert last(whole)["progress"] == {"steps_done": 9, "images_seen": 36}
    for name, value in last(alone)["state_dict"].items():
        torch.testing.assert_close(last(whole)["state_dict"][name], value, rtol=0, atol=1e-10)


def test_requeued_at_its_time_limit_it_ends_with_the_same_bits(
    cluster: Cluster, whole: Path, small_cache: Path, tmp_path: Path
) -> None:
    # SLURM looks at limits every 30 seconds and takes whole minutes: USR1 comes 89 to 119 s in.
    limit = ["--time=2", "--signal=B:USR1@1", "--ntasks-per-node=2", "--gpus-per-node=2"]
    words = [*flags(small_cache), "--trainer.callbacks=holding.HoldsForTheTimeLimit"]
    shown, log = submitted(cluster, limit, TRAIN, tmp_path / "run", words, REQUEUES)
    assert shown["JobState"] == "COMPLETED", log
    assert int(shown["Restarts"]) >= REQUEUES, log  # more on a machine too busy for a step
    assert_same_bits(tmp_path / "run", whole)


def test_a_time_limit_after_the_first_steps_changes_no_bit(
    cluster: Cluster, whole: Path, small_cache: Path, tmp_path: Path
) -> None:
    """The limit is set once there is a checkpoint, so that a slow machine loses it no less."""
    folder, log = tmp_path / "run", tmp_path / "run.out"
    limit = ["--time=20", "--signal=B:USR1@1", "--ntasks-per-node=2", "--gpus-per-node=2"]
    words = [*flags(small_cache), "--trainer.callbacks=holding.HoldsForTheTimeLimit"]
    words.append("--trainer.callbacks.requeues=1")
    config = "configs/kits19/pix2pix.yaml"
    job = cluster.submit(f"--output={log}", *limit, TRAIN, config, str(folder), *words)
    until = time.monotonic() + 600
    while not (folder / "checkpoints/last.ckpt").is_file():
        assert cluster.shown(job)["JobState"] in ("PENDING", "RUNNING"), log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(1)
    # USR1 comes at most 30 seconds before the limit. One that is nearer kills the job at once.
    hours, minutes, seconds = map(int, cluster.shown(job)["RunTime"].split(":"))
    minutes = 60 * hours + minutes + (1 if seconds < 20 else 2)
    cluster.run("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")
    while int(cluster.shown(job)["Restarts"]) < 1:
        assert cluster.shown(job)["JobState"] in ("RUNNING", "COMPLETING", "PENDING"), (
            log.read_text()
        )
        assert time.monotonic() < until, log.read_text()
        time.sleep(1)
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=20")
    shown = cluster.wait(job, 600, log)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1"), log.read_text()
    assert_same_bits(folder, whole)


def test_torchrun_on_two_nodes_gives_the_bits_of_srun(
    cluster: Cluster, whole: Path, small_cache: Path, tmp_path: Path
) -> None:
    shown, log = submitted(
        cluster, ["--gpus-per-node=1"], TORCHRUN, tmp_path / "run", flags(small_cache)
    )
    assert (shown["JobState"], shown["NumNodes"]) == ("COMPLETED", "2"), log
    assert not re.search(r"Traceback", log), log
    for name, value in last(whole)["state_dict"].items():
        assert torch.equal(last(tmp_path / "run")["state_dict"][name], value), name

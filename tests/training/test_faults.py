"""What ends a training from outside: a full disk, a signal, a process that is killed.

Each time: a sentence, an exit status, whole checkpoints, and a resumed run that ends as an
undisturbed one does. Real mounts, and processes of their own, are `slow`.
"""

import gc
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from command_line import run_verb
from lightning_modules import Segmenter
from lightning_modules.checkpoint_files import load_checkpoint_file
from training.run_folder import checkpoint_folder
from worker_pool import lost_loader

ROOT = Path(__file__).parents[2]
AtStep = Callable[[int, Callable[[Segmenter], None]], None]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def words(cache: Path, folder: Path, *more: str) -> list[str]:
    """Two epochs of three steps."""
    return [
        "fit",
        "--config=configs/kits19/unet_light.yaml",
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--model.network.width=8",
        "--model.network.depth=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
        *more,
    ]


def state(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = last(folder)["state_dict"]
    return weights


def last(folder: Path) -> dict[str, Any]:
    """The last checkpoint, which is whole: its hash is compared."""
    return load_checkpoint_file(checkpoint_folder(folder) / "last.ckpt")


@pytest.fixture(scope="module")
def whole(small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of the undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    command = words(small_cache, folder)
    command[1] = f"--config={ROOT / 'configs/kits19/unet_light.yaml'}"
    train.fit(command)
    return state(folder)


def assert_same(folder: Path, whole: dict[str, torch.Tensor]) -> None:
    found = state(folder)
    assert all(torch.equal(found[name], value) for name, value in whole.items())


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> AtStep:
    """Do something at the end of a step, once; a resumed run does not do it again."""
    end_step, done = Segmenter.end_step, []

    def ask(step: int, what: Callable[[Segmenter], None]) -> None:
        def ended(self: Segmenter, size: int, values: dict[str, torch.Tensor]) -> None:
            end_step(self, size, values)
            if self.steps_done == step and not done:
                done.append(step)
                what(self)

        monkeypatch.setattr(Segmenter, "end_step", ended)

    return ask


@pytest.mark.parametrize("step", [2, 3])  # 3 is the last one of an epoch
def test_sigterm_leaves_a_checkpoint_of_this_step(
    step: int, small_cache: Path, tmp_path: Path, at_step: AtStep, whole: Any, capfd: Any
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    at_step(step, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    command = words(small_cache, tmp_path / "run")
    assert run_verb("train.py", lambda: train.main(command)) == 143
    told = capfd.readouterr().err
    assert "stopped." in told
    assert "--resume true" in told
    assert last(tmp_path / "run")["progress"]["steps_done"] == step
    assert signal.getsignal(signal.SIGTERM) == before
    train.fit([*command, "--resume=true"])
    assert_same(tmp_path / "run", whole)


def test_a_full_disk_at_a_checkpoint(
    small_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, save, calls = tmp_path / "run", torch.save, []

    def filled(content: Any, stream: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            stream.write(b"half")
            raise OSError(28, "No space left on device")
        save(content, stream)

    monkeypatch.setattr(torch, "save", filled)
    command = words(small_cache, folder)
    assert run_verb("train.py", lambda: train.main(command)) == 2
    told = capsys.readouterr().err
    assert re.search(rf"{folder}/checkpoints/(best|last).ckpt: this checkpoint could not be", told)
    assert "the disk is full: the file takes 0.4 MB, " in told
    assert "the earlier one of that name is kept. Training stops here. Make room" in told
    assert last(folder)["progress"]["steps_done"] == 3
    assert not list(folder.rglob("*.part"))
    train.fit([*command, "--resume=true"])
    assert_same(folder, whole)


def test_weights_that_are_no_numbers_are_in_no_checkpoint(
    small_cache: Path, tmp_path: Path, at_step: AtStep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Losses are looked at every so many steps; a checkpoint may come before."""

    def poison(module: Segmenter) -> None:
        with torch.no_grad():
            next(module.network.parameters()).view(-1)[0] = float("nan")

    at_step(2, poison)
    seldom = ["--checkpoint_every_steps=1", "--trainer.log_every_n_steps=50"]
    command = words(small_cache, tmp_path / "run", *seldom)
    assert run_verb("train.py", lambda: train.main(command)) == 2
    told = capsys.readouterr().err
    assert "diverged by 8 images: network." in told
    assert "last.ckpt was not written; earlier checkpoints are kept. Lower" in told
    assert last(tmp_path / "run")["progress"]["steps_done"] == 1
    assert all(value.isfinite().all() for value in state(tmp_path / "run").values())


def test_a_killed_loader_ends_in_a_sentence(
    small_cache: Path, tmp_path: Path, at_step: AtStep, whole: Any, capfd: Any
) -> None:
    def kill(_: Segmenter) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    at_step(4, kill)
    command = words(small_cache, tmp_path / "run", "--data.num_workers=1")
    assert run_verb("train.py", lambda: train.main(command)) == 2
    told = capfd.readouterr().err
    assert "--data.num_workers 1: a process that loads images was ended" in told
    assert "--resume true" in told
    assert "Traceback" not in told
    # A run goes on in a process of its own; here the first one's loader is still known to torch,
    # which looks at all of its workers whenever any child of this process ends.
    gc.collect()
    train.fit([*command, "--resume=true"])
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_named_whoever_reads_it(
    workers: int, small_cache: Path, tmp_path: Path, capfd: Any
) -> None:
    cache = shutil.copytree(small_cache, tmp_path / "cache")
    path = sorted((cache / "arrays").glob("*_image.npy"))[0]
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    command = words(cache, tmp_path / "run", f"--data.num_workers={workers}")
    assert run_verb("train.py", lambda: train.main(command)) == 2
    told = capfd.readouterr().err
    assert f"train.py: {path}: row " in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory.",
            "/dev/shm",
        ),
        (
            "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared "
            "memory(shm) for file </torch_7_1>: No space left on device (28)",
            "/dev/shm",
        ),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", "was ended from outside"),
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "was ended by signal Killed"),
        ("Caught ValueError in DataLoader worker process 0.", None),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_what_torch_says_of_its_loaders_is_worded(told: str, expected: str | None) -> None:
    found = lost_loader(RuntimeError(told), 4, "--data.num_workers")
    assert (found is None) == (expected is None)
    if expected is not None:
        assert expected in str(found)
        assert str(found).startswith("--data.num_workers 4: ")


# ---- processes of their own ----------------------------------------------------------------------

without_mounts = pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to mount (root)",
)


def shell(script: str, **names: object) -> subprocess.CompletedProcess[str]:
    """Run a script with mounts of its own; its variables are these names."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | {k: str(v) for k, v in names.items()}
    return subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def as_shell(command: list[str]) -> str:
    return " ".join([sys.executable, "train.py", *command])


@pytest.mark.slow
@without_mounts
def test_a_disk_that_is_really_full(small_cache: Path, tmp_path: Path, whole: Any) -> None:
    """Room for one checkpoint and a half; then more room."""
    (tmp_path / "disk").mkdir()
    command = as_shell(words(small_cache, tmp_path / "disk/run"))
    ended = shell(
        f"mount -t tmpfs -o size=600k tmpfs $disk; {command}; echo status $?; ls -A "
        f"$disk/run/checkpoints; mount -o remount,size=8m $disk; {command} --resume=true && "
        "cp -r $disk/run $kept",
        disk=tmp_path / "disk",
        kept=tmp_path / "kept",
    )
    assert "the disk is full: the file takes 0.4 MB, 0." in ended.stderr
    assert "status 2" in ended.stdout
    assert ".part" not in ended.stdout
    assert_same(tmp_path / "kept", whole)


@pytest.mark.slow
@without_mounts
@pytest.mark.parametrize("size", ["8k", "120k"])
def test_a_small_shared_memory(size: str, small_cache: Path, tmp_path: Path) -> None:
    more = ["--data.num_workers=2", "--data.batch_size=12", "--trainer.max_epochs=40"]
    command = as_shell(words(small_cache, tmp_path / "run", *more))
    ended = shell(f"mount -t tmpfs -o size={size} tmpfs /dev/shm; {command}; echo status $?")
    assert "status 2" in ended.stdout
    assert "hand them on through /dev/shm" in ended.stderr
    assert "--data.num_workers 0" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_another(
    victim: int, how: signal.Signals, small_cache: Path, tmp_path: Path
) -> None:
    """Of two that train as one; the first one starts the second, as Lightning does."""
    folder = tmp_path / "run"
    more = ["--trainer.devices=2", "--trainer.max_epochs=2000", "--data.num_workers=1"]
    first = subprocess.Popen(
        [sys.executable, "train.py", *words(small_cache, folder, *more)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.monotonic()
        written: set[int] = set()
        while len(written) < 2:  # by then at least two epochs of three steps are done
            with suppress(FileNotFoundError):
                written.add((checkpoint_folder(folder) / "last.ckpt").stat().st_mtime_ns)
            assert first.poll() is None, "it ended before it was struck"
            assert time.monotonic() - started < 900  # both processes import Lightning meanwhile
            time.sleep(0.2)
        second = launched_by(first.pid, folder)
        os.kill(first.pid if victim == 0 else second, how)
        struck = time.monotonic()
        _, told = first.communicate(timeout=120)
        while processes_of(folder):
            assert time.monotonic() - struck < 60, "orphans"
            time.sleep(0.2)
    finally:
        for path in processes_of(folder):  # of a test that failed: they would train for hours
            with suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)
    if how == signal.SIGTERM:
        assert first.returncode == 143, told
        assert last(folder)["progress"]["steps_done"] >= 6
    else:
        assert first.returncode != 0
        last(folder)


def processes_of(folder: Path) -> list[Path]:
    """Processes, loaders too, whose command names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (path / "cmdline").read_bytes():
                found.append(path)
        except OSError:  # ended meanwhile
            continue
    return found


def launched_by(first: int, folder: Path) -> int:
    """The second process of a training, which has its loaders' command and environment."""
    second = []
    for path in processes_of(folder):
        with suppress(OSError):  # a loader that has ended meanwhile
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == first and b"LOCAL_RANK=1" in (path / "environ").read_bytes():
                second.append(int(path.name))
    assert len(second) == 1, second
    return second[0]

"""Places that cannot be written: data are read from them, results are refused with a sentence."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import evaluate
import prepare
import train
from command_line import run_verb
from tests.conftest import write_cache

ROOT = Path(__file__).parents[1]
_VERSION, _OVERRIDE = 0x20080522, 1 << 1  # of capget(2); CAP_DAC_OVERRIDE


@contextmanager
def modes_count() -> Iterator[None]:
    """Root writes into what it may only read: without that right, modes count for it too."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, data) == 0
    before = data[0]  # the effective ones
    data[0] = before & ~_OVERRIDE
    assert libc.capset(head, data) == 0
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(head, data) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a cache, and `closed`: both may only be read."""
    monkeypatch.chdir(ROOT)
    write_cache(tmp_path / "cache")
    (tmp_path / "closed").mkdir()
    closed = [tmp_path / "closed", tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    for path in closed:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with modes_count():
        yield tmp_path
    for path in closed:
        path.chmod(0o755)


def words(cache: Path, folder: Path) -> list[str]:
    return [
        "fit",
        "--config=configs/kits19/unet_light.yaml",
        f"--data.root={cache}",
        "--data.batch_size=8",
        "--model.network.width=8",
        "--model.network.depth=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        f"--run_folder={folder}",
    ]


def test_data_that_cannot_be_written_are_trained_on_and_evaluated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((folder / "cache").rglob("*"))
    checkpoint = train.fit(words(folder / "cache", folder / "results/run")).best_checkpoint
    out = folder / "results/scores"
    command = ["--checkpoint", str(checkpoint), "--out", str(out), "--device", "cpu"]
    assert run_verb("evaluate.py", lambda: evaluate.main(command)) == 0
    assert (out / "evaluation.json").is_file()
    assert sorted((folder / "cache").rglob("*")) == before

    closed = folder / "closed"
    refused = [*command[:2], "--out", str(closed / "scores"), "--device", "cpu"]
    phantom = ["phantom_ct", "--out", str(closed / "cache"), "--num-patients", "6"]
    verbs = {
        "evaluate.py": lambda: evaluate.main(refused),
        "prepare.py": lambda: prepare.main(phantom),
        "train.py": lambda: train.main(words(folder / "cache", closed / "run")),
    }
    for name, verb in verbs.items():
        assert run_verb(name, verb) == 2
        told = capsys.readouterr().err
        assert "Permission denied" in told
        assert str(closed) in told.split(f"\n{name}: ")[-1]
        assert "Traceback" not in told
    assert not list(closed.iterdir())

"""Child processes that read files: what they can import, and how they start."""

import sys
from pathlib import Path

import pytest

import worker_pool
from tests.forking import preload

# The fuzzer's modules must be importable in the child processes that read damaged files.
sys.path.insert(0, str(Path(__file__).parent / "fuzzing"))
preload(
    *("nibabel", "pydicom", "PIL.Image", "skimage.exposure"),
    *("preparation.films.prepare", "preparation.synthetic.command", "preparation.volumes.prepare"),
)


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of files are processes of their own, but import nothing anew.

    As users start them they are in tests/test_worker_pool.py and where prepare.py is a process.
    """
    monkeypatch.setattr(worker_pool, "_START_METHOD", "forkserver")

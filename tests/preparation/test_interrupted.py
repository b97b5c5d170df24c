"""The verb: how a run is stopped, goes on, and ends with the same bytes."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.prepare_runs import assert_same_bytes_wherever_stopped, contents, kits19, make_source

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path):
    return make_source(tmp_path / "source")


def test_workers_change_nothing(source, tmp_path):
    assert kits19(source, tmp_path / "one") == 0
    assert kits19(source, tmp_path / "two", "--workers", "2") == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_killed_and_repeated_ends_with_the_same_bytes(tmp_path):
    source = make_source(tmp_path / "source", num=25, shape=(8, 48, 48))
    assert kits19(source, tmp_path / "whole") == 0
    out = tmp_path / "killed"
    words = ["kits19", "--source", source, "--out", out, "--keep-patient-names"]
    command = [sys.executable, "prepare.py", *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(out.glob("records/*.json"))) < 2:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert kits19(source, out) == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_stopped_at_any_file_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """Every rename is one point at which a kill can strike; each leaves a half-written file."""
    source = make_source(tmp_path / "source", num=3)
    assert_same_bytes_wherever_stopped(kits19, source, tmp_path, monkeypatch, 12)


def test_a_full_disk_stops_with_a_sentence_and_keeps_what_is_done(
    source, tmp_path, monkeypatch, capsys
):
    calls = iter(range(1000))
    fsync = os.fsync

    def full(handle):
        if next(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert kits19(source, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "the disk is full" in said
    assert "run the same command again" in said
    monkeypatch.setattr(os, "fsync", fsync)
    assert not list((tmp_path / "out").rglob("*.part"))
    assert list((tmp_path / "out/records").glob("*.json"))
    assert kits19(source, tmp_path / "out") == 0
    assert kits19(source, tmp_path / "fresh") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_two_prepares_do_not_share_a_folder(source, tmp_path, capsys):
    import fcntl

    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/.lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert kits19(source, tmp_path / "out") == 2
    assert "another prepare.py is working on it" in capsys.readouterr().err

"""A report on a full disk: the earlier one stays whole, and the sentence says what was lacking."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import run_verb
from studies.report.write import build_report
from tests.studies.report.test_foreign_folder import study

__all__ = ["study"]  # a fixture: a finished study
pytestmark = pytest.mark.usefixtures("unrendered")
NAMES = ("report.json", "report.md", "report.html")


def test_an_earlier_report_stays_whole(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_report(study)
    whole = {name: (study / name).read_bytes() for name in NAMES}
    fsync = os.fsync
    for number in range(len(NAMES)):
        calls = iter(range(99))

        def full(handle: int, number: int = number, calls: Iterator[int] = calls) -> None:
            if next(calls) == number:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(handle)

        monkeypatch.setattr(os, "fsync", full)
        assert run_verb("study.py", lambda: build_report(study) and 0) == 2
        told = capsys.readouterr().err
        assert f"study.py: {study / NAMES[number]}: the disk is full: the file takes " in told
        assert "give the same command again" in told
        assert all((study / name).stat().st_size == len(whole[name]) for name in NAMES)
        assert not list(study.rglob("*.part"))
    monkeypatch.setattr(os, "fsync", fsync)
    build_report(study)
    assert sorted(whole) == sorted(name for name in NAMES if (study / name).is_file())

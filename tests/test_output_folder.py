"""Whose a folder is: begun, gone on with, and never another's."""

import json
import multiprocessing

import pytest

from output_folder import LOCK, check_folder, claim_folder, differences, locked
from provenance import UserError

SETTINGS = {"size": 8, "window": [400, 50], "split": {"by": "patient", "seed": 0}}


def claim(folder, settings, **more):
    claim_folder(folder, "settings.json", settings, "cache", **more)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_an_empty_and_an_own_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new/inner", "empty"):
        folder = tmp_path / name
        claim(folder, SETTINGS, note={"synthetic": True})
        written = json.loads((folder / "settings.json").read_text())
        assert written == {**SETTINGS, "synthetic": True}
        before = contents(folder)
        claim(folder, {**SETTINGS, "window": (400.0, 50)}, note={"synthetic": False})
        assert contents(folder) == before


def test_other_settings_are_named_and_nothing_is_changed(tmp_path):
    claim(tmp_path, SETTINGS)
    (tmp_path / ".a.part").write_text("half")
    before = contents(tmp_path)
    other = {"size": 16, "window": [400, 50], "split": {"by": "patient", "seed": 1}, "new": "x"}
    with pytest.raises(UserError) as caught:
        claim(tmp_path, other)
    assert str(caught.value) == (
        f"{tmp_path}: holds another cache (size was 8, is now 16; split.seed was 0, is now 1; "
        "new was null, is now x). Nothing was changed. Give the settings of before, or another "
        "--out."
    )
    assert contents(tmp_path) == before
    claim(tmp_path, other, may_differ=True)
    assert json.loads((tmp_path / "settings.json").read_text()) == other
    for content in ("[]", '{"size": {}}'):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(UserError, match="is now 8"):
            claim(tmp_path, SETTINGS)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(UserError, match="is not readable JSON"):
        claim(tmp_path, SETTINGS)


def test_what_a_killed_write_left_is_nobodys(tmp_path):
    (tmp_path / "arrays").mkdir()
    half = tmp_path / ".settings.json.0123.part"
    for path in (half, tmp_path / LOCK):
        path.write_text("half")
    with pytest.raises(UserError, match=r"holds 1 file\(s\)"):
        claim(tmp_path, SETTINGS)
    (tmp_path / "arrays").rmdir()
    claim(tmp_path, SETTINGS)
    (tmp_path / "arrays").mkdir()
    for name in (".a.npy.0123.part", "part.json", "a.npy.part"):
        (tmp_path / "arrays" / name).write_text("")
    claim(tmp_path, SETTINGS)
    assert set(contents(tmp_path)) == {"settings.json", LOCK, "part.json", "a.npy.part"}


def test_what_is_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "Doe_Jane.dcm").write_text("a film")
    with pytest.raises(UserError, match=r"holds 1 file.* but no settings\.json") as caught:
        claim(tmp_path, SETTINGS)
    assert "Doe" not in str(caught.value)  # names of files may identify
    with pytest.raises(UserError, match="is a file, expected a folder"):
        claim(tmp_path / "Doe_Jane.dcm", SETTINGS)
    assert contents(tmp_path) == {"Doe_Jane.dcm": b"a film"}
    assert not check_folder(tmp_path, "result.json", {}, "result", foreign=["table.csv"])
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(UserError, match=r"holds table\.csv but no result\.json"):
        check_folder(tmp_path, "result.json", {}, "result", foreign=["table.csv"])


def test_differences_of_trees():
    sha = "0123456789abcdef" * 4
    was = {"data": {"sha256": sha, "size": 8}, "flags": ["a"], "gone": "x"}
    now = {"data": {"sha256": sha[::-1], "size": 8}, "flags": ["a" * 200]}
    assert differences(was, now) == [
        "data.sha256 was 0123456789ab..., is now fedcba987654...",
        'flags was ["a"], is now ["' + "a" * 115 + "...",
        "gone was x, is now null",
    ]


def _hold(folder, held, release):
    with locked(folder, "prepare.py"):
        held.set()
        release.wait(60)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="forks")
def test_one_command_at_a_time(tmp_path):
    fork = multiprocessing.get_context("fork")
    held, release = fork.Event(), fork.Event()
    other = fork.Process(target=_hold, args=(tmp_path / "out", held, release))
    other.start()
    assert held.wait(60)
    with (
        pytest.raises(UserError, match=r"out: another prepare\.py is working on it"),
        locked(tmp_path / "out", "prepare.py"),
    ):
        pass
    other.kill()
    other.join()
    with locked(tmp_path / "out", "prepare.py"):
        pass

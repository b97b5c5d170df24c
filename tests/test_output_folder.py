"""Whose a folder is: begun, gone on with, and never another's."""

import json
import multiprocessing
from pathlib import Path

import pytest

import generate
from output_folder import LOCK, check_folder, claim_folder, differences, locked
from provenance import UserError
from tests import gan_runs
from tests.conftest import write_film_cache
from training.run_folder import forget_run_folder, hold_run_folder

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
        "new was null, is now x). Nothing was changed. Give the earlier settings, or another "
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


def test_of_a_long_list_of_flags_the_differing_ones_are_named():
    flags = [f"--a_setting_with_a_long_name_{number}" for number in range(12)]
    was = [word for flag in flags for word in (flag, "7")]
    now = [*was]
    now[9] = "8"
    assert differences({"arguments": was}, {"arguments": now}) == [
        f"arguments was [... {flags[4]} 7 ...], is now [... {flags[4]} 8 ...]"
    ]
    assert differences(was, [*was, "--new", "1"], "flags") == [
        "flags was [... 7], is now [... 7 --new 1]"
    ]
    assert differences(["--first", *was], was, "flags") == ["flags was [--first ...], is now [...]"]
    two = [*now]
    two[20:22] = []
    assert len(differences(was, two, "flags")) == 2


def test_differences_of_trees():
    sha = "0123456789abcdef" * 4
    was = {"data": {"sha256": sha, "size": 8}, "flags": ["a"], "gone": "x"}
    now = {"data": {"sha256": sha[::-1], "size": 8}, "flags": ["a" * 200]}
    assert differences(was, now) == [
        "data.sha256 was 0123456789ab..., is now fedcba987654...",
        "flags was [a], is now [" + "a" * 116 + "...",
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


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="forks")
def test_workers_that_live_on_hold_no_folder(tmp_path):
    fork = multiprocessing.get_context("fork")
    release = fork.Event()
    with locked(tmp_path / "out", "train.py"):
        worker = fork.Process(target=release.wait, args=(60,))
        worker.start()
    with locked(tmp_path / "out", "train.py"):
        pass
    release.set()
    worker.join()


def test_two_trainings_or_two_generations_of_one_folder_see_one_another(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    films, run, out = write_film_cache(tmp_path / "films"), tmp_path / "run", tmp_path / "set"
    small = ("--model.generator.width=2", "--model.discriminator.width=2")
    small += ("--data.images_per_epoch=4", "--data.label_column=none")

    def trained(*more):
        return gan_runs.trained(films, "dcgan", run, *small, *more)

    def generated():
        return generate.generate(checkpoint, 2, out, show_progress=False, device="cpu")

    held = r"another train\.py is working on it\. Wait for it, or give another --run_folder\."
    with locked(run, "train.py"):
        with pytest.raises(UserError, match=held):
            trained()
        assert list(contents(run)) == [LOCK]
    checkpoint = trained()
    before = contents(run)
    with locked(run, "train.py"):
        with pytest.raises(UserError, match=held):
            trained("--resume=true", "--trainer.max_epochs=2")
        with pytest.raises(UserError, match=held):
            trained()  # and not that it may be resumed
    assert contents(run) == before
    trained("--resume=true", "--trainer.max_epochs=2")  # its own lock is gone

    with locked(out, "generate.py"):
        with pytest.raises(UserError, match=r"set: another generate\.py is working on it"):
            generated()
        assert list(contents(out)) == [LOCK]
    generated()
    before = contents(out)
    generated()
    assert {**before, "manifest.json": b""} == {**contents(out), "manifest.json": b""}


def test_a_run_that_was_begun_meanwhile_is_not_overwritten(tmp_path):
    hold_run_folder(tmp_path, resume=False)
    forget_run_folder()
    (tmp_path / "config.yaml").write_text("of another process")
    with pytest.raises(UserError, match=r"holds a run already\. Nothing is overwritten"):
        hold_run_folder(tmp_path, resume=False)
    forget_run_folder()
    hold_run_folder(tmp_path, resume=True)
    forget_run_folder()


def test_what_kills_left_half_written_is_removed_from_a_run_and_nothing_else(tmp_path):
    left = ["checkpoints/.last.ckpt.4711.part", "samples/.epoch_0001.png.0a1b.part", ".m.9f.part"]
    kept = ["checkpoints/last.ckpt", "checkpoints/notes.part", "samples/.hidden.png", "metrics.csv"]
    for name in left + kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with locked(tmp_path, "train.py"):  # another training is writing them
        with pytest.raises(UserError, match=r"another train\.py is working on it"):
            hold_run_folder(tmp_path, resume=True)
        assert set(contents(tmp_path)) == {Path(name).name for name in left + kept} | {LOCK}
    hold_run_folder(tmp_path, resume=True)
    forget_run_folder()
    assert set(contents(tmp_path)) == {Path(name).name for name in kept} | {LOCK}

"""A W&B run on disk: one after a resume, nobody named, and offline where the server fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from tests.wandb_records import runs_of
from tests.wandb_runs.test_environment import KEY, server
from wandb_runs import run as wandb_run
from wandb_runs.environment import Destination
from wandb_runs.run import Labels, add_to_summary, begin_run, finish_run, labelled, run_id_of

__all__ = ["server"]
OFFLINE = Destination("offline", "there is no key")


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    """W&B reads the environment once in a process."""
    wandb.teardown()
    yield
    wandb.teardown()


def test_a_resumed_run_is_one_run_with_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_TAGS", "mine")
    folder = tmp_path / "run"
    labels = Labels("cell", "study", "training", ("tag",), {"study": {"seed": 0}})
    with labelled(labels):
        for resume in (False, True):
            run = begin_run(folder, OFFLINE, {"width": 4}, resume=resume)
            assert run is not None
            run.log({"images_seen": 8 + 8 * resume}, step=8 + 8 * resume)
            finish_run(failed=not resume)
        add_to_summary(folder, OFFLINE, {"test/iou": 0.5})
    lines = capsys.readouterr().out.splitlines()
    assert lines == 2 * [
        f"W&B: offline (there is no key), in {folder}/wandb. Nothing is sent until you do: "
        f"wandb sync {folder}/wandb/offline-run-*"
    ]
    parts = runs_of(folder)
    assert {part.run.run_id for part in parts} == {run_id_of(folder)}
    assert [part.exit_code for part in parts] == [1, 0, 0]
    assert [row["_step"] for part in parts for row in part.rows] == [8, 16]
    assert parts[2].summary["test/iou"] == 0.5
    for part in parts:
        assert (part.run.run_group, part.run.job_type, part.run.display_name) == (
            "study", "training", "cell"
        )  # fmt: skip
        assert list(part.run.tags) == ["tag", "mine"]
        assert part.config["study"] == {"seed": 0}
        assert part.run.host == "undisclosed"
    began = begin_run(folder, OFFLINE, {})
    assert began is not None
    finish_run()
    assert run_id_of(folder) != parts[0].run.run_id


def test_a_server_that_fails_leaves_an_offline_run_and_nothing_half_begun(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setattr(wandb_run, "_INIT_SECONDS", 2)
    run = begin_run(tmp_path / "run", Destination("online", "there is a key"), {})
    assert run is not None
    assert run.settings.mode == "offline"
    finish_run()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("W&B: offline (W&B did not begin the run: ")
    assert [path.name[:7] for path in (tmp_path / "run/wandb").glob("*run-*-*")] == ["offline"]


def test_no_summary_where_there_is_no_run(tmp_path: Path) -> None:
    add_to_summary(tmp_path, OFFLINE, {"test/iou": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_disabled_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert begin_run(tmp_path, Destination("disabled", "--wandb disabled"), {}) is None
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == "W&B: disabled (--wandb disabled): nothing is logged there.\n"

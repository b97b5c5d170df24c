"""What of a study is logged to Weights & Biases, read back from the offline records."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fake_verbs
import pytest

from provenance import UserError, read_json
from studies.report.wandb_report import log_report
from studies.report.write import build_report
from studies.run.runner import run_study
from studies.run.verbs import FitResult, Verbs
from studies.specification.read import parse_specification
from tests.wandb_records import runs_of
from wandb_runs.environment import Destination
from wandb_runs.run import begin_run, leave_run

pytestmark = pytest.mark.usefixtures("unrendered")

OFFLINE = Destination("offline", "--wandb offline")


def fit(args: list[str]) -> FitResult:
    """Learns nothing, as the fake one, but logs as the real one."""
    found = fake_verbs.fit(args)
    mode = args[len(args) - args[::-1].index("--wandb")]
    run = begin_run(found.run_folder, Destination(mode, f"--wandb {mode}"), {"width": 4})
    if run is not None:
        run.log({"val/iou_mean": 0.25, "images_seen": 8}, step=8)
    leave_run(failed=False)
    return found


def load_verbs() -> Verbs:
    return replace(fake_verbs.load_verbs(), fit=fit)


def test_runs_of_a_study_have_its_name_and_their_scores_and_its_report(
    plan: dict, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan["models"] = plan["models"][:1]
    said: list[str] = []
    specification = parse_specification(plan, "plan.yaml")
    out = home / "Ward_7" / "out"
    outcome = run_study(
        specification, home / "data", out, load_verbs, workers=0, wandb="offline", say=said.append
    )
    assert len(outcome.done) == 3
    assert said[1] == (
        "W&B: offline (--wandb offline), group small. Nothing is sent until you do: "
        f"cd {out} && wandb sync */*/wandb/offline-run-* wandb/offline-run-*"
    )
    build_report(out)
    log_report(out, outcome.logged)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"W&B: the report is logged offline, in {out}/wandb"
    )

    (generator,) = runs_of(out / "generators/seed_0")
    (real,), (synthetic,) = (runs_of(out / f"runs/{n}__unet_light__seed0") for n in (1, 3))
    (report,) = runs_of(out)
    every = [generator, real, synthetic, report]
    assert {part.exit_code for part in every} == {0}
    assert {part.run.run_group for part in every} == {"small"}
    assert {tuple(part.run.tags) for part in every} == {("small",)}
    assert generator.run.job_type == "generator"
    assert report.run.job_type == "report"
    for scenario, cell in (("1", real), ("3", synthetic)):
        assert cell.run.job_type == "training"
        assert cell.config["width"] == 4
        assert cell.config["study"] == {
            "name": "small", "folder": "out", "scenario": scenario, "model": "unet_light",
            "seed": 0,
        }  # fmt: skip
        record = read_json(out / f"cells/{scenario}__unet_light__seed0.json")
        score = record["evaluation"]["summary"]["iou_mean"]["value"]
        assert cell.summary["test/iou_mean"] == pytest.approx(score)
        assert cell.summary["val/iou_mean"] == 0.25
        assert report.summary[f"test/iou_mean/{scenario}__unet_light"] == pytest.approx(score)
    assert report.summary["cells_done"] == 2
    assert report.summary["headline"] == read_json(out / "report.json")["answer"]["headline"]

    (artifact,) = report.artifacts
    assert (artifact.name, artifact.type) == ("small-report", "report")
    files = {entry.path: entry.local_path for entry in artifact.manifest.contents}
    assert files == {
        f"report.{kind}": f"wandb/report/report.{kind}" for kind in ("html", "md", "json")
    }
    for name, place in files.items():
        whole, copy = ((out / path).read_text() for path in (name, place))
        assert "Ward_7" in whole  # the commands, as they were given
        assert "Ward_7" not in copy
        assert "--data.root data" in copy or name == "report.md"
    assert "Ward_7" not in "".join(
        path.read_bytes().decode("latin-1") for path in out.rglob("*.wandb")
    )


def test_a_cell_that_fails_after_its_training_is_a_failed_run_and_then_one_with_scores(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan["models"] = plan["models"][:1]
    specification = parse_specification(plan, "plan.yaml")
    cell = "1__unet_light__seed0"

    def failing() -> Verbs:
        def evaluate(**keywords: object) -> dict:
            raise UserError("no such checkpoint")

        return replace(load_verbs(), evaluate=evaluate)

    def go(verbs: Callable[[], Verbs]) -> None:
        where = home / "data", home / "out", verbs
        run_study(
            specification, *where, workers=0, only=cell, wandb="offline", say=lambda line: None
        )

    go(failing)
    go(load_verbs)
    before, after = runs_of(home / "out/runs" / cell)
    assert (before.exit_code, after.exit_code) == (1, 0)
    assert before.run.run_id == after.run.run_id
    assert "test/iou_mean" in after.summary
    assert "test/iou_mean" not in before.summary


def test_scores_on_external_sets_join_the_runs_of_their_cells_and_of_the_report(
    plan: dict, home: Path
) -> None:
    whole = {**plan, "models": plan["models"][:1], "external": ["far"]}
    far = fake_verbs.write_cache(home / "far", hashes="far")
    specification, out = parse_specification(whole, "plan.yaml"), home / "out"
    outcome = run_study(
        specification, home / "data", out, load_verbs, workers=0, wandb="offline",
        external={"far": far}, say=lambda line: None,
    )  # fmt: skip
    build_report(out)
    log_report(out, outcome.logged)
    (report,) = runs_of(out)
    for scenario in ("1", "3"):
        name = f"{scenario}__unet_light__seed0"
        before, after = runs_of(out / "runs" / name)
        assert before.run.run_id == after.run.run_id
        assert (after.run.display_name, after.run.run_group) == (name, "small")
        summary = read_json(out / f"external/far/{name}.json")["evaluation"]["summary"]
        assert after.summary["external/far/iou_mean"] == summary["iou_mean"]["value"]
        assert "external/far/iou_mean" not in before.summary
        mean = report.summary[f"external/far/iou_mean/{scenario}__unet_light"]
        assert mean == pytest.approx(summary["iou_mean"]["value"])


def test_a_mode_of_the_yaml_holds_and_another_flag_is_refused(plan: dict, home: Path) -> None:
    plan["arguments"] = ["--wandb", "disabled"]
    specification = parse_specification(plan, "plan.yaml")
    where = home / "data", home / "out", load_verbs
    with pytest.raises(UserError, match="--wandb offline: the study's YAML has --wandb disabled"):
        run_study(specification, *where, wandb="offline")
    assert not (home / "out").exists()
    outcome = run_study(specification, *where, workers=0, only="1__fpn*", say=lambda line: None)
    assert outcome.logged == Destination("disabled", "--wandb disabled")
    assert list((home / "out").rglob("wandb")) == []


def test_one_id_for_all_runs_and_invalid_variables_are_refused_before_anything(
    plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = parse_specification(plan, "plan.yaml")
    where = home / "data", home / "out", load_verbs
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="WANDB_MODE=ofline"):
        run_study(specification, *where)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    with pytest.raises(UserError, match="WANDB_RUN_ID: would make one run of all"):
        run_study(specification, *where)
    assert not (home / "out").exists()

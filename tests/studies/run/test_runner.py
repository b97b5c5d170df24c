"""Cells are done once, failures stay with their cell, and a killed study goes on."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import fake_verbs
import pytest

from provenance import UserError
from studies.run.claim import Claim
from studies.run.outcome import StudyOutcome, closing_lines
from studies.run.planning import refusals
from studies.run.runner import run_study
from studies.run.slurm.asked import SlurmJobs
from studies.run.workers import thread_settings
from studies.specification.read import parse_specification
from studies.specification.specification import Specification
from tests.training_runs import FORK_SERVER

ROOT = Path(__file__).parents[3]
OF_SCENARIO_3 = ["3__unet_light__seed0", "3__fpn__seed0"]


def go(specification: Specification, home: Path, **settings: object) -> StudyOutcome:
    settings = {
        "load_verbs": fake_verbs.load_verbs,
        "workers": 0,
        "say": lambda line: None,
    } | settings
    return run_study(specification, home / "data", home / "out", **settings)


def read(home: Path, name: str) -> dict:
    return json.loads((home / "out" / name).read_text())


def test_a_whole_study_and_nothing_twice(small: Specification, home: Path) -> None:
    outcome = go(small, home)
    assert sorted(outcome.done) == [
        "1__fpn__seed0",
        "1__unet_light__seed0",
        "3__fpn__seed0",
        "3__unet_light__seed0",
        "generator__seed0",
    ]
    cell = read(home, "cells/3__fpn__seed0.json")
    assert cell["status"] == "done"
    assert f"--data.synthetic {home}/out/synthetic/seed_0" in cell["commands"][0]
    assert cell["commands"][1].startswith("python evaluate.py --checkpoint")
    assert cell["evaluation"]["images"][0]["patient_id"] == "case_00000"
    assert len(cell["curves"]["val/iou_mean"]) == 12
    assert len(cell["checkpoint_sha256"]) == 64
    assert cell["timings"]["fit_seconds"] == 1.5
    assert "--data.synthetic" not in read(home, "cells/1__fpn__seed0.json")["commands"][0]
    before = fake_verbs.events()
    again = go(small, home)
    assert (again.done, len(again.already_done)) == ([], 4)
    assert fake_verbs.events() == before


def test_arguments_come_in_the_documented_order(plan: dict, home: Path) -> None:
    plan["arguments"] = ["--study", "x"]
    plan["scenarios"][0]["arguments"] = ["--scenario", "y"]
    plan["models"][1]["arguments"] = ["--model", "z"]
    go(parse_specification(plan, "a"), home, only="1__fpn*")
    command = read(home, "cells/1__fpn__seed0.json")["commands"][0]
    assert "--study x --scenario y --model z --seed_everything 0 --run_folder" in command


def test_a_failed_cell_leaves_the_others_and_is_tried_again(
    small: Specification, home: Path
) -> None:
    fake_verbs.order("1__fpn__seed0", "fail")
    outcome = go(small, home)
    assert outcome.failed == [("1__fpn__seed0", "ValueError: the loss is not finite")]
    assert len(outcome.done) == 4
    failure = read(home, "cells/1__fpn__seed0.failed.json")
    assert "fake_verbs.py" in failure["traceback"]
    assert failure["commands"][0].startswith("python train.py fit --config configs/fpn.yaml")
    assert "1__fpn__seed0: ValueError" in "\n".join(closing_lines(outcome, home / "out", 1.0))
    fake_verbs.order("1__fpn__seed0", "")
    assert go(small, home).done == ["1__fpn__seed0"]
    assert not (home / "out/cells/1__fpn__seed0.failed.json").exists()


@pytest.mark.parametrize("where", ["seed_0", "generate"])
def test_a_failed_generator_fails_only_what_needs_it(
    small: Specification, home: Path, where: str
) -> None:
    fake_verbs.order(where, "fail")
    outcome = go(small, home)
    assert sorted(outcome.done) == ["1__fpn__seed0", "1__unet_light__seed0"]
    assert [name for name, _ in outcome.failed] == [
        "generator__seed0",
        "3__unet_light__seed0",
        "3__fpn__seed0",
    ]
    fake_verbs.order(where, "")
    assert len(go(small, home).done) == 3


def test_a_finished_fit_is_not_repeated_when_only_its_evaluation_failed(
    small: Specification, home: Path
) -> None:
    fake_verbs.order("1__fpn__seed0", "fail evaluate")
    go(small, home, only="1__fpn*")
    fake_verbs.order("1__fpn__seed0", "")
    assert go(small, home, only="1__fpn*").done == ["1__fpn__seed0"]
    assert fake_verbs.events().count("fit 1__fpn__seed0") == 1


def test_a_deleted_result_is_made_again_from_its_checkpoint(
    small: Specification, home: Path
) -> None:
    go(small, home, only="1__fpn*")
    (home / "out/cells/1__fpn__seed0.json").unlink()
    assert go(small, home, only="1__fpn*").done == ["1__fpn__seed0"]
    assert fake_verbs.events().count("fit 1__fpn__seed0") == 1
    assert fake_verbs.events().count("evaluate 1__fpn__seed0") == 2


def test_a_run_without_its_last_checkpoint_goes_on_from_its_best(
    small: Specification, home: Path
) -> None:
    """As train.py does; a kill at the first epoch's end leaves best.ckpt alone."""
    go(small, home, only="1__fpn*")
    (home / "out/cells/1__fpn__seed0.json").unlink()
    (run,) = (home / "out").rglob("1__fpn__seed0/study_fit.json")
    run.unlink()
    (run.parent / "checkpoints/last.ckpt").unlink()
    assert go(small, home, only="1__fpn*").done == ["1__fpn__seed0"]
    assert fake_verbs.events().count("fit 1__fpn__seed0 resumed") == 1


def test_an_unfinished_run_of_other_settings_begins_anew_and_says_so(
    plan: dict, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    go(parse_specification(plan, "a"), home, only="1__fpn*")
    (home / "out/cells/1__fpn__seed0.json").unlink()
    plan["models"][1]["arguments"] = ["--model.learning_rate", "0.1"]
    assert go(parse_specification(plan, "a"), home, only="1__fpn*").done == ["1__fpn__seed0"]
    assert "1__fpn__seed0: was begun with other settings of this study" in capfd.readouterr().out
    assert "fit 1__fpn__seed0 resumed" not in fake_verbs.events()


def test_a_verb_that_exits_is_a_failed_cell(small: Specification, home: Path) -> None:
    fake_verbs.order("1__unet_light__seed0", "exit")
    ((name, message),) = go(small, home, only="1__*").failed
    assert name == "1__unet_light__seed0"
    assert "ended itself with status 2" in message


@pytest.mark.parametrize("workers", [0, 1])
def test_a_misspelt_metric_costs_no_training(plan: dict, home: Path, workers: int) -> None:
    told = "metric: iou_meen: no score of unet_light in 1 has this name. Did you mean iou_mean?"
    with pytest.raises(UserError, match=re.escape(told)):
        go(parse_specification(plan | {"metric": "iou_meen"}, "a"), home, workers=workers)
    assert not [event for event in fake_verbs.events() if event.startswith("fit ")]
    assert len(go(parse_specification(plan, "a"), home, workers=workers).done) == 5


def test_what_is_checked_first_is_said_where_it_takes_more_than_a_moment(
    small: Specification, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(refusals, "_A_MOMENT", -1.0)
    run_study(small, home / "data", home / "out", fake_verbs.load_verbs, workers=0, say=said.append)
    # the generator, two models on real images, and two with the synthetic ones
    told = "Before the first training flags, data and metric are checked: 5 kinds left ..."
    assert said.count(told) == 1
    assert sum("are checked" in line for line in said) == 1


def test_only_and_shard_choose_cells(small: Specification, home: Path) -> None:
    assert go(small, home, only="1__*").done == ["1__unet_light__seed0", "1__fpn__seed0"]
    first, second = go(small, home, shard="1/2"), go(small, home, shard="2/2")
    assert first.already_done + second.already_done == ["1__unet_light__seed0", "1__fpn__seed0"]
    assert sorted(first.done + second.done) == [
        "3__fpn__seed0",
        "3__unet_light__seed0",
        "generator__seed0",
    ]
    with pytest.raises(UserError, match=r"matches no cell. Cells are named like 1__unet_light"):
        go(small, home, only="unet")
    with pytest.raises(UserError, match="expected i/n"):
        go(small, home, shard="3/2")


def test_one_thread_setting_stands_for_all_libraries() -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert thread_settings({}, 4) == dict.fromkeys(names, "4")
    given = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": ""}
    assert thread_settings(given, 4) == {names[0]: "1", names[2]: "1"}
    assert thread_settings(dict.fromkeys(names, "2"), 4) == {}


def test_other_settings_are_refused_and_named(plan: dict, home: Path) -> None:
    go(parse_specification(plan, "a"), home)
    before = fake_verbs.events()
    learning = json.loads(json.dumps(plan))
    learning["models"][1]["arguments"] = ["--model.learning_rate", "0.1"]
    more = json.loads(json.dumps(plan))
    more["generator"]["num_images"] = 9
    fewer = json.loads(json.dumps(plan))
    del fewer["models"][1]
    for changed, message in (
        (learning, r"model.arguments was \[\], is now \[.*0.1.*1__fpn__seed0"),
        (more, r"generator.num_images was 8, is now 9"),
        (fewer, r"no longer part of the study.*1__fpn"),
        (learning, r"2 of its 5 finished runs do not fit this study"),
        (more, r"3 of its 5 finished runs do not fit this study"),
    ):
        with pytest.raises(UserError, match=message):
            go(parse_specification(changed, "a"), home)
    assert fake_verbs.events() == before


def test_other_data_is_refused_but_a_moved_cache_is_not(small: Specification, home: Path) -> None:
    go(small, home, only="1__*")
    (home / "data").rename(home / "moved")
    (home / "data").symlink_to(home / "moved")
    assert go(small, home, only="1__*").done == []
    manifest = json.loads((home / "moved/manifest.json").read_text())
    manifest["split_id"] = "e" * 64
    (home / "moved/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"data\.split_id was ffffffffffff\.\.\., is now eeeeeeee"):
        go(small, home)
    with pytest.raises(UserError, match=r"holds no manifest\.json"):
        run_study(small, home, home / "out2", fake_verbs.load_verbs, workers=0)


def test_adding_is_allowed_and_titles_may_change(plan: dict, home: Path) -> None:
    go(parse_specification(plan, "a"), home)
    plan["seeds"] = [0, 1]
    plan["title"] = "Another title"
    plan["scenarios"].insert(1, {"id": 2, "name": "real + geometric", "arguments": ["--g", "1"]})
    outcome = go(parse_specification(plan, "a"), home)
    assert len(outcome.already_done) == 4
    assert len(outcome.done) == 8 + 1
    assert read(home, "study.json")["specification"]["seeds"] == [0, 1]


def test_a_changed_configuration_file_is_noticed(plan: dict, home: Path) -> None:
    config = home / "light.yaml"
    config.write_text("width: 8\n")
    plan["models"][0]["config"] = str(config)
    go(parse_specification(plan, "a"), home, only="1__*")
    config.write_text("width: 16\n")
    with pytest.raises(UserError, match=r"light.yaml was .*1__unet_light__seed0"):
        go(parse_specification(plan, "a"), home)


def test_a_cell_that_a_living_process_holds_is_left_to_it(small: Specification, home: Path) -> None:
    path = home / "out/claims/1__fpn__seed0.json"
    with Claim.take(path) as claim:
        assert claim is not None
        assert Claim.take(path) is None
        outcome = go(small, home, only="1__*")
    assert outcome.elsewhere == ["1__fpn__seed0"]
    assert outcome.done == ["1__unet_light__seed0"]


def test_a_requeued_slurm_job_takes_over_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with Claim.take(tmp_path / "claim.json") as claim:
        assert claim is not None
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert Claim.take(tmp_path / "claim.json") is None
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        with Claim.take(tmp_path / "claim.json") as later:
            assert later is not None
            monkeypatch.delenv("SLURM_RESTART_COUNT")
            assert Claim.take(tmp_path / "claim.json") is None


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"slurm": SlurmJobs(gpus=0)}, r"--slurm.\*: is asked of a cluster.*--executor slurm"),
        ({"executor": "slurm", "workers": 2}, r"--workers: with --executor slurm every cell"),
        ({"executor": "slurm", "shard": "1/2"}, r"--shard: with --executor slurm every cell"),
        ({"executor": "slurm", "slurm": SlurmJobs(cpus=0)}, r"--slurm.cpus 0: expected 1 or more"),
        ({"executor": "slurm", "slurm": SlurmJobs(hours=0.01)}, r"--slurm.hours 0.01: expected"),
        ({"executor": "slurm"}, r"--executor slurm: there is no sbatch here"),
    ],
)
def test_what_no_cluster_can_do_is_said_before_anything_is_run(
    flags: dict,
    sentence: str,
    small: Specification,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(UserError, match=sentence):
        go(small, home, **{"workers": 1} | flags)
    assert not (home / "out").exists()


def test_two_workers_survive_a_killed_process_and_resume_its_run(
    small: Specification, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked, which is quicker; the workers of the killed study below are spawned as they are."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: FORK_SERVER)
    fake_verbs.order("1__fpn__seed0", "die")
    variables = {name: os.environ[name] for name in ("UNDERSTUDY_FAKE", "WANDB_MODE")}
    verbs = partial(fake_verbs.load_verbs, variables)
    outcome = go(small, home, workers=2, load_verbs=verbs)
    assert outcome.failed == [
        (
            "1__fpn__seed0",
            "ChildProcessError: the process that ran it died (SIGKILL). "
            "It may have run out of memory.",
        )
    ]
    assert len(outcome.done) == 4
    log = (home / "out/logs/1__unet_light__seed0.log").read_text()
    assert "training 1__unet_light__seed0" in log
    assert go(small, home, workers=1, load_verbs=verbs).done == ["1__fpn__seed0"]
    assert "fit 1__fpn__seed0 resumed" in fake_verbs.events()
    assert read(home, "cells/1__fpn__seed0.json")["timings"]["resumed"]


def test_a_killed_study_ends_its_workers_and_goes_on(
    plan: dict, small: Specification, home: Path
) -> None:
    fake_verbs.order("1__fpn__seed0", "sleep")
    script = home / "go.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "import fake_verbs\nfrom studies.run.runner import run_study\n"
        "from studies.specification.read import parse_specification\n"
        "if __name__ == '__main__':\n"
        f"    plan = json.loads({json.dumps(plan)!r})\n"
        f"    run_study(parse_specification(plan, 'a'), Path({str(home / 'data')!r}), "
        f"Path({str(home / 'out')!r}), fake_verbs.load_verbs, only='1__*')\n"
    )
    study = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: study.poll() or "sleeping 1__fpn__seed0" in fake_verbs.events())
        assert study.poll() is None
        holder = json.loads((home / "out/claims/1__fpn__seed0.json").read_text())["pid"]
    finally:
        study.send_signal(signal.SIGKILL)
        study.wait()
    wait_for(lambda: not running(holder))
    fake_verbs.order("1__fpn__seed0", "")
    outcome = go(small, home, only="1__*")
    assert (outcome.done, outcome.already_done) == (["1__fpn__seed0"], ["1__unet_light__seed0"])
    assert fake_verbs.events()[-2] == "fit 1__fpn__seed0 resumed"


def wait_for(condition) -> None:
    """What is true at last; the limit is for a test that hangs, also on a busy machine."""
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.is_dir() and not stat.exists():
        return False
    if stat.exists():
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_training_that_would_be_refused_ends_the_study_before_the_first(
    home: Path, plan: dict
) -> None:
    plan["scenarios"][1]["arguments"] = ["--data.synthetic_shar", "1"]
    study = parse_specification(plan, "a")
    fake_verbs.order("refuse", "--data.synthetic_shar")
    told = "the training of unet_light in 3 would be refused: --data.synthetic_shar: no such flag"
    with pytest.raises(UserError, match=re.escape(told)):
        go(study, home)
    assert not [event for event in fake_verbs.events() if event.startswith("fit ")]
    # Cells that are asked for, and lacking, are looked at, and no others.
    assert go(study, home, only="1__*").failed == []
    fake_verbs.order("refuse", "--no_such_flag")
    assert go(study, home).failed == []
    before = fake_verbs.events()
    assert go(study, home).failed == []
    assert fake_verbs.events() == before


def test_a_class_that_no_label_map_holds_is_refused_before_the_generator(
    home: Path, plan: dict
) -> None:
    plan["generator"]["with_class"] = "tumuor"
    with pytest.raises(UserError, match=r"with_class: tumuor: .* Did you mean tumour\?"):
        go(parse_specification(plan, "a"), home)
    assert fake_verbs.events() == []

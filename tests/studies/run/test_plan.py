"""What `study.py plan` says: counts, arithmetic, what is known of what could show, and refusals."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_verbs
import pytest
import yaml

import study
from provenance import UserError
from studies.run.planning.plan_text import disk_lines
from studies.run.planning.trainings import Training
from studies.specification.read import load_specification

ROOT = Path(__file__).parents[3]


@pytest.fixture
def spec(plan: dict, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(study, "load_verbs", fake_verbs.load_verbs)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("gan", "light", "fpn"):
        (home / f"{name}.yaml").write_text("model: {}")
    plan["generator"]["config"] = str(home / "gan.yaml")
    plan["models"][0]["config"] = str(home / "light.yaml")
    plan["models"][1]["config"] = str(home / "fpn.yaml")
    plan["seeds"] = [0, 1, 2]
    plan["scenarios"][1]["controls"] = True
    cache = home / "data" / "manifest.json"
    cache.write_text(cache.read_text().replace('"split": "train"', '"split": "test"', 16))
    return written(plan, home)


def written(plan: dict, home: Path) -> Path:
    path = home / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def told(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert study.main(["plan", *words]) == 0
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if "/" not in line) <= 120
    return re.sub(r" +", " ", printed)


def test_counts_time_and_disk(spec: Path, home: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(home.rglob("*"))
    given = [str(spec), "--data.root", str(home / "data")]
    printed = told(capsys, *given, "--out", str(home / "out"), "--workers", "2", "--placebo")
    assert [path for path in sorted(home.rglob("*")) if path not in before] == [
        home / "control" / "events.txt"
    ]
    # real only, which is one of the controls too; synthetic; the other control; placebo
    assert "24 of downstream models (4 arms x 2 models x 3 seeds), 3 of the generator" in printed
    assert " generator for the synthetic images 3 96 768\n" in printed
    assert " 1 real only baseline; control of 3 6 96 768\n" in printed
    assert " 3 real + synthetic 6 192 1 536\n" in printed
    assert " placebo real only again, with other seeds placebo 6 96 768\n" in printed
    # every kind of step is timed once: the generator's and the two models'
    events = fake_verbs.events()
    assert sum(event.startswith("rehearse timed") for event in events) == 3
    # 3 x (96 + 192 + 192 + 96) steps of half a second
    assert re.search(r" U-Net light 1, 3, .* 12 1 728 0.5 \(16 steps\) 14 min 24 s\n", printed)
    assert "All steps, one training after another: 31 min 12 s on this machine's cpu" in printed
    assert "With --workers 2, 2 at a time: about 15 min 36 s" in printed
    assert "27 trainings x 2 checkpoints (last, best) x 1 MB 54 MB" in printed
    # 64 x 64 pixels of image and label map
    assert (
        "3 x 8 generated images of 64 x 64 px and their label maps, uncompressed 197 kB" in printed
    )
    assert f"Free at {home}/out: " in printed
    counted = told(capsys, *given, "--no-measure")
    assert "Time: not measured, as --no-measure asks." in counted
    assert "checkpoints not measured" in counted


def test_only_counts_the_cells_that_match_and_their_generators(
    spec: Path, home: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [str(spec), "--data.root", str(home / "data"), "--no-measure", "--only"]
    printed = told(capsys, *given, "3__unet_light__*")
    assert "3 of downstream models (cells that match 3__unet_light__*), 3 of the gen" in printed
    assert " 3 real + synthetic 3 192 1 536\n" in printed
    assert " real only " not in printed
    assert "is, below, of the whole study (3 arms x 2 models x 3 seeds).\n" in printed
    assert "2 claims in Holm's family" in printed
    one = told(capsys, *given, "3__*__seed1")
    assert "2 of downstream models (cells that match 3__*__seed1), 1 of the generator" in one
    assert ", 0 of the generator" in told(capsys, *given, "1__*")
    with pytest.raises(UserError, match=r"--only 'unet' matches no cell. Cells are named like 1__"):
        study.main(["plan", *given, "unet"])


def test_labels_and_weights_are_checked_as_a_run_does(spec: Path, home: Path) -> None:
    with_data = [str(spec), "--data.root", str(home / "data"), "--no-measure"]
    for flag, value, message in (
        ("--labels", home / "nowhere", "nowhere: there is no such folder"),
        ("--weights", home / "w.pth", "this study has no extractor that takes weights"),
    ):
        with pytest.raises(UserError, match=message):
            study.main(["plan", *with_data, flag, str(value)])
        with pytest.raises(UserError, match=message):
            study.main(["run", *with_data[:3], flag, str(value), "--out", str(home / "out")])
        with pytest.raises(UserError, match=f"{flag} .* is checked together with the data"):
            study.main(["plan", str(spec), flag, str(value)])
    assert study.main(["plan", *with_data, "--labels", str(home / "data")]) == 0
    films = str(ROOT / "configs/studies/film_gans_64px.yaml")
    with pytest.raises(UserError, match="whose weights are a file that is not there"):
        study.main(["plan", films, *with_data[1:], "--weights", str(home / "w.pth")])


@pytest.mark.parametrize(
    "words", [["--shard", "1/2"], ["--executor=slurm"], ["--slurm.at-once", "2"], ["--wandb=auto"]]
)
def test_flags_that_say_how_a_run_runs_are_refused(spec: Path, words: list[str]) -> None:
    flag = words[0].partition("=")[0].replace("-once", "_once")
    with pytest.raises(UserError, match=f"{flag}: says how `run` runs the trainings, and `plan`"):
        study.main(["plan", str(spec), *words])


def test_generated_images_have_the_resolution_of_their_training() -> None:
    specification = load_specification(ROOT / "configs/studies/film_gans_cpu.yaml")
    config, cache = "configs/chest_xray/dcgan.yaml", SimpleNamespace(image_size=64)
    at_32 = Training("1", "at_32", "", 3, config, ("--data.resolution", "32"))
    trainings = [at_32, Training("1", "whole", "", 2, config)]
    as_cache: Any = cache
    printed = re.sub(r" +", " ", "\n".join(disk_lines(specification, trainings, as_cache, None)))
    assert specification.distances is not None
    number = specification.distances.num_images
    assert f"3 x {number} generated images of 32 x 32 px, uncompressed" in printed.replace(
        ",0", "0"
    )
    assert f"2 x {number} generated images of 64 x 64 px, uncompressed" in printed.replace(
        ",0", "0"
    )


def test_assumed_spreads_are_called_so(
    spec: Path, home: Path, capsys: pytest.CaptureFixture
) -> None:
    printed = told(capsys, str(spec), "--data.root", str(home / "data"), "--no-measure")
    assert "2 claims in Holm's family, the first tested at 0.025." in printed
    assert (
        "3 seeds, 4 test patients, every comparison alike; spreads ASSUMED, none of them" in printed
    )
    without = told(capsys, str(spec))
    assert "Time: not measured, since no cache is given." in without
    assert "sd trainings patients both on 10 patients on 30 patients on 100 patients" in without
    assert "18 of downstream models (3 arms x 2 models x 3 seeds), 3 of the generator" in without
    assert "not known not known" in without
    per_class = told(capsys, str(ROOT / "configs/studies/class_balance.yaml"))
    assert "3 of the generator for each class" in per_class
    assert "3 x 20,000 generated images for each class, their size" in per_class


def test_one_seed_gives_no_verdict(
    spec: Path, plan: dict, home: Path, capsys: pytest.CaptureFixture
) -> None:
    printed = told(capsys, str(written(plan | {"seeds": [0]}, home)))
    assert "One seed: no verdict on the method is possible" in printed
    assert f"write `seeds: [0, 1, 2]`, or more, in\n {spec}\n" in printed
    assert "3 seeds in place of one" in printed


def test_a_finished_study_gives_its_spreads(
    spec: Path, plan: dict, home: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [str(spec), "--data.root", str(home / "data")]
    assert study.main(["run", *given, "--out", str(home / "out"), "--workers", "0"]) == 0
    capsys.readouterr()
    printed = told(capsys, *given, "--from", str(home / "out"), "--no-measure")
    assert "spreads as measured in the study small" in printed
    assert "ASSUMED" not in printed
    rows = re.findall(r"^ (\S+ against \S+, \w+) [\d.]+ [\d.]+ [\d.]+ ([\d.]+) ", printed, re.M)
    assert [name for name, _ in rows] == [
        "3 against 3_steps, unet_light", "3 against 3_steps, fpn",
        "3 against 1, unet_light", "3 against 1, fpn",
    ]  # fmt: skip
    assert all(float(difference) > 0 for _, difference in rows)

    auroc = plan | {"metric": {"name": "dice_mean", "title": "Dice"}}
    with pytest.raises(UserError, match="decides by iou_mean, this one by dice_mean"):
        study.main(["plan", str(written(auroc, home)), "--from", str(home / "out")])


def test_a_study_that_was_trained_once_has_no_spread(
    spec: Path, plan: dict, home: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [str(written(plan | {"seeds": [0]}, home)), "--data.root", str(home / "data")]
    study.main(["run", *given, "--out", str(home / "out"), "--workers", "0"])
    with pytest.raises(UserError, match="two finished trainings on either side"):
        study.main(["plan", *given, "--from", str(home / "out")])
    with pytest.raises(UserError, match=r"there is no such folder"):
        study.main(["plan", *given, "--from", str(home / "nowhere")])


def test_what_a_training_would_be_refused_for_is_said_with_its_name(
    spec: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(args: list[str], timed: bool) -> None:
        raise UserError(f"{fake_verbs.flag(args, '--data.synthetic')}: has too few images.")

    monkeypatch.setattr(fake_verbs, "rehearse", refuse)
    with pytest.raises(UserError, match=r"training of generator would be refused: None: has too"):
        study.main(["plan", str(spec), "--data.root", str(home / "data")])
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        study.main(["plan", str(spec), "--data.root", str(home / "nowhere")])
    with pytest.raises(UserError, match="--workers -1: expected 0 or more"):
        study.main(["plan", str(spec), "--workers", "-1"])


def test_sentences_do_not_name_the_stand_in(
    spec: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = fake_verbs.rehearse

    def refuse(args: list[str], timed: bool) -> object:
        images = fake_verbs.flag(args, "--data.synthetic")
        if images is None:
            return own(args, timed)
        assert len(list(Path(images, "images").iterdir())) == 8
        raise UserError(
            f"{images}: has too few images. Generate a larger set in another folder: generate.py "
            "--num-images 64."
        )

    monkeypatch.setattr(fake_verbs, "rehearse", refuse)
    expected = (
        r"unet_light in 3 would be refused: the images of the study's generator \(`.*`\): has"
        r" too few images\. Give 64 or more\.$"
    )
    with pytest.raises(UserError, match=expected):
        study.main(["plan", str(spec), "--data.root", str(home / "data")])


def test_generators_are_told_apart_by_no_assumption(capsys: pytest.CaptureFixture) -> None:
    films = str(ROOT / "configs/studies/film_gans_cpu.yaml")
    printed = told(capsys, films)
    assert "5 of generators (1 arm x 5 models x 1 seed)" in printed
    assert "Distances have no scale" in printed
    assert "5 x 500 generated images, their size is the cache's" in printed
    with pytest.raises(UserError, match="smallest difference is computed before its trainings"):
        study.main(["plan", films, "--from", "anywhere"])

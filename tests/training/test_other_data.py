"""A run is gone on with on its own data alone, and nobody that it has learnt from is forgotten.

Through train.py, generate.py and the leak check, as a person meets them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import evaluate
import generate
import train
from datamodules import ChestXrayDataModule
from datamodules.synthetic import SyntheticSet
from lightning_modules import GAN
from lightning_modules.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import load_module, seen_by
from patient_names import PatientNames
from provenance import UserError, sha256_of
from tests import classifier_runs, gan_runs
from tests.conftest import write_cache, write_film_cache

ROOT = Path(__file__).parents[2]
OURS = [f"patient_{number:012x}" for number in range(8)]
THEIRS = [f"stranger_{number:011x}" for number in range(8)]  # of another hospital


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def films(root: Path, patients: list[str], **settings: Any) -> Path:
    """The first four train, two validate, two test."""
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    return write_film_cache(root, dict(zip(patients, splits, strict=True)), **settings)


def held_out_now(patients: list[str]) -> list[str]:
    """In an order that makes the training patients those of validation and test."""
    return patients[4:] + patients[:4]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return films(tmp_path / "cache", OURS)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    return films(tmp_path / "strangers", THEIRS)


@pytest.fixture
def tested_on_strangers(tmp_path: Path) -> Path:
    return films(tmp_path / "tested_on_strangers", held_out_now(THEIRS))


def gan(root: Path, run_folder: Path, *more: str) -> Path:
    words = ["--model.generator.width=2", "--model.discriminator.width=2"]
    return gan_runs.trained(root, "dcgan", run_folder, *words, "--data.images_per_epoch=4", *more)


def resumed(root: Path, run_folder: Path, *more: str) -> Path:
    return gan(root, run_folder, "--resume=true", "--trainer.max_epochs=2", *more)


def made(checkpoint: Path, out: Path, **settings: Any) -> Path:
    return generate.generate(
        checkpoint=checkpoint, out=out, num_images=2, show_progress=False, device="cpu", **settings
    )


def joins(synthetic: Path, root: Path) -> None:
    data = ChestXrayDataModule(str(root), synthetic=str(synthetic), label_column="none")
    data.setup("fit")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def relabelled(cache: Path, out: Path) -> Path:
    """The same films of the same patients, but one is labelled otherwise."""
    shutil.copytree(cache, out)
    table, manifest = out / "items.csv", json.loads((out / "manifest.json").read_text())
    table.write_text(table.read_text().replace(",normal", ",abnormal", 1))
    manifest["sha256_items"] = sha256_of(table)
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


# ---- on other data -----------------------------------------------------------------------------


@pytest.mark.parametrize("with_settings", [True, False], ids=["config.yaml", "without"])
def test_another_split_is_refused_and_nothing_changed(
    cache: Path, tmp_path: Path, with_settings: bool
) -> None:
    run = tmp_path / "run"
    gan(cache, run)
    if not with_settings:
        (run / "config.yaml").unlink()
    before = contents(run)
    other = films(tmp_path / "other", held_out_now(OURS))
    with pytest.raises(UserError) as refused:
        resumed(other, run)
    sentence = str(refused.value)
    assert sentence.startswith(f"--resume true: {run}/checkpoints/last.ckpt was trained on other")
    assert f"than --data.root {other} (content was " in sentence
    assert "; training patients that are now in the validation or test split: 4 of 4)" in sentence
    assert "Nothing was changed. Give the data that the run began with" in sentence
    assert not [name for name in OURS if name in sentence]
    assert contents(run) == before

    joins(made(resumed(cache, run), tmp_path / "set"), cache)  # its own data still go
    with pytest.raises(UserError, match=r"set: leaks 4 patient\(s\)"):
        joins(tmp_path / "set", other)


def test_a_split_of_other_names_is_refused_without_a_count(
    cache: Path, strangers: Path, tmp_path: Path
) -> None:
    """Nobody's name agrees; the people may, under another salt."""
    gan(cache, tmp_path / "run")
    with pytest.raises(UserError, match="was trained on other data") as refused:
        resumed(strangers, tmp_path / "run")
    assert "that are now" not in str(refused.value)


def test_where_names_mean_others_the_count_is_a_least_one(cache: Path, tmp_path: Path) -> None:
    gan(cache, tmp_path / "run")
    other = films(tmp_path / "other", held_out_now(OURS))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["patients"] = PatientNames("pseudonym", "0" * 8, "as_written").plain()
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"; training patients .* split: at least 4 of 4"):
        resumed(other, tmp_path / "run")


def test_another_data_set_and_other_content_are_refused(cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    gan(cache, run)
    with pytest.raises(UserError, match=r"other data than .*\(content was \w{12}\.\.\., is now"):
        resumed(relabelled(cache, tmp_path / "relabelled"), run)
    manifest = json.loads((cache / "manifest.json").read_text())
    other = shutil.copytree(cache, tmp_path / "other")
    changed = {**manifest, "dataset": "shenzhen", "split_id": "other"}
    (other / "manifest.json").write_text(json.dumps(changed))
    differing = r"data set was chest_xray, is now shenzhen; split was test-patient, is now other\)"
    with pytest.raises(UserError, match=differing):
        resumed(other, run)


def test_a_moved_cache_is_gone_on_with_in_silence(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gan(cache, tmp_path / "run")
    moved = shutil.copytree(cache, tmp_path / "elsewhere/moved")
    shutil.rmtree(cache)
    capsys.readouterr()
    assert load_module(resumed(moved, tmp_path / "run"))[1]["images_seen"] == 8
    assert "--resume true" not in capsys.readouterr().err


@pytest.mark.parametrize("by", ["patient", "slice"])
def test_slices_of_another_split_or_content_are_refused(tmp_path: Path, by: str) -> None:
    def fit(root: Path, *more: str) -> train.FitResult:
        words = f"""--config configs/kits19/unet_light.yaml --data.root {root} --wandb disabled
            --run_folder {tmp_path / "run"} --model.network.width 2 --model.network.depth 1
            --trainer.accelerator cpu --trainer.enable_progress_bar false --samples_every_epochs 0
            --data.images_per_epoch 8 --data.batch_size 8"""
        return train.fit(["fit", *words.split(), *more])

    patients = [f"case_{number:05d}" for number in range(4)]
    splits = ["train", "train", "val", "test"]
    one = write_cache(tmp_path / "one", dict(zip(patients, splits, strict=True)), by=by)
    other = write_cache(tmp_path / "two", dict(zip(patients, splits[::-1], strict=True)), by=by)
    images = write_cache(
        tmp_path / "three", dict(zip(patients, splits, strict=True)), by=by, seed=1
    )
    fit(one, "--trainer.max_epochs=1")
    more = ("--resume=true", "--trainer.max_epochs=2")
    what, counted = ("patients", "2 of 2") if by == "patient" else ("images", "8 of 8")
    told = rf"training {what} that are now in the .* split: (at least )?{counted}"
    with pytest.raises(UserError, match=told):
        fit(other, *more)
    with pytest.raises(UserError, match=r"content was .*; split was test-0, is now test-1"):
        fit(images, *more)
    assert fit(one, *more).images_seen == 16


def test_another_synthetic_set_of_the_same_name_is_refused(
    cache: Path, strangers: Path, tmp_path: Path
) -> None:
    first = made(gan(strangers, tmp_path / "theirs"), tmp_path / "one/set")
    second = made(gan(cache, tmp_path / "ours"), tmp_path / "two/set")
    run = tmp_path / "run"
    gan(cache, run, f"--data.synthetic={first}")
    with pytest.raises(
        UserError, match=r"--data.synthetic \S*two/set \(synthetic set.* was .*is now"
    ):
        resumed(cache, run, f"--data.synthetic={second}")
    moved = shutil.move(first, tmp_path / "three/set")
    resumed(cache, run, f"--data.synthetic={moved}")


def test_checkpoints_without_their_settings_are_a_run_too(cache: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", films(tmp_path / "other", held_out_now(OURS))
    gan(other, run)
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match="holds a run already"):
        gan(cache, run)
    (run / "checkpoints/last.ckpt").unlink()
    with pytest.raises(UserError, match=r"best\.ckpt was trained on other data"):
        resumed(cache, run)


# ---- whom a checkpoint remembers ---------------------------------------------------------------


def test_a_chain_of_sets_passes_on_whom_the_first_knew(
    cache: Path, strangers: Path, tested_on_strangers: Path, tmp_path: Path
) -> None:
    first = made(gan(strangers, tmp_path / "a"), tmp_path / "first")
    second = made(gan(cache, tmp_path / "b", f"--data.synthetic={first}"), tmp_path / "second")
    third = made(gan(cache, tmp_path / "c", f"--data.synthetic={second}"), tmp_path / "third")
    known = SyntheticSet.open(third).manifest["generator"]["training_patients"]
    assert known == sorted(OURS[:4] + THEIRS[:4])
    joins(third, cache)
    with pytest.raises(UserError, match=r"third: leaks 4 patient\(s\).*trained on this patient"):
        joins(third, tested_on_strangers)


@pytest.mark.parametrize("first", ["made again", "gone"])
def test_the_first_set_is_remembered_as_it_was(
    cache: Path, strangers: Path, tested_on_strangers: Path, tmp_path: Path, first: str
) -> None:
    synthetic = made(gan(strangers, tmp_path / "a"), tmp_path / "first")
    mixed = gan(cache, tmp_path / "b", f"--data.synthetic={synthetic}")
    shutil.rmtree(synthetic)
    if first == "made again":  # by another generator, which knows none of them
        made(gan(cache, tmp_path / "c"), synthetic)
    with pytest.raises(UserError, match=r"second: leaks 4 patient\(s\)"):
        joins(made(mixed, tmp_path / "second"), tested_on_strangers)


def test_a_roll_back_and_a_resume_forget_nobody(
    cache: Path, strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = made(gan(strangers, tmp_path / "a"), tmp_path / "first")
    words = [f"--data.synthetic={synthetic}", "--on_failure=roll_back"]
    gan(cache, tmp_path / "run", *words)
    begin = GAN.begin_step

    def begin_step(self: GAN) -> None:
        begin(self)
        if self.rollbacks == 0:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))

    monkeypatch.setattr(GAN, "begin_step", begin_step)
    module, record = load_module(resumed(cache, tmp_path / "run", *words))
    assert module.rollbacks == 1
    assert record["also_seen"]["training_patients"] == THEIRS[:4]
    assert seen_by(record).patients == {*OURS[:4], *THEIRS[:4]}


def test_a_classifier_knows_whom_the_one_that_it_started_from_knew(
    cache: Path, strangers: Path, tested_on_strangers: Path, tmp_path: Path
) -> None:
    of_normal = ["--data.label_column=label", "--data.only_label=normal"]
    synthetic = made(gan(strangers, tmp_path / "a", *of_normal), tmp_path / "set")

    def fit(name: str, *more: str) -> Path:
        words = classifier_runs.arguments(cache, tmp_path / name, "--data.images_per_epoch=4")
        return train.fit([*words, "--trainer.max_epochs=1", *more]).last_checkpoint

    pretrained = fit("pretrained", f"--data.synthetic={synthetic}")
    start = f"--model.start_from={pretrained}"
    fit("tuned", start)
    shutil.rmtree(pretrained.parent)  # a resumed run has its weights already
    tuned = fit("tuned", start, "--resume=true", "--trainer.max_epochs=2")
    assert load_module(tuned)[1]["also_seen"]["training_patients"] == THEIRS[:4]
    with pytest.raises(UserError, match=r"2 patients of its test split were training patients of"):
        evaluate.evaluate(
            tuned, tmp_path / "out", root=tested_on_strangers, split="test", show_progress=False
        )
    evaluate.evaluate(tuned, tmp_path / "own", root=cache, split="test", show_progress=False)


def test_the_set_of_an_earlier_version_s_checkpoint_is_asked(
    cache: Path,
    strangers: Path,
    tested_on_strangers: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_normal = ["--data.label_column=label", "--data.only_label=normal"]
    synthetic = made(gan(strangers, tmp_path / "a", *of_normal), tmp_path / "set")
    words = classifier_runs.arguments(cache, tmp_path / "run", f"--data.synthetic={synthetic}")
    trained = train.fit([*words, "--trainer.max_epochs=1"]).last_checkpoint
    content = load_checkpoint_file(trained)
    del content[RECORD_KEY]["also_seen"]
    save_checkpoint_file(content, trained)

    manifest = json.loads((tested_on_strangers / "manifest.json").read_text())
    other_split = json.dumps(manifest | {"split_id": "another hospital's"})
    (tested_on_strangers / "manifest.json").write_text(other_split)

    def score(out: str) -> None:
        evaluate.evaluate(
            trained, tmp_path / out, root=tested_on_strangers, split="test", show_progress=False
        )

    with pytest.raises(UserError, match=r"2 patients of its test split were training patients of"):
        score("b")
    shutil.rmtree(synthetic)
    score("c")
    assert "whom its images know was not compared with" in capsys.readouterr().err

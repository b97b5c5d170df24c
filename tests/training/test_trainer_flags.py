"""Every flag of train.py works or is refused: none is taken and ignored."""

import csv
import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.plugins import DoublePrecision, TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment

import train
from lightning_modules import GAN
from lightning_modules.checkpoint_files import VerifiedCheckpointIO
from provenance import UserError
from training.flag_record import parsers_of_training
from training.run_parts import plugins_of_run
from training.trainer_flags import (
    PRECISIONS,
    _refuse_nodes,
    loggers_that_join,
    plugins_that_join,
    refuse_other_precision,
)

ROOT = Path(__file__).parents[2]
CALLBACKS, LIGHTNING = "--trainer.callbacks", "lightning.pytorch.callbacks"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path) -> Path:
    return film_cache(tmp_path / "films")


def arguments(films: Path, folder: Path | None, *extra: str) -> list[str]:
    return [
        "fit",
        "--config=configs/chest_xray/dcgan.yaml",
        f"--data.root={films}",
        "--data.batch_size=4",
        "--data.images_per_epoch=8",
        "--model.generator.width=2",
        "--model.discriminator.width=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        "--wandb=disabled",
        *([f"--run_folder={folder}"] if folder else []),
        *extra,
    ]


def segmenter(cache: Path, folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        "--config=configs/kits19/unet_light.yaml",
        f"--data.root={cache}",
        "--model.network.width=2",
        "--data.images_per_epoch=8",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
        *extra,
    ]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("--trainer.precision=bf16-true", r"precision bf16-true: .* 32-true, bf16-mixed, 16-mix"),
        ("--trainer.precision=16-true", r"precision 16-true: .*bf16-mixed keeps them in float32"),
        ("--trainer.precision=transformer-engine", r"precision transformer-engine: is not one"),
        ("--trainer.precision=bf16", r"precision bf16: .* Did you mean bf16-mixed\?"),
        ("--trainer.precision=32", r"precision 32: .* Did you mean 32-true\?"),
        ("--trainer.max_epochs=0", r"max_epochs 0: nothing would be trained"),
        ("--trainer.limit_train_batches=0", r"limit_train_batches 0.*: nothing would be trained"),
        ("--trainer.limit_train_batches=1", r"limit_train_batches 1.*: 1 could mean one of them"),
        ("--trainer.limit_val_batches=1", r"limit_val_batches 1.*: 1 could mean one of them"),
        ("--trainer.log_every_n_steps=-3", r"log_every_n_steps -3: expected .* 0 reports at the"),
        ("--trainer.min_steps=5", r"min_steps 5: .* Use --trainer.min_epochs, which keeps"),
        ("--trainer.min_epochs=3", r"min_epochs 3: --trainer.max_epochs 1 ends the training"),
        ("--trainer.max_time=00:00:00:00", r"max_time 00:00:00:00: nothing would be trained"),
        ("--trainer.max_time=soon", r"max_time soon: expected days:hours:minutes:seconds"),
        ("--trainer.num_nodes=2", r"num_nodes 2: nothing has started .* would wait"),
        ("--trainer.num_nodes=0", r"num_nodes 0: expected 1 or more"),
        ("--trainer.devices=3", r"batch_size 4 .* equally among 3 .*Use a multiple of 3"),
        ("--trainer.precision=17-mixed", r"precision: expected 32-true, bf16-mixed, 16-mixed, 64"),
        ("--trainer.devices=x", r"devices x: expected how many"),
        ("--trainer.devices=0", r"devices 0: expected how many"),
        ("--trainer.check_val_every_n_epoch=0", r"every_n_epoch 0: expected 1 or more epochs"),
        ("--trainer.val_check_interval=0", r"val_check_interval 0.*: expected 2 or more batches"),
        ("--trainer.val_check_interval=100", r"interval 100: an epoch has 2 batches"),
        ("--seed_everything=-1", r"--seed_everything -1: expected a whole number from 0 to 42949"),
        ("--seed_everything=99999999999999", r"--seed_everything 99999999999999: expected a whole"),
        ("--model.betas=[2,3]", r"--model.betas is \[2.0, 3.0\]; expected two numbers"),
        ("--trainer.gradient_clip_algorithm=norm", r"--model.gradient_clip_norm clips"),
        ("--trainer.limit_test_batches=2", r"limit_test_batches 2.*evaluate.py tests"),
        ("--trainer.limit_predict_batches=2", r"limit_predict_batches 2.*evaluate.py tests"),
        ("--trainer.overfit_batches=2", r"overfit_batches 2.*: .* drawn anew in every epoch"),
        ("--trainer.use_distributed_sampler=true", r"takes its share of the batches already"),
        ("--trainer.default_root_dir=x", r"default_root_dir x: .* Use --run_folder"),
        ("--trainer.model_registry=x", r"model_registry x: is not supported"),
        ("--trainer.barebones=true", r"barebones True: is not supported. A run without records"),
        ("--trainer.logger=false", r"logger False: .* give --wandb disabled"),
        ("--data.seed=7", r"--data.seed 7: is not followed.*give --seed_everything 7"),
        ("--model.seed=7", r"--model.seed 7: is not followed.*--seed_everything, which is 0"),
        ("--model.init_args.seed=7", r"seed 7: is not followed"),
        ("--seed_everything=false", r"--seed_everything false: .* Give a number"),
        ("--samples_every_epochs=-1", r"--samples_every_epochs -1: expected 0 or more"),
        ("--checkpoint_every_steps=0", r"--checkpoint_every_steps 0: expected 1 or more"),
        ("--model.learning_rate=0", r"--model.learning_rate is 0.0; it must be above 0"),
        ("--model.gradient_clip_norm=-1", r"--model.gradient_clip_norm is -1.0; it must be above"),
        ("--model.decay_from=1.5", r"--model.decay_from is 1.5; it must be 0 to 1"),
        ("--distance.collapsed_below=2", r"^--distance.collapsed_below 2.0: expected 0 to"),
        ("--distance.batch_size=0", r"^--distance.batch_size 0: expected at least 1"),
        ("--distance.weights=x.pth", r"--distance.weights x.pth: the random VGG"),
    ],
)
def test_what_would_be_ignored_is_refused_and_writes_no_run(
    extra: str, message: str, films: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=message):
        train.fit(arguments(films, folder, extra))
    assert not (folder / "config.yaml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.class_weights=[1,1]"], r"class_weights are \[1.0, 1.0\]; expected 3 numbers"),
        (["--model.class_weights=[0,0,0]"], r"class_weights are .*not all 0"),
        (["--model.weight_decay=-1"], r"--model.weight_decay is -1.0; it must be 0 or more"),
        (["--model.network.depth=9"], r"--model.network with .* 32x32 .* cannot be halved 9 times"),
        *(
            ([f"{CALLBACKS}={LIGHTNING}.{name}", *more], rf"callbacks {name}: is not supported")
            for name, *more in (
                ["LearningRateFinder"],
                ["BatchSizeFinder"],
                ["GradientAccumulationScheduler", f"{CALLBACKS}.scheduling={{1: 2}}"],
                ["StochasticWeightAveraging", f"{CALLBACKS}.swa_lrs=0.1"],
            )
        ),
        (
            [f"{CALLBACKS}={LIGHTNING}.EarlyStopping", f"{CALLBACKS}.monitor=val/iou_men"],
            r"monitor val/iou_men is none .* Did you mean val/iou_mean\? There are: train/loss, ",
        ),
    ],
)
def test_what_a_segmenter_cannot_do_is_refused_before_it_trains(
    words: list[str], message: str, small_cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train.fit(segmenter(small_cache, tmp_path / "run", *words))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_single_callback_joins_as_a_list_does(films: Path, tmp_path: Path) -> None:
    words = [f"{CALLBACKS}={LIGHTNING}.LearningRateMonitor", "--trainer.log_every_n_steps=1"]
    run = train.fit(arguments(films, tmp_path / "run", *words)).run_folder
    assert "lr-Adam" in (run / "metrics.csv").read_text()


def test_training_may_stop_early_by_a_metric_that_is_there(
    small_cache: Path, films: Path, tmp_path: Path
) -> None:
    stopping = [f"{CALLBACKS}={LIGHTNING}.EarlyStopping", f"{CALLBACKS}.patience=1"]
    hopeless = [f"{CALLBACKS}.monitor=val/iou_mean", f"{CALLBACKS}.min_delta=9"]
    words = segmenter(small_cache, tmp_path / "run", *stopping, *hopeless)
    two_epochs = train.fit([*words, f"{CALLBACKS}.mode=max", "--trainer.max_epochs=5"])
    assert two_epochs.images_seen == 2 * 8
    nothing = [*stopping, f"{CALLBACKS}.monitor=val/nothing"]
    with pytest.raises(UserError, match=r"monitor val/nothing is none .* val/score_real"):
        train.fit(arguments(films, tmp_path / "gan", *nothing))


@pytest.mark.parametrize("variables", [{}, {"MASTER_ADDR": "first.node"}])
def test_other_machines_are_waited_for_where_something_starts_them(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trainer = Namespace(num_nodes=2, plugins=None)
    with nullcontext() if variables else pytest.raises(UserError, match="num_nodes 2"):
        _refuse_nodes(trainer)


def test_every_flag_of_the_trainer_is_looked_at_here_or_lightning_s() -> None:
    """A later Lightning's new flag fails this, and is then tried: works, or refused?"""
    followed = {  # by Lightning, as its help says; tried with a run each
        *("accelerator", "strategy", "devices", "num_nodes", "callbacks", "fast_dev_run"),
        *("min_epochs", "max_time", "check_val_every_n_epoch", "num_sanity_val_steps"),
        *("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "deterministic"),
        *("benchmark", "inference_mode", "profiler", "detect_anomaly", "sync_batchnorm"),
        *("reload_dataloaders_every_n_epochs", "enable_autolog_hparams"),
    }
    ours = {  # refused, checked or joined in training/trainer_flags.py
        *("precision", "logger", "plugins", "max_epochs", "max_steps", "min_steps"),
        *("limit_train_batches", "limit_val_batches", "limit_test_batches"),
        *("limit_predict_batches", "overfit_batches", "val_check_interval", "log_every_n_steps"),
        *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
        *("use_distributed_sampler", "barebones", "default_root_dir", "model_registry"),
    }
    _, subparsers = parsers_of_training()
    flags = {
        option.removeprefix("--trainer.")
        for action in subparsers["fit"]._actions
        for option in action.option_strings
        if option.startswith("--trainer.") and not option.endswith((".help", "+"))
    }
    assert not followed & ours
    assert flags == followed | ours


def test_a_run_trains_in_the_documented_precisions_alone() -> None:
    said = (ROOT / "docs/training.md").read_text().partition("## Precision")[2].partition("##")[0]
    assert all(f"`{name}`" in said for name in PRECISIONS)
    for name in PRECISIONS:
        refuse_other_precision(name, name)
    refuse_other_precision(None, "32-true")
    with pytest.raises(UserError, match="needs a GPU"):
        refuse_other_precision("16-mixed", "bf16-mixed")
    with pytest.raises(UserError, match=r"--trainer.strategy: brings the precision bf16-true"):
        refuse_other_precision(None, "bf16-true")


def test_a_run_is_not_gone_on_with_in_another_precision(films: Path, tmp_path: Path) -> None:
    run = arguments(films, tmp_path / "run", "--trainer.precision=bf16-mixed")
    train.fit(run)
    longer = ["--resume", "--trainer.max_epochs=2"]
    with pytest.raises(UserError, match=r"trainer.precision was bf16-mixed, is now 32-true"):
        train.fit([*run, *longer, "--trainer.precision=32-true"])
    with pytest.raises(UserError, match=r"trainer.precision was bf16-mixed, is now 32-true"):
        train.fit([*run, *longer, "--trainer.precision=null"])  # Lightning's default
    assert train.fit([*run, *longer]).images_seen == 16


def test_resume_alone_is_true_and_wants_a_run(films: Path, tmp_path: Path) -> None:
    run = arguments(films, tmp_path / "run")
    assert train.fit([*run, "--resume"]).images_seen == 8  # nothing there: it starts
    assert train.fit([*run, "--trainer.max_epochs=2", "--resume"]).images_seen == 16
    with pytest.raises(UserError, match=r"--resume true: .* none is given. Give --run_folder"):
        train.fit(arguments(films, None, "--resume"))


def test_a_run_s_own_configuration_may_be_given_another_seed(films: Path, tmp_path: Path) -> None:
    first = train.fit(arguments(films, tmp_path / "run", "--seed_everything=3"))
    written = yaml.safe_load((first.run_folder / "config.yaml").read_text())
    assert written["data"]["init_args"]["seed"] == written["model"]["init_args"]["seed"] == 3
    again = ["fit", f"--config={first.run_folder / 'config.yaml'}", "--seed_everything=4"]
    second = train.fit([*again, f"--run_folder={tmp_path / 'other'}"])
    written = yaml.safe_load((second.run_folder / "config.yaml").read_text())
    assert written["data"]["init_args"]["seed"] == written["model"]["init_args"]["seed"] == 4
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("data:\n  init_args:\n    seed: 9\n")
    with pytest.raises(UserError, match=r"overlay.yaml: data.init_args.seed 9: is not followed"):
        train.fit(arguments(films, tmp_path / "third", f"--config={overlay}"))


def test_without_an_interval_reports_come_at_the_end_of_epochs(films: Path, tmp_path: Path) -> None:
    def steps_reported(folder: str, every: int) -> list[int]:
        epochs = ["--trainer.max_epochs=2", f"--trainer.log_every_n_steps={every}"]
        run = train.fit(arguments(films, tmp_path / folder, *epochs)).run_folder
        with open(run / "metrics.csv", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["name"] == "train/loss_generator"]
        return [int(row["images_seen"]) for row in rows]

    assert steps_reported("none", 0) == [8, 16]
    assert steps_reported("each", 1) == [4, 8, 12, 16]


def test_other_loggers_join_the_run_s_own(films: Path, tmp_path: Path) -> None:
    logger = ["--trainer.logger=lightning.pytorch.loggers.CSVLogger"]
    logger += [f"--trainer.logger.save_dir={tmp_path / 'others'}"]
    run = train.fit(arguments(films, tmp_path / "run", *logger)).run_folder
    (joined,) = (tmp_path / "others").rglob("metrics.csv")
    with open(joined, newline="") as stream:
        told = {name for row in csv.DictReader(stream) for name, value in row.items() if value}
    own = (run / "metrics.csv").read_text()
    assert {"train/loss_generator", "val/score_real", "images_per_second"} <= told
    assert all(name in own for name in told - {"images_seen", "step", "epoch"})
    settings = yaml.safe_load((joined.parent / "hparams.yaml").read_text())
    assert settings["seed_everything"] == 0
    assert str(films.parent) not in (joined.parent / "hparams.yaml").read_text()


def test_wandb_has_a_flag_of_its_own(tmp_path: Path) -> None:
    own = CSVLogger(tmp_path)
    assert loggers_that_join(True) == loggers_that_join(None) == []
    assert loggers_that_join(own) == loggers_that_join([own]) == [own]
    with pytest.raises(UserError, match=r"--trainer.logger: Weights & Biases .* --wandb online"):
        loggers_that_join([WandbLogger.__new__(WandbLogger)])


def test_plugins_join_unless_they_choose_precision_or_write_checkpoints() -> None:
    ours = [VerifiedCheckpointIO(), SLURMEnvironment.__new__(SLURMEnvironment)]
    assert plugins_that_join(None, ours) == ours
    cluster = LightningEnvironment()
    assert plugins_that_join(cluster, ours) == [cluster, ours[0]]
    with pytest.raises(UserError, match=r"DoublePrecision: .* Use --trainer.precision"):
        plugins_that_join(DoublePrecision(), ours)
    with pytest.raises(UserError, match=r"TorchCheckpointIO: .* with a hash"):
        plugins_that_join([TorchCheckpointIO()], ours)


@pytest.mark.parametrize(("torchrun", "numbered_by_slurm"), [(False, True), (True, False)])
def test_inside_of_a_slurm_job_torchrun_numbers_the_processes(
    torchrun: bool, numbered_by_slurm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "understudy")
    if torchrun:
        for name in ("RANK", "GROUP_RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            monkeypatch.setenv(name, "0")
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    ours = plugins_of_run()
    assert any(isinstance(plugin, SLURMEnvironment) for plugin in ours) is numbered_by_slurm


def test_a_short_run_counts_batches_not_optimiser_steps(films: Path, tmp_path: Path) -> None:
    more = ["--data.images_per_epoch=40", "--trainer.fast_dev_run=4"]
    assert train.fit(arguments(films, tmp_path / "run", *more)).images_seen == 4 * 4


def test_what_lightning_logs_on_request_is_shown(
    films: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["lightning.pytorch.callbacks.model_summary", "lightning.pytorch.profilers.profiler"]
    asked = ["--trainer.enable_model_summary=true", "--trainer.profiler=simple"]
    before = [logging.getLogger(name).level for name in names]
    try:
        train.fit(arguments(films, tmp_path / "run", *asked))
        levels = [logging.getLogger(name).getEffectiveLevel() for name in names]
        assert levels == [logging.INFO] * 2
    finally:
        for name, level in zip(names, before, strict=True):
            logging.getLogger(name).setLevel(level)


def test_a_rate_that_falls_to_the_end_needs_one(films: Path, tmp_path: Path) -> None:
    endless = ["--trainer.max_epochs=-1", "--model.decay_from=0.5"]
    with pytest.raises(UserError, match=r"decay_from 0.5: .*max_epochs -1 has none"):
        train.fit(arguments(films, tmp_path / "run", *endless))
    # It failed before its first step, so the folder is free for the next try.
    assert train.fit(arguments(films, tmp_path / "run", "--model.decay_from=0.5")).images_seen == 8


def test_distances_are_of_film_gans_alone(small_cache: Path, tmp_path: Path) -> None:
    words = ["fit", "--config=configs/kits19/unet_light.yaml", f"--data.root={small_cache}"]
    words += ["--trainer.accelerator=cpu", "--wandb=disabled", f"--run_folder={tmp_path / 'run'}"]
    with pytest.raises(UserError, match=r"--distance.every_epochs 3: .* this is a Segmenter"):
        train.fit([*words, "--distance.every_epochs=3"])


def test_an_error_of_the_program_keeps_its_traceback(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a matrix of the wrong shape")

    monkeypatch.setattr(GAN, "training_step", broken)
    with pytest.raises(ValueError, match="a matrix of the wrong shape") as raised:
        train.fit(arguments(films, tmp_path / "run"))
    assert any(entry.name == "broken" for entry in raised.traceback)


def test_a_single_image_for_batch_normalisation_names_the_flags(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = torch.nn.BatchNorm2d(2)

    def one_pixel(*_: Any) -> None:
        layer(torch.zeros(1, 2, 1, 1))

    monkeypatch.setattr(GAN, "training_step", one_pixel)
    with pytest.raises(UserError, match=r"--data.batch_size 4 and --model.micro_batches 4: batch"):
        train.fit(arguments(films, tmp_path / "run", "--model.micro_batches=4"))

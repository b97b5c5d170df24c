"""train.py at the prompt: what it writes, refuses and says."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace

import provenance
import train
from command_line import run_verb
from datamodules import KiTS19DataModule
from lightning_modules import Segmenter
from lightning_modules.loading import load_module
from provenance import UserError
from tests.wandb_records import runs_of
from training.devices import strategy_for
from wandb_runs.run import run_id_of

ROOT = Path(__file__).parents[2]
UNET = "configs/kits19/unet_light.yaml"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def arguments(cache: Path, folder: Path, *extra: str, config: str = UNET) -> list[str]:
    return [
        "fit",
        f"--config={config}",
        f"--data.root={cache}",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        f"--run_folder={folder}",
        "--wandb=disabled",
        *extra,
    ]


@pytest.fixture(scope="module")
def finished_run(small_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unet"
    small = ["--model.network.width=8", "--model.network.depth=2"]
    train.fit(arguments(small_cache, folder, *small, "--wandb=offline", config=str(ROOT / UNET)))
    return folder


def test_settings_of_a_run_are_whole_at_any_moment(
    finished_run: Path, small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while it writes them leaves those of before."""
    config = finished_run / "config.yaml"
    before = config.read_bytes()
    small = ["--model.network.width=8", "--model.network.depth=2"]
    again = arguments(small_cache, finished_run, *small, "--resume=true", config=str(ROOT / UNET))

    def killed(*_: object) -> None:
        raise InterruptedError(4, "in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(provenance.os, "replace", killed)
        with pytest.raises(UserError, match="in the middle"):
            train.fit(again)
    assert config.read_bytes() == before
    try:
        config.write_text("")
        with pytest.raises(UserError, match=r"config\.yaml: holds no settings"):
            train.fit(again)
        assert config.read_bytes() == b""
    finally:
        config.write_bytes(before)


def test_run_folder_holds_what_the_design_promises(finished_run: Path) -> None:
    present = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*")}
    promised = {"config.yaml", "metrics.csv", "metrics.json", "samples", "wandb"}
    promised |= {f"checkpoints/{n}.ckpt{e}" for n in ("best", "last") for e in ("", ".sha256")}
    assert promised <= present
    assert any(name.endswith(".png") for name in present if name.startswith("samples/"))
    names = set(json.loads((finished_run / "metrics.json").read_text()))
    assert {
        "train/loss",
        "val/iou_mean",
        "val/iou_background",
        "val/iou_kidney",
        "val/iou_tumour",
        "learning_rate",
        "images_per_second",
        "peak_memory_mb",
    } <= names


def test_config_is_whole_and_trains_again_to_the_same_bits(
    finished_run: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((finished_run / "config.yaml").read_text())
    assert config["model"]["init_args"]["learning_rate"] == 0.001
    assert config["model"]["init_args"]["micro_batches"] == 1  # a default, spelled out
    again = [
        "fit",
        f"--config={finished_run / 'config.yaml'}",
        f"--run_folder={tmp_path / 'again'}",
        "--wandb=disabled",
    ]
    train.fit(again)
    weights = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (finished_run, tmp_path / "again")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_offline_record_holds_the_metrics_and_no_paths(
    finished_run: Path, small_cache: Path
) -> None:
    (record,) = (finished_run / "wandb").rglob("*.wandb")
    assert len(runs_of(finished_run)) == 1
    content = record.read_bytes()
    for name in (b"train/loss", b"val/iou_tumour", b"images_seen", b"images_per_second"):
        assert name in content
    assert str(small_cache.parent).encode() not in content


def test_a_resumed_run_is_one_run_in_w_and_b(
    finished_run: Path,
    small_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where the first part was online: then without a network, with a key."""
    folder = tmp_path / "again"
    shutil.copytree(finished_run, folder, symlinks=True)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    small = ["--model.network.width=8", "--model.network.depth=2"]
    more = ["--trainer.max_epochs=3", "--resume=true", "--wandb=auto"]
    train.fit(arguments(small_cache, folder, *small, *more, config=str(ROOT / UNET)))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B")]
    assert len(lines) == 1
    assert lines[0].startswith("W&B: offline (http://127.0.0.1:9 cannot be reached: Connection ")
    first, second = runs_of(folder)
    assert first.run.run_id == second.run.run_id == run_id_of(folder)
    assert (first.exit_code, second.exit_code) == (0, 0)
    steps = [row["_step"] for part in (first, second) for row in part.rows]
    assert steps == [row["images_seen"] for part in (first, second) for row in part.rows]
    assert steps == sorted(set(steps))
    assert len(steps) >= 3
    for row in (first.rows[-1], *second.rows):  # what callbacks log is in the epoch's own row
        assert {"train/loss", "val/iou_mean", "samples._type"} <= set(row)
    assert first.config["model"]["init_args"]["network"]["init_args"]["width"] == 8


def test_checkpoint_alone_rebuilds_the_module(finished_run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.ckpt"
    moved.write_bytes((finished_run / "checkpoints/best.ckpt").read_bytes())
    module, record = load_module(moved)
    assert type(module).__name__ == "Segmenter"
    assert not module.training
    assert record["image_size"] == 32
    assert record["images_seen"] == 8
    assert record["split"]["by"] == "patient"
    assert set(record["split"]["test"]) == {"case_00006", "case_00007"}
    logits = module(torch.zeros(1, 1, 32, 32))
    assert logits.shape == (1, 3, 32, 32)


def test_a_folder_and_a_file_of_a_run_are_not_taken_for_each_other(
    finished_run: Path, small_cache: Path
) -> None:
    file = finished_run / "config.yaml"
    for wrong in (file, file / "deeper"):
        with pytest.raises(UserError, match=rf"{file} is a file.* Did you mean {finished_run}\?"):
            train.fit(arguments(small_cache, wrong))
    best = finished_run / "checkpoints/best.ckpt"
    for folder in (finished_run, best.parent):
        with pytest.raises(UserError, match=rf"{folder}: is a folder.* Did you mean {best}\?"):
            load_module(folder)


def test_second_run_into_a_folder_is_refused(finished_run: Path, small_cache: Path) -> None:
    before = (finished_run / "metrics.csv").read_bytes()
    with pytest.raises(UserError, match=r"holds a run already.*--resume true"):
        train.fit(arguments(small_cache, finished_run))
    assert (finished_run / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--data.root=no/such/folder"], "no/such/folder: there is no such folder"),
        (["--data.batch_size=0"], "batch_size is 0"),
        (["--data.synthetic=no/set"], "no/set: is not a finished synthetic set"),
        (["--data.sampling=tumour"], "nothing to balance"),
        (["--model.micro_batches=0"], "micro_batches is 0"),
        (["--data.batch_size=x"], r"--data.batch_size: expected a whole number, found 'x'"),
        (["--data.augmentation=geo"], r"--data.augmentation geo: expected none, geometric"),
        (["--trainer.max_epochs=x"], r"--trainer.max_epochs: expected a whole number, found 'x'"),
        (["--trainer.max_steps=5"], r"--trainer.max_steps 5: .*max_epochs"),
        (["--trainer.gradient_clip_val=1"], "Use --model.gradient_clip_norm"),
        (["--trainer.accelerator=gpu"], r"accelerator gpu: no GPU .*accelerator cpu"),
        (["--trainer.accumulate_grad_batches=2"], "Use --model.micro_batches"),
        (["--trainer.precision=16-mixed"], r"16-mixed: needs a GPU.*bf16-mixed"),
        (["--trainer.devices=2", "--trainer.strategy=ddp_spawn"], "Leave it out"),
        (["--config=no/such.yaml"], r"--config no/such.yaml: there is no such file"),
    ],
)
def test_bad_settings_stop_with_a_sentence(
    extra: list[str], message: str, small_cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train.fit(arguments(small_cache, tmp_path / "run", *extra))


def test_other_image_size_than_the_data_is_refused(small_cache: Path, tmp_path: Path) -> None:
    config = "configs/kits19/pix2pix.yaml"
    wrong = arguments(small_cache, tmp_path / "run", "--model.image_size=64", config=config)
    with pytest.raises(UserError, match=r"image_size is 64, but the images .* are 32 px"):
        train.fit(wrong)


def test_what_an_earlier_run_took_from_its_data_is_no_flag_that_was_given(
    small_cache: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "config.yaml"
    overlay.write_text("model: {init_args: {num_classes: 5}}\n")
    with pytest.raises(UserError, match=r"^model.num_classes is 5, .* and of the --config files"):
        train.fit(arguments(small_cache, tmp_path / "run", f"--config={overlay}"))


def test_a_setting_that_the_module_gives_is_not_proposed(small_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"num_classes: what uses networks.UNet gives it") as caught:
        train.fit(arguments(small_cache, tmp_path / "run", "--model.network.num_classes=3"))
    assert "Did you mean" not in str(caught.value)


def test_an_epoch_that_shows_each_image_many_times_is_told(
    small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = KiTS19DataModule(str(small_cache), batch_size=2, images_per_epoch=600)
    module.setup("fit")
    number = len(module.training_set())
    told = capsys.readouterr().err
    assert told.startswith(f"note: an epoch is 600 images (data.images_per_epoch), and {number} ")
    assert f"about {600 / number:.0f} times between two validations" in told
    KiTS19DataModule(str(small_cache), batch_size=2, images_per_epoch=2 * number).setup("fit")
    assert capsys.readouterr().err == ""


def test_typo_is_refused(small_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model.lerning_rate: .*Did you mean learning_rate\?"):
        train.fit(arguments(small_cache, tmp_path / "run", "--model.lerning_rate=1"))
    with pytest.raises(UserError, match=r"--wandbb: no such flag. Did you mean --wandb\?"):
        train.fit(arguments(small_cache, tmp_path / "run", "--wandbb=disabled"))
    with pytest.raises(UserError, match=r"--trainer.max_epoch: no such flag"):  # no abbreviations
        train.fit(arguments(small_cache, tmp_path / "run", "--trainer.max_epoch=1"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"devices": 2}, "unwrapped_ddp"),
        ({"devices": "2", "strategy": "ddp"}, "unwrapped_ddp"),
        ({"devices": [0, 1]}, "unwrapped_ddp"),
        ({"devices": "0,1,2"}, "unwrapped_ddp"),
        ({"devices": 1, "num_nodes": 2}, "unwrapped_ddp"),
        ({"devices": 1}, "auto"),
        ({"devices": "auto", "accelerator": "cpu"}, "auto"),
    ],
)
def test_several_processes_get_the_strategy_for_two_networks(
    given: dict[str, Any], expected: str
) -> None:
    base = {"strategy": "auto", "devices": "auto", "accelerator": "auto", "num_nodes": 1}
    assert strategy_for(Namespace(**{**base, **given})) == expected


def test_ctrl_c_says_how_to_go_on_and_the_run_goes_on(
    small_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    small = ["--model.network.width=8", "--model.network.depth=2", "--trainer.max_epochs=3"]
    words = arguments(small_cache, folder, *small)
    end_step = Segmenter.end_step

    def struck(self: Segmenter, batch_size: int, values: dict[str, torch.Tensor]) -> None:
        end_step(self, batch_size, values)
        if self.steps_done == 2:  # in the second epoch; the first one left a checkpoint
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Segmenter, "end_step", struck)
    assert run_verb("train.py", lambda: train.main(words)) == 130
    assert f"keeps its last checkpoint; go on with the same command and --run_folder {folder}" in (
        capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGINT) == handler
    monkeypatch.setattr(Segmenter, "end_step", end_step)

    other = [*words, "--resume=true", "--model.network.width=16"]
    with pytest.raises(UserError, match=r"model.network.width was 8, is now 16"):
        train.fit(other)
    assert "width: 8" in (folder / "config.yaml").read_text()
    assert train.fit([*words, "--resume=true"]).images_seen == 24


def test_a_diverged_training_stops_with_a_sentence(small_cache: Path, tmp_path: Path) -> None:
    wild = ["--model.learning_rate=1e36", "--model.network.depth=2", "--trainer.max_epochs=3"]
    with pytest.raises(UserError, match=r"diverged by \d+ images: train/loss is not finite"):
        train.fit(arguments(small_cache, tmp_path / "run", *wild))

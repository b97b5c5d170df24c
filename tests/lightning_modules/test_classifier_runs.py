"""A classifier trains as it says: in parts, on two processes, interrupted, and fine-tuned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import train
from callbacks.checkpoints import Checkpoints
from datamodules import ChestXrayDataModule
from lightning_modules import Classifier
from lightning_modules.loading import load_module
from metrics.thresholds import chosen_thresholds, operating_point
from provenance import UserError
from tests.classifier_runs import SMALL, arguments, last, logged
from tests.training_runs import rows, run_python

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")
Cache = Callable[..., Path]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training and 6 validation films; one in three is abnormal."""
    from tests.conftest import write_film_cache

    root = tmp_path_factory.mktemp("films") / "cache"
    return write_film_cache(root, labels=("normal", "abnormal", "normal"))


@pytest.fixture(scope="module")
def whole_run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the other runs are compared with: weighted, smoothed, with a rate for each stage."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        torch.set_num_threads(1)
        train.fit(arguments(films, folder, *WEIGHTED))
    return folder


WEIGHTED = [
    "--model.class_weights=balanced",
    "--model.label_smoothing=0.1",
    "--model.layerwise_decay=0.7",
    "--model.weight_decay=0.01",
]


def same_weights(one: Path, two: Path, tolerance: float) -> None:
    ours, theirs = last(one)["state_dict"], last(two)["state_dict"]
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert (theirs[name] - value).abs().max() <= tolerance, name


# ---- whole runs ------------------------------------------------------------------------------


def test_run_logs_what_the_contract_names(whole_run: Path) -> None:
    names = {"loss", "accuracy", "auroc", "sensitivity", "specificity", "average_precision", "ece"}
    values = logged(whole_run)
    assert {f"val/{name}" for name in names} | {"train/loss", "train/accuracy"} <= set(values)
    assert all(0 <= values[f"val/{name}"] <= 1 for name in names - {"loss"})
    assert values["learning_rate"] == 0.001  # the head's


def test_classes_come_from_the_data_into_config_and_checkpoint(whole_run: Path) -> None:
    settings = yaml.safe_load((whole_run / "config.yaml").read_text())["model"]["init_args"]
    assert (settings["num_classes"], settings["class_names"]) == (2, ["normal", "abnormal"])
    module, record = load_module(whole_run / "checkpoints/best.ckpt")
    assert isinstance(module, Classifier)
    assert module.class_names == ("normal", "abnormal") == tuple(record["class_names"])
    assert module(torch.zeros(1, 1, 32, 32)).shape == (1, 2)


def test_a_checkpoint_says_what_new_films_need(whole_run: Path, films: Path) -> None:
    """How an image is prepared, and thresholds chosen on the validation split by these weights."""
    module, record = load_module(whole_run / "checkpoints/last.ckpt")
    form = record["image_form"]
    assert (form["kind"], form["image_size"], form["bit_depth"], form["views"]) == (
        "films", 32, 8, []
    )  # fmt: skip
    data = ChestXrayDataModule(str(films), batch_size=4)
    scores, labels = [], []
    for batch in data.evaluation_loader("val"):
        with torch.inference_mode():
            scores += module(data.to_unit(batch)["image"]).softmax(dim=1)[:, 1].tolist()
        labels += batch["label"].tolist()
    found = record["thresholds"]
    assert (found["split"], found["num_images"]) == ("val", len(labels))
    chosen = chosen_thresholds(scores, labels)
    assert found["rules"] == pytest.approx({k: v for k, v in chosen.items() if k != "default"})
    point = operating_point(scores, labels, chosen["youden"])
    rates = found["rates"]["youden"]
    assert rates["sensitivity"] == pytest.approx(point.sensitivity)
    assert rates["specificity"] == pytest.approx(point.specificity)
    assert (rates["positives"], rates["negatives"]) == (sum(labels), len(labels) - sum(labels))
    module._validated_at = module.images_seen - 4  # type: ignore[assignment, operator]
    assert module.record_of_state() == {}  # type: ignore[operator]


def test_micro_batches_change_nothing(whole_run: Path, films: Path, tmp_path: Path) -> None:
    """Weighted classes too: the loss is a mean of a number per image."""
    train.fit(arguments(films, tmp_path / "cut", *WEIGHTED, "--model.micro_batches=3"))
    same_weights(whole_run, tmp_path / "cut", 1e-10)
    moved = last(whole_run)["state_dict"]["network.classifier.6.weight"]
    torch.manual_seed(0)
    assert moved.abs().max() > 0.01


def test_one_hot_targets_train_as_labels_do(
    whole_run: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_target(self: ChestXrayDataModule, batch: dict[str, Any], index: int) -> dict[str, Any]:
        batch = self.to_unit(batch)
        return batch | {"target": torch.nn.functional.one_hot(batch["label"], 2).float()}

    monkeypatch.setattr(ChestXrayDataModule, "on_after_batch_transfer", with_target)
    train.fit(arguments(films, tmp_path / "soft", *WEIGHTED))
    same_weights(whole_run, tmp_path / "soft", 0.0)


def test_accuracy_of_a_soft_target_is_its_share_of_what_is_called(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of each film is of the other class: right is 3/4, wrong 1/4."""

    def with_target(self: ChestXrayDataModule, batch: dict[str, Any], index: int) -> dict[str, Any]:
        batch = self.to_unit(batch)
        own = torch.nn.functional.one_hot(batch["label"], 2).float()
        return batch | {"target": own / 2 + 1 / 4 if soft else own}

    monkeypatch.setattr(ChestXrayDataModule, "on_after_batch_transfer", with_target)
    still = ["--model.learning_rate=1e-30"]
    accuracy = {}
    for soft in (False, True):
        train.fit(arguments(films, tmp_path / str(soft), *still))
        accuracy[soft] = logged(tmp_path / str(soft))["train/accuracy"]
    assert accuracy[True] == pytest.approx(0.25 + accuracy[False] / 2)


def test_views_that_are_the_images_change_nothing_and_others_do(
    whole_run: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"alike": 12.0, "ignored": 0.0, "counted": 12.0}

    def with_views(self: ChestXrayDataModule, batch: dict[str, Any], index: int) -> dict[str, Any]:
        batch = self.to_unit(batch)
        image = batch["image"]
        view = image if name == "alike" else image.flip(-1) * 0.5
        weight = image.new_full((len(image),), weights[name])
        views = torch.stack([view, view], dim=1)
        return batch | {"views": views, "consistency_weight": weight}

    monkeypatch.setattr(ChestXrayDataModule, "on_after_batch_transfer", with_views)
    divergence = {}
    for name in weights:
        train.fit(arguments(films, tmp_path / name, *WEIGHTED, "--model.micro_batches=2"))
        divergence[name] = logged(tmp_path / name)["train/consistency"]
    for name in ("alike", "ignored"):
        same_weights(whole_run, tmp_path / name, 1e-10)
    assert divergence["alike"] == pytest.approx(0, abs=1e-12)
    assert divergence["ignored"] > divergence["counted"] > 0
    with pytest.raises(AssertionError):
        same_weights(whole_run, tmp_path / "counted", 1e-6)


@pytest.mark.ddp
def test_two_processes_equal_one(whole_run: Path, films: Path, tmp_path: Path) -> None:
    both = arguments(films, tmp_path / "two", *WEIGHTED, "--trainer.devices=2")
    done = run_python("train.py", *both)
    assert done.returncode == 0, done.stderr[-2000:]
    same_weights(whole_run, tmp_path / "two", 1e-10)
    one, two = logged(whole_run), logged(tmp_path / "two")
    for name in (name for name in one if name.startswith(("val/", "train/"))):
        assert two[name] == pytest.approx(one[name], abs=1e-9), name


def test_interrupted_run_resumes_to_the_same_bits(
    whole_run: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout and a frozen block, from another run's weights, cut within an epoch."""
    extra = [
        "--model.network.dropout=0.5",
        f"--model.start_from={whole_run / 'checkpoints/last.ckpt'}",
        "--model.network.freeze=1",
        "--checkpoint_every_steps=2",
    ]
    train.fit(arguments(films, tmp_path / "whole", *extra))
    save = Checkpoints.on_train_batch_end

    def save_then_stop(self: Any, trainer: Any, module: Any, *rest: Any) -> None:
        save(self, trainer, module, *rest)
        if module.steps_done == 5:
            raise ConnectionResetError("cut")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", save_then_stop)
        with pytest.raises(UserError, match="cut"):
            train.fit(arguments(films, tmp_path / "cut", *extra))
    assert last(tmp_path / "cut")["progress"]["steps_done"] == 4
    train.fit(arguments(films, tmp_path / "cut", *extra, "--resume=true"))
    same_weights(tmp_path / "whole", tmp_path / "cut", 0.0)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    start, end = last(whole_run)["state_dict"], last(tmp_path / "cut")["state_dict"]
    for frozen in ("network.features.0.weight", "network.features.2.bias"):
        assert torch.equal(start[frozen], end[frozen])
    assert not torch.equal(start["network.features.5.weight"], end["network.features.5.weight"])


def test_training_learns_to_tell_the_films_apart(tmp_path: Path, film_cache: Cache) -> None:
    patients = {f"patient_{i:012x}": ("train", "val", "test")[i % 3] for i in range(36)}
    cache = film_cache(tmp_path / "cache", patients)
    extra = ["--trainer.max_epochs=6", "--data.images_per_epoch=128", "--data.batch_size=16"]
    train.fit(arguments(cache, tmp_path / "run", *extra, "--model.learning_rate=0.003"))
    assert logged(tmp_path / "run")["val/auroc"] > 0.9
    saved = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    assert saved["progress"]["images_seen"] > 0


def test_transferred_network_is_loaded_without_the_file_of_its_start(
    films: Path, tmp_path: Path
) -> None:
    import torchvision

    start = tmp_path / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), start)
    folder = tmp_path / "run"
    flags = [each for each in arguments(films, folder)[1:] if each not in SMALL]
    transfer = [f"--model.network.weights={start}", "--model.network.freeze=2"]
    once = ["--trainer.max_epochs=1", "--trainer.precision=32-true"]
    config = "--config=configs/chest_xray/resnet18.yaml"
    train.fit(["fit", config, *flags, *transfer, *once])
    given = torch.load(start, weights_only=True)
    saved = last(folder)["state_dict"]
    frozen = "layer1.0.bn1.running_mean"
    assert torch.equal(saved[f"network.network.{frozen}"], given[frozen])
    trained = "layer4.1.conv2.weight"
    assert not torch.equal(saved[f"network.network.{trained}"], given[trained])
    start.unlink()
    module, _ = load_module(folder / "checkpoints/last.ckpt")
    assert torch.equal(module.state_dict()["network.scale"], saved["network.scale"])
    assert torch.equal(module.network.network.fc.weight, saved["network.network.fc.weight"])


def test_random_stages_are_not_frozen(films: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="freeze 2: without pretrained weights these stages would"):
        train.fit(arguments(films, tmp_path / "run", "--model.network.freeze=2"))


# ---- starting from another run -----------------------------------------------------------------


def test_start_from_begins_with_the_other_run_s_weights(
    whole_run: Path, films: Path, tmp_path: Path
) -> None:
    start = whole_run / "checkpoints/last.ckpt"
    extra = [f"--model.start_from={start}", "--model.learning_rate=1e-12"]
    train.fit(arguments(films, tmp_path / "tuned", *extra))
    same_weights(whole_run, tmp_path / "tuned", 1e-9)
    assert last(tmp_path / "tuned")["progress"]["steps_done"] == 6
    module, _ = load_module(tmp_path / "tuned/checkpoints/last.ckpt")  # start.ckpt not needed
    assert isinstance(module, Classifier)


def test_start_from_other_patients_classes_networks_or_modules_is_refused(
    whole_run: Path, films: Path, tmp_path: Path, film_cache: Cache
) -> None:
    start = f"--model.start_from={whole_run / 'checkpoints/last.ckpt'}"
    other = film_cache(tmp_path / "other", by="image")
    with pytest.raises(
        UserError, match=r"was trained on the patient split test-patient.*same prep"
    ):
        train.fit(arguments(other, tmp_path / "a", start))
    patients = [f"patient_{number:012x}" for number in range(8)]
    splits = ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    known = film_cache(tmp_path / "known", dict(zip(patients, splits, strict=True)))
    with pytest.raises(UserError, match=r"learnt from 2 patients of the validation or test"):
        train.fit(arguments(known, tmp_path / "known_run", start))
    lungs = film_cache(tmp_path / "lungs", labels=("clear", "opaque"))
    with pytest.raises(UserError, match="tells apart normal, abnormal, this run clear, opaque"):
        train.fit(arguments(lungs, tmp_path / "b", start))
    with pytest.raises(UserError, match=r"weights do not fit this run's network.*size mismatch"):
        train.fit(arguments(films, tmp_path / "c", start, "--model.network.width=8"))
    with pytest.raises(UserError, match=r"none\.ckpt: no such checkpoint"):
        train.fit(arguments(films, tmp_path / "d", "--model.start_from=none.ckpt"))


def test_earlier_stages_learn_slower(whole_run: Path) -> None:
    groups = last(whole_run)["optimizer_states"][0]["param_groups"]
    assert len(groups) == 7  # head, hidden layers, 5 blocks
    for depth, group in enumerate(groups):
        assert group["lr"] == pytest.approx(0.001 * 0.7**depth)

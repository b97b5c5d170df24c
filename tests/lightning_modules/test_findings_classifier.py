"""A classifier of several findings trains as it says, and is scored finding by finding."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import evaluate
import train
from evaluation.findings.evaluate import FILES
from evaluation.findings.summary import columns_of
from evaluation.folder import RESULT
from lightning_modules import FindingsClassifier
from lightning_modules.classification.finding_predictions import FindingPredictions, finding_metrics
from lightning_modules.classification.finding_weights import (
    balanced_finding_weights,
    check_training_findings,
)
from lightning_modules.loading import load_module
from metrics.ranking import auroc
from metrics.thresholds import RULES
from provenance import UserError
from tests.classifier_runs import last, logged
from tests.finding_caches import with_findings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = [
    "--config=configs/chest_xray/resnet18_findings.yaml",
    "--model.network=networks.VGG16",
    "--model.network.width=4",
    "--model.network.hidden=8",
    "--model.network.pooled_size=1",
    "--model.network.dropout=0.0",
    "--model.learning_rate=0.001",
]


def arguments(cache: Path, run_folder: Path, *extra: str) -> list[str]:
    return [
        "fit", *SMALL, f"--data.root={cache}", "--data.batch_size=4", "--trainer.accelerator=cpu",
        "--trainer.precision=64-true", "--trainer.max_epochs=1", "--wandb=disabled",
        "--trainer.enable_progress_bar=false", "--samples_every_epochs=0",
        f"--run_folder={run_folder}", *extra,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_findings(tmp_path_factory.mktemp("films") / "cache")


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        torch.set_num_threads(1)
        train.fit(arguments(films, folder, "--model.class_weights=balanced"))
    return folder


def test_a_run_logs_each_finding_and_says_what_its_checkpoint_tells(run: Path) -> None:
    values = logged(run)
    each = [values[f"val/auroc_{name}"] for name in ("Edema", "Mass")]
    assert values["val/auroc"] == pytest.approx(np.mean(each))
    module, record = load_module(run / "checkpoints/best.ckpt")
    assert isinstance(module, FindingsClassifier)
    assert module.finding_names == ("Edema", "Mass")
    assert record["class_names"] == ["Edema", "Mass"]
    assert set(record["thresholds"]["findings"]) == {"Edema", "Mass"}
    assert set(record["thresholds"]["rates"]["Mass"]) == set(RULES) - {"default"}
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert written["data"]["init_args"]["findings"] == ["Edema", "Mass"]  # what "all" stood for


def test_micro_batches_and_unknown_findings_add_up_to_the_whole(
    run: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    parts = tmp_path / "parts"
    flags = ("--model.class_weights=balanced", "--model.micro_batches=3")
    train.fit(arguments(films, parts, *flags))
    ours, theirs = last(parts)["state_dict"], last(run)["state_dict"]
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-12, rtol=0)


def test_mixing_and_augmix_train_with_findings(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("mixup", "augmix"):
        train.fit(arguments(films, tmp_path / name, f"--data.augmentation=[{name}]"))
        assert np.isfinite(logged(tmp_path / name)["train/loss"])
    assert logged(tmp_path / "augmix")["train/consistency"] >= 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--data.findings=null"], "this run uses no findings of its films"),
        (["--model=lightning_modules.Classifier"], "are learnt by lightning_modules.Find"),
        (
            ["--model.class_weights=[1.0]"],
            "expected 2 numbers above 0, one for each of Edema, Mass",
        ),
    ],
)
def test_modules_and_data_that_do_not_fit_are_refused(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], sentence: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=sentence):
        train.fit(arguments(films, tmp_path / "run", *flags))


def test_weights_count_with_and_without_alike() -> None:
    findings = np.array([[1, 0], [0, 0], [0, np.nan], [0, 1]], np.float32)
    weights = balanced_finding_weights(findings, ["a", "b"])
    expected = torch.tensor([[4 / 6, 3 / 4], [4 / 2, 3 / 2]])
    torch.testing.assert_close(weights, expected)
    for k in (0, 1):  # the mean over the films of which it is known is 1
        known = findings[:, k][~np.isnan(findings[:, k])]
        assert float(weights[known.astype(int), k].mean()) == pytest.approx(1)
    with pytest.raises(UserError, match="none without, b"):
        balanced_finding_weights(findings[:1].repeat(2, 0) * [[0], [1]] + [[0, 1]], ["a", "b"])


def test_findings_that_no_training_film_shows_are_said() -> None:
    findings = np.array([[1, 0], [0, 0]], np.float32)
    (note,) = check_training_findings(findings, ["a", "b"])
    assert "no training film is known b (with)" in note
    with pytest.raises(UserError, match="alike in every finding"):
        check_training_findings(findings[1:], ["a", "b"])


def test_a_finding_without_both_is_undefined_and_not_in_the_mean() -> None:
    truth = np.array([[1, 0, np.nan], [0, 0, np.nan], [1, 0, np.nan]])
    scores = np.array([[0.9, 0.5, 0.5], [0.1, 0.4, 0.1], [0.05, 0.2, 0.3]])
    found: dict[str, Any] = finding_metrics(
        FindingPredictions(scores, truth, np.ones(3)), ["a", "b", "c"]
    )
    assert found["auroc_a"] == found["auroc"] == 0.5
    assert found["auroc_b"] is found["auroc_c"] is None


def test_an_evaluation_scores_each_finding_and_their_mean(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    words = ["--checkpoint", str(run / "checkpoints/best.ckpt"), "--out", str(out)]
    assert evaluate.main([*words, "--device", "cpu", "--require", "auroc_Edema>=0"]) == 4
    told = capsys.readouterr().out
    assert "auroc of each (films with / without):" in told
    result = json.loads((out / "evaluation.json").read_text())
    scores, truth, _ = columns_of(result["images"])
    assert truth.shape == scores.shape == (6, 2)
    for name, k in (("Edema", 0), ("Mass", 1)):
        known = ~np.isnan(truth[:, k])
        value = auroc(scores[known, k], truth[known, k])
        assert result["summary"][f"auroc_{name}"]["value"] == pytest.approx(value)
        counts = result["finding_counts"][name]
        assert counts["unknown"] == int((~known).sum())
        assert {row["rule"] for row in result["thresholds"][name]} == set(RULES)
    each = [result["summary"][f"auroc_{name}"]["value"] for name in ("Edema", "Mass")]
    assert result["summary"]["auroc"]["value"] == pytest.approx(np.mean(each))
    losses = np.where(truth == 1, -np.log(scores), -np.log(1 - scores))
    expected = np.nanmean(np.where(np.isnan(truth), np.nan, losses), axis=1)
    assert [row["log_loss"] for row in result["images"]] == pytest.approx(expected.tolist())
    page = (out / "report.html").read_text()
    assert "Which findings does this classifier tell?" in page
    assert {path.name for path in out.iterdir()} == {RESULT, *FILES}
    with pytest.raises(UserError, match="--corruptions: is a setting of classifiers of one class"):
        evaluate.main([*words[:3], str(tmp_path / "other"), "--corruptions", "all"])


def test_findings_without_both_are_said_and_no_evaluation_ends_by_them(
    run: Path, tmp_path: Path
) -> None:
    """Another hospital's films, none of which has a mass, and of which no edema is known."""
    people = {f"other_{number}": "test" for number in range(3)}
    turns = {"Edema": ("", ""), "Mass": ("0", "0")}
    cache = with_findings(tmp_path / "cache", turns, people)
    checkpoint = run / "checkpoints/best.ckpt"
    result = evaluate.evaluate(
        checkpoint, tmp_path / "out", cache, device="cpu", show_progress=False
    )
    assert result["summary"]["auroc"]["value"] is None
    assert result["finding_counts"]["Edema"] == {
        "with": 0, "without": 0, "unknown": 9, "patients_with": 0,
    }  # fmt: skip
    told = " ".join(result["notes"])
    assert "No film of this split is known with Mass: it has no AUROC" in told
    assert "undefined" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "roc.png").exists()

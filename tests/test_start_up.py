"""Help, and what is wrong with a command, are told at once: before torch is loaded."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provenance import sha256_of
from training.first_look import RECORD, is_up_to_date, python_version

ROOT = Path(__file__).parents[1]

# What takes most of the seconds before a training begins.
HEAVY = {"torch", "lightning", "torchvision", "monai", "timm", "skimage", "wandb", "matplotlib"}


RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))


def test_the_record_of_flags_is_of_the_pinned_versions() -> None:
    pins = (ROOT / "requirements.txt").read_text()
    for name, version in RECORDED["versions"].items():
        pinned = re.search(rf"^{name}(?:\[\w+\])?==(\S+)", pins, re.MULTILINE)
        assert pinned is not None
        assert pinned[1] == version, "`make flags` writes the record for the new version"


def test_the_record_of_flags_is_of_these_sources() -> None:
    for file, digest in RECORDED["sources"].items():
        assert sha256_of(ROOT / file) == digest, f"`make flags` after a change of {file}"


def told(verb: str, *words: str) -> tuple[int, str]:
    """Exit status and what is printed by a verb that must not load what is HEAVY."""
    if verb == "train" and not is_up_to_date(RECORDED):
        pytest.skip("flags.json is not up to date: the parser answers")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", f"{verb}.py", *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    timed = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    assert not {name.partition(".")[0] for name in timed} & HEAVY
    spoken = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, done.stdout + "\n".join(spoken)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("prepare kits19 --outt=x", "--outt: no such flag. Did you mean --out?"),
        ("prepare kit19", "kit19: no such subcommand. Did you mean kits19?"),
        ("prepare kits19 --config=no.yaml", "--config no.yaml: there is no such file."),
        ("train fit --wandbb=x", "--wandbb: no such flag. Did you mean --wandb?"),
        ("train", "missing: a subcommand, one of fit, list."),
        ("train fit", "  configs/kits19/unet_light.yaml (segmentation)"),
        ("train fit --data.root=x", "missing: --config, the YAML of what to train."),
        ("train fitt", "fitt: no such subcommand. Did you mean fit?"),
        ("train fit --config=no.yaml", "--config no.yaml: there is no such file."),
        ("train fit --config unet_ligth.yaml", "Did you mean configs/kits19/unet_light.yaml?"),
        (
            "train fit --config=configs/kits19/unet_light.yaml --model.lerning_rate=1",
            "--model.lerning_rate: lightning_modules.Segmenter has no such setting.",
        ),
        ("generate --checkpont=x", "--checkpont: no such flag. Did you mean --checkpoint?"),
        ("generate images", "images: unexpected word; flags begin with --."),
        ("generate --config=no.yaml", "--config no.yaml: there is no such file."),
        ("evaluate images --reel=x", "--reel: no such flag. Did you mean --real?"),
        ("evaluate --checkpont=x", "--checkpont: no such flag. Did you mean --checkpoint?"),
        ("evaluate image", "image: no such subcommand. Did you mean images?"),
        ("evaluate --config=no.yaml", "--config no.yaml: there is no such file."),
        ("predict --checkpont=x", "--checkpont: no such flag. Did you mean --checkpoint?"),
        ("predict --source=x", "missing: --checkpoint, --out. Add --help"),
        ("export onnx --outt=x", "--outt: no such flag. Did you mean --out?"),
        ("study run --outt=x", "--outt: no such flag. Did you mean --out?"),
        ("study rum", "rum: no such subcommand. Did you mean run?"),
        ("study run --config=no.yaml", "--config no.yaml: there is no such file."),
        ("study run no.yaml --data.root=x --out=x", "no.yaml"),
    ],
)
def test_what_is_wrong_is_told_without_torch(words: str, answer: str) -> None:
    status, printed = told(*words.split())
    assert status == 2
    assert answer in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "words",
    [
        "prepare",
        "prepare kits19",
        "train",
        "train fit",
        "generate",
        "evaluate",
        "evaluate images",
        "evaluate audit",
        "export onnx",
        "study run",
    ],
)
def test_help_is_told_without_torch(words: str) -> None:
    if words.startswith("train") and RECORDED["python"] != python_version():
        pytest.skip("flags.json holds the help of another Python: the parser answers")
    status, printed = told(*words.split(), "--help")
    assert status == 0
    assert "--config CONFIG" in printed

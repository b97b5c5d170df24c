"""Caches and checkpoints that version 0.1 wrote before the rooms were drawn can still be used.

`earlier_version.json` holds what its commands wrote (they stand in the file), text as it is and
arrays and weights compressed.
"""

import base64
import json
import shlex
import shutil
import zlib
from pathlib import Path

import pytest
import torch
from torch import nn

import evaluate
import generate
import prepare
import study
import train
from datamodules import ChestXrayDataModule, KiTS19DataModule
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from lightning_modules import GAN, Segmenter
from lightning_modules.loading import load_module
from provenance import UserError, sha256_of

PROJECT = Path(__file__).parents[1]
EARLIER = json.loads((Path(__file__).parent / "earlier_version.json").read_text())
UNET = str(PROJECT / "configs/kits19/unet_light.yaml")


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders slices/, films/, run/ and gan/ of the earlier version; also the working folder."""
    for name, content in EARLIER["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "text" in content:
            path.write_text(content["text"], encoding="utf-8")
        else:
            path.write_bytes(zlib.decompress(base64.b64decode(content["zlib_base64"])))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_checkpoint_gives_the_same_logits(earlier: Path) -> None:
    module, record = load_module(earlier / "run/checkpoints/best.ckpt")
    assert isinstance(module, Segmenter)
    assert record["class_names"] == ["background", "kidney", "tumour"]
    ramp = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    with torch.no_grad():
        logits = module(ramp)
    assert logits.shape == (1, 3, 16, 16)
    torch.testing.assert_close(
        logits.double().mean(dim=(0, 2, 3)),
        torch.tensor(EARLIER["mean_logits_of_a_ramp"], dtype=torch.float64),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_checkpoint_is_evaluated_on_its_cache(earlier: Path) -> None:
    result = evaluate.evaluate(
        Path("run/checkpoints/best.ckpt"), Path("scores"), split="test", show_progress=False
    )
    for entry in result["summary"].values():
        reason = "one patient: no interval" if entry["num_patients"] == 1 else None
        assert entry.pop("no_interval") == reason
    assert result["summary"] == EARLIER["evaluation_summary"]


def test_the_run_is_resumed(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On its own split; its record has no hash of the content, which is said."""
    checkpoints = earlier / "run/checkpoints"
    shutil.copy(checkpoints / "best.ckpt", checkpoints / "last.ckpt")
    digest = (checkpoints / "best.ckpt.sha256").read_text().replace("best.ckpt", "last.ckpt")
    (checkpoints / "last.ckpt.sha256").write_text(digest)
    words = f"--config {UNET} --data.root slices --run_folder run --wandb disabled --resume true"
    network = "--model.network.width 2 --model.network.depth 1 --data.batch_size 2"
    flags = f"fit {words} {network} --trainer.max_epochs 2 --samples_every_epochs 0".split()
    manifest = earlier / "slices/manifest.json"
    own = manifest.read_text()
    case = {"case_00001": "test", "case_00002": "train"}
    content = json.loads(own)
    content["items"] = [
        item | {"split": case.get(item["patient_id"], item["split"])} for item in content["items"]
    ]
    manifest.write_text(json.dumps(content | {"split_id": "0" * 64}))
    told = r"split was 05ae41cdce73\.\.\., is now .*; training patients .* split: at least 1 of 1"
    with pytest.raises(UserError, match=told):
        train.fit(flags)
    manifest.write_text(own)
    result = train.fit(flags)
    assert result.images_seen == 4  # two of each epoch's
    said = [line for line in capsys.readouterr().err.splitlines() if "--resume true" in line]
    assert len(said) == 1
    assert "written by an earlier version, without hashes of its content, so whether" in said[0]
    record = load_module(result.last_checkpoint)[1]
    assert record["also_seen"] == {"training_patients": []}  # nobody beside the split's
    assert len(record["content_sha256"]) == 64


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers() if "running" in name}


def test_an_averaged_generator_gets_batch_statistics_of_its_own(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The earlier version saved those of the last weights; now they are estimated, and said to."""
    checkpoint = earlier / "gan/checkpoints/last.ckpt"
    module, _ = load_module(checkpoint)
    assert isinstance(module, GAN)
    network = module.averaged.network
    last = statistics(module.generator)
    for name, value in statistics(network).items():
        assert torch.equal(value, last[name])
    noise = module.latent_rows(list(range(4096)))
    images = module.synthesise([0, 1])
    own = statistics(network)
    assert max((own[name] - last[name]).abs().max() for name in own) > 0.05
    network.train()  # images of one batch, by the batch's own statistics
    torch.testing.assert_close(
        network(torch.cat([module.latent_rows([0, 1]), noise]))[0][:2], images, atol=0.03, rtol=0
    )

    def make(out: str) -> None:
        generate.generate(checkpoint, 3, Path(out), show_progress=False, device="cpu")

    make("made")
    said = capsys.readouterr().err
    assert (
        "gan/checkpoints/last.ckpt: its averaged generator was saved by an earlier version" in said
    )
    origin = json.loads((earlier / "made/manifest.json").read_text())["generator"]
    assert "estimated anew" in origin["generators"][0]["batch_statistics"]
    assert "| batch statistics | its averaged" in (earlier / "made/README.md").read_text()
    # A set that the earlier version began is not gone on with: half of it would be other images.
    request = earlier / "begun/request.json"
    request.parent.mkdir()
    content = json.loads((earlier / "made/request.json").read_text())
    assert content.pop("batch_statistics") == "estimated anew"
    request.write_text(json.dumps(content))
    with pytest.raises(UserError, match="batch_statistics was null, is now estimated anew"):
        make("begun")


def test_the_run_of_a_gan_is_resumed(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, *words = EARLIER["commands"][3].split()
    index = words.index("configs/chest_xray/dcgan.yaml")
    words[index] = str(PROJECT / words[index])
    words[words.index("--trainer.max_epochs") + 1] = "5"
    result = train.fit([*words, "--resume", "true"])
    assert result.images_seen == 20
    said = [line for line in capsys.readouterr().err.splitlines() if "estimated anew" in line]
    assert len(said) == 1
    assert "Distances of earlier epochs in metrics.csv are of the washed-out images" in said[0]
    module, _ = load_module(result.last_checkpoint)
    assert isinstance(module, GAN)
    assert module.averaged.statistics_at == module.averaged.images_averaged == 20


@pytest.mark.parametrize(("number", "name"), [(0, "slices"), (1, "films")])
def test_a_cache_names_the_command_that_makes_it_anew_with_the_same_division(
    earlier: Path, capsys: pytest.CaptureFixture[str], number: int, name: str
) -> None:
    """Into the same folder it is refused, and changes nothing: patients have other names now."""
    before = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
    _, *words = EARLIER["commands"][number].split()
    with pytest.raises(UserError, match=r"earlier version, .*the same command with another --out"):
        prepare.main(words)
    capsys.readouterr()
    assert prepare.main(["verify", name]) == 0
    was = open_cache(Path(name))
    said = [line for line in capsys.readouterr().err.splitlines() if "earlier version" in line]
    assert len(said) == 1  # opened twice
    assert {path: path.read_bytes() for path in before} == before
    command = said[0].split("whom spellings or copies join: python prepare.py ")[1]
    assert prepare.main(shlex.split(command.replace("<the seed>", "0"))) == 0
    now = open_cache(Path(f"{name}_new"))
    assert "earlier version" not in capsys.readouterr().err
    assert was.splits.tolist() == now.splits.tolist()
    assert not set(was.patients(None)) & set(now.patients(None))  # phantoms have their seed
    if isinstance(was, SliceCache) and isinstance(now, SliceCache):
        assert [f"seed0_{item.id}" for item in was.items] == [item.id for item in now.items]
        assert list(was.content.values()) == list(now.content.values())
    else:
        assert was.ids.tolist() == now.ids.tolist()


def test_a_cache_says_whom_its_division_has_on_both_sides(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("slices/manifest.json")
    manifest = json.loads(path.read_text())
    trained = next(item for item in manifest["items"] if item["split"] == "train")["patient_id"]
    tested = next(item for item in manifest["items"] if item["split"] == "test")["patient_id"]
    for item in manifest["items"]:
        if item["patient_id"] == tested:
            item["patient_id"] = f"{int(trained.removeprefix('case_'))}.0"
    path.write_text(json.dumps(manifest))
    assert prepare.main(["verify", "slices"]) == 0
    said = capsys.readouterr().err
    assert "spellings of one number, so that scores are too good: 1. To make" in said

    header = "kind,first,second,similarity,same_patient,first_split,second_split"
    rows = ["exact,a,b,1.0000,no,train,test", "near,a,c,0.9900,no,train,train"]
    Path("films/duplicates.csv").write_text("\n".join([header, *rows]) + "\n")
    assert prepare.main(["verify", "films"]) == 0
    said = capsys.readouterr().err
    assert "Pairs of equal or nearly equal images in different splits: 1 (films/dupl" in said


def test_a_synthetic_set_joins_the_division_that_its_generator_knew_and_no_other(
    earlier: Path,
) -> None:
    def joining() -> int:
        return len(ChestXrayDataModule("films", batch_size=2, synthetic="set").training_set())

    made = json.loads((earlier / "set/manifest.json").read_text())
    made["class_names"] = ["normal", "abnormal"]  # of a GAN without classes: said by hand
    made["items"] = [item | {"label": "normal"} for item in made["items"]]
    (earlier / "set/manifest.json").write_text(json.dumps(made))
    assert joining() == open_cache(Path("films")).splits.tolist().count(0) + 2
    table = (earlier / "films/items.csv").read_text()
    moved = table.replace("patient_29e3ba313437,train", "patient_29e3ba313437,val")
    assert moved != table
    (earlier / "films/items.csv").write_text(moved)
    manifest = json.loads((earlier / "films/manifest.json").read_text())
    digest = sha256_of(earlier / "films/items.csv")
    content = manifest | {"sha256_items": digest, "split_id": "0" * 64}
    (earlier / "films/manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"leaks 1 patient\(s\) of the validation or test split"):
        joining()


def test_a_study_is_done_and_its_report_is_written_again(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (earlier / "study/cells").iterdir()}
    _, *words = EARLIER["commands"][5].split()
    assert study.main(words) == 0
    assert "0 runs done" in (said := capsys.readouterr().out)
    assert "2 cells done before" in said
    assert {path: path.read_bytes() for path in before} == before
    assert study.main(["report", "study"]) == 0
    assert "A study of an earlier version" in (earlier / "study/report.md").read_text()


def test_the_caches_are_read(earlier: Path) -> None:
    slices = KiTS19DataModule("slices", batch_size=2)
    slices.setup("fit")
    assert slices.class_names == ["background", "kidney", "tumour"]
    batch = next(iter(slices.val_dataloader()))
    assert batch["mask"].shape == (2, 16, 16)
    assert int(slices.to_unit(batch)["mask"].sum()) == EARLIER["kidney_pixels_of_validation"]
    films = ChestXrayDataModule("films", batch_size=2)
    films.setup("fit")
    assert films.class_names == ["normal", "abnormal"]
    assert films.class_counts().tolist() == [5, 2]

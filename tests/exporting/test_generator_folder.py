"""A generator's folder: the checkpoint's images bit for bit, whom it knows, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import export
from datamodules.synthetic import SyntheticSet
from exporting.command import generator as hand_on
from generation.command import generate
from generation.model_card import write_model_card
from lightning_modules.loading import held_out_of, load_module, seen_by
from provenance import UserError, sha256_of
from tests.exporting.checkpoints import SECRET, cyclegan, gan, pix2pix, written

SLICES = {
    "data": {"class_path": "datamodules.KiTS19DataModule", "init_args": {"root": "slices"}},
    "class_names": ["background", "kidney", "tumour"],
    "pixels": {"train": "MEHKM1YyDQA=", "val": "uOq/GnH5cwE=", "test": "", "has_all": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a StyleGAN in the middle of a fade, beside its checkpoint `best.ckpt`."""
    root = tmp_path_factory.mktemp("run")
    path = written(root / "best.ckpt", gan("StyleGAN"))
    assert export.main(["generator", f"--checkpoint={path}", f"--out={root / 'folder'}"]) == 0
    return root / "folder"


@pytest.mark.parametrize("name", ["DCGAN", "MultiScale", "Pix2Pix"])
def test_it_makes_the_checkpoints_images_bit_for_bit(name: str, tmp_path: Path) -> None:
    paints = name == "Pix2Pix"
    path = tmp_path / "best.ckpt"
    written(path, pix2pix(), **SLICES) if paints else written(path, gan(name))
    hand_on(checkpoint=path, out=tmp_path / "folder")
    (old, _), (new, record) = load_module(path), load_module(tmp_path / "folder")
    maps = (torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 3,) if paints else ()
    images: list[Any] = [module.synthesise(*maps, [3, 4, 5]) for module in (old, new)]  # type: ignore[operator]
    assert torch.equal(*images)
    assert record["images_seen"] == 8
    assert len(held_out_of(record).pixels) == (1 if paints else 0)
    with pytest.raises(ValueError, match="handed on without its discriminator"):
        new.discriminator([])  # type: ignore[operator]


def test_generate_makes_the_same_set_of_it(folder: Path, tmp_path: Path) -> None:
    sets = []
    for checkpoint, out in ((folder.parent / "best.ckpt", "a"), (folder, "b")):
        settings: dict[str, Any] = {"num_images": 3, "seed": 2, "truncation": 0.7}
        generate([checkpoint], out=tmp_path / out, show_progress=False, device="cpu", **settings)
        sets.append(SyntheticSet.open(tmp_path / out))
    a, b = sets
    assert [one.id for one in a.items] == [one.id for one in b.items]
    for one in a.items:
        assert np.array_equal(a.image(one), b.image(one))
    assert a.seen().pixels.tolist() == b.seen().pixels.tolist() != []
    assert len(a.seen().patients) == len(b.seen().patients) == 2
    assert SECRET not in (tmp_path / "b/manifest.json").read_text()


def test_nobody_is_named_and_a_leak_is_seen(folder: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert set(files) == {"generator.json", "generator.safetensors", "README.md", "card.json"}
    everything = b"".join(files.values())
    for hidden in (SECRET, "Schmidt", str(folder.parent), "best.ckpt"):
        assert hidden.encode() not in everything
    assert b"whose salt was thrown away" in files["README.md"]
    before = seen_by(load_module(folder.parent / "best.ckpt")[1])
    after = seen_by(load_module(folder)[1])
    assert before.pixels.tolist() == after.pixels.tolist()
    assert len(before.patients) == len(after.patients)
    assert not before.patients & after.patients
    [names] = after.names
    assert not any(names.comparable(one) for one in before.names)
    hand_on(checkpoint=folder.parent / "best.ckpt", out=tmp_path / "kept", patient_names="keep")
    assert seen_by(load_module(tmp_path / "kept")[1]).patients == before.patients
    write_model_card(folder, tmp_path / "card", None)
    assert (tmp_path / "card/README.md").is_file()


def test_what_it_knows_is_not_lost(tmp_path: Path) -> None:
    path = written(tmp_path / "best.ckpt", gan("DCGAN"), pixels={"train": "", "has_all": False})
    with pytest.raises(UserError, match="nobody could tell a leak"):
        hand_on(checkpoint=path, out=tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    (tmp_path / "folder").mkdir()
    hand_on(checkpoint=path, out=tmp_path / "folder", patient_names="keep")
    with pytest.raises(UserError, match="holds something"):
        hand_on(checkpoint=path, out=tmp_path / "folder")


def test_another_generator_is_pointed_to_onnx(tmp_path: Path) -> None:
    path = written(tmp_path / "best.ckpt", cyclegan(), **SLICES)
    with pytest.raises(UserError, match=r"holds a CycleGAN\. .* export\.py onnx"):
        hand_on(checkpoint=path, out=tmp_path / "folder")


def copied(folder: Path, to: Path) -> dict[str, Any]:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return json.loads((to / "generator.json").read_text())  # type: ignore[no-any-return]


def _nested(told: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        told = told[key]
    return told


MODEL = ("record", "model", "init_args")
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda told: told.update(format="other"), "is no understudy-generator"),
    "version": (lambda told: told.update(format_version=2), "this version reads 1"),
    "hash": (lambda told: told.update(weights_sha256="0"), "another SHA-256 than generator.json"),
    "record": (lambda told: told.update(record=[1]), "expected a table of settings"),
    "progress": (lambda told: told.update(progress={}), "its progress is damaged"),
    "growth": (lambda told: told["progress"].update(growth=["a"]), "its progress is damaged"),
    "module": (
        lambda told: _nested(told, "record", "model").update(class_path="os.system"),
        "model names the class os.system",
    ),
    "network": (
        lambda told: _nested(told, *MODEL).update(generator="os.system"),
        "generator names the class os.system",
    ),
    "discriminator": (
        lambda told: _nested(told, *MODEL).update(discriminator="networks.DCGANDiscriminator"),
        "names a discriminator",
    ),
    "width": (
        lambda told: _nested(told, *MODEL, "generator", "init_args").update(width=2**14),
        "do not fit the network",
    ),
    "data": (lambda told: told["record"].pop("data"), "does not tell data"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_refused(change: str, folder: Path, tmp_path: Path) -> None:
    told = copied(folder, tmp_path / "changed")
    damage, sentence = CHANGES[change]
    damage(told)
    (tmp_path / "changed/generator.json").write_text(json.dumps(told))
    with pytest.raises(UserError) as refusal:
        load_module(tmp_path / "changed")
    assert sentence in str(refusal.value)
    assert str(tmp_path / "changed") in str(refusal.value)


def test_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    told = copied(folder, tmp_path / "changed")
    config, weights = (
        tmp_path / "changed/generator.json",
        tmp_path / "changed/generator.safetensors",
    )
    state = load_file(weights)
    for wrong, sentence in (
        ({**state, "constant": torch.zeros(1, 2, 4, 4)}, "do not fit the network"),
        ({name: state[name] for name in list(state)[1:]}, "Error(s) in loading state_dict"),
    ):
        save_file(wrong, weights)
        config.write_text(json.dumps({**told, "weights_sha256": sha256_of(weights)}))
        with pytest.raises(UserError, match=r"changed/generator\.safetensors: ") as refusal:
            load_module(tmp_path / "changed")
        assert sentence in str(refusal.value)
    weights.write_bytes(b"\x80\x02}q\x00.")
    config.write_text(json.dumps({**told, "weights_sha256": sha256_of(weights)}))
    with pytest.raises(UserError, match="cannot be read"):
        load_module(tmp_path / "changed")
    weights.unlink()
    with pytest.raises(UserError, match="is not there"):
        load_module(tmp_path / "changed")
    config.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"generator\.json: cannot be read"):
        load_module(tmp_path / "changed")

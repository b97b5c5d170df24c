"""Checkpoints: whole or absent, verified, never code."""

import os
import pickle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from lightning_modules.checkpoint_files import (
    copy_checkpoint_file,
    hash_file_of,
    load_checkpoint_file,
    save_checkpoint_file,
)
from lightning_modules.loading import load_module
from provenance import UserError, sha256_of

CONTENT = {"state_dict": {"weight": torch.arange(6.0)}, "progress": {"steps_done": 3}}


def test_round_trip_with_a_hash_that_sha256sum_reads(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint_file(CONTENT, path)
    digest, name = hash_file_of(path).read_text().split()
    assert (digest, name) == (sha256_of(path), "last.ckpt")
    assert torch.equal(load_checkpoint_file(path)["state_dict"]["weight"], torch.arange(6.0))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint_file(CONTENT, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt: SHA-256 is .* damaged or changed"):
        load_checkpoint_file(path)


def test_a_flipped_byte_of_a_checkpoint_without_its_hash_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "copied.ckpt"
    save_checkpoint_file(CONTENT, path)
    hash_file_of(path).unlink()
    whole = path.read_bytes()
    refused = 0
    for position in {*range(0, len(whole), 9), *range(len(whole) - 42, len(whole), 4)}:
        content = bytearray(whole)
        content[position] ^= 1
        path.write_bytes(content)
        try:
            loaded = load_checkpoint_file(path)
        except UserError:
            refused += 1
        else:  # such as in the padding between records
            assert torch.equal(loaded["state_dict"]["weight"], torch.arange(6.0)), position
            assert loaded["progress"] == {"steps_done": 3}, position
    assert refused > 50


def test_planted_code_does_not_run(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "it ran"),)

    path = tmp_path / "planted.ckpt"
    torch.save({"state_dict": {}, "x": Planted()}, path)
    with pytest.raises(UserError, match="can be loaded safely"):
        load_checkpoint_file(path)
    path.write_bytes(pickle.dumps(Planted()))
    with pytest.raises(UserError, match="can be loaded safely"):
        load_checkpoint_file(path)
    assert not (tmp_path / "it ran").exists()


def test_failed_save_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint_file(CONTENT, path)
    before = path.read_bytes()

    def disk_full(content: object, target: BinaryIO) -> None:
        target.write(b"half")
        try:
            raise OSError(28, "No space left on device")
        finally:  # as torch's writer fails once more when it closes
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 4 vs 2")

    monkeypatch.setattr(torch, "save", disk_full)
    told = r"last\.ckpt: .*the disk is full: the file takes 0\.4 MB, .* are free\); the earlier one"
    with pytest.raises(UserError, match=told + r" of that name is kept.*--resume true"):
        save_checkpoint_file({"a": [torch.zeros(10**5)]}, path)
    assert path.read_bytes() == before
    load_checkpoint_file(path)
    assert len(list(tmp_path.iterdir())) == 2


def test_kill_between_hash_and_rename_leaves_a_readable_checkpoint(tmp_path: Path) -> None:
    """While names change, the hash file lists both contents; either is accepted."""
    path = tmp_path / "last.ckpt"
    save_checkpoint_file(CONTENT, path)
    line = hash_file_of(path).read_text()
    hash_file_of(path).write_text("0" * 64 + "  last.ckpt\n" + line)
    load_checkpoint_file(path)


def test_copy_is_independent_of_later_saves(tmp_path: Path) -> None:
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    save_checkpoint_file(CONTENT, last)
    copy_checkpoint_file(last, best)
    save_checkpoint_file({"state_dict": {"weight": torch.zeros(1)}}, last)
    assert len(load_checkpoint_file(best)["state_dict"]["weight"]) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "no record of the network"),
        (
            {"understudy": {"model": {"class_path": "os.system"}}, "state_dict": {}},
            "names the class os.system, which is not part of this software",
        ),
        (
            {
                "understudy": {
                    "model": {
                        "class_path": "lightning_modules.Segmenter",
                        "init_args": {"network": {"class_path": "subprocess.Popen"}},
                    }
                },
                "state_dict": {},
            },
            "names the class subprocess.Popen",
        ),
    ],
)
def test_foreign_checkpoints_are_refused_by_name(
    tmp_path: Path, content: dict, message: str
) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save(content, path)
    with pytest.raises(UserError, match=message):
        load_module(path)


def test_missing_checkpoint_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        load_module(tmp_path / "best.ckpt")

"""A checkpoint that stands for a model whose answers are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluation.asked_model


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes evaluate.py load one of these models; gives a file that stands for its checkpoint."""

    def load(model: Any, names: list[str], folder: Path) -> Path:
        record = {"class_names": names, "image_size": 32, "data": {"init_args": {}}, "split": {}}
        asked = evaluation.asked_model
        monkeypatch.setattr(asked, "load_module", lambda _: (model.eval(), record))
        (folder / "model.ckpt").write_bytes(b"stands for one")
        return folder / "model.ckpt"

    return load

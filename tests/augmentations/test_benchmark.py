"""benchmarks/augmentations.py measures every operation and preset, of batches too."""

from typing import Any

import pytest
import torch

from augmentations.catalogue import BATCH_OPERATIONS
from augmentations.presets import PRESETS
from benchmarks import augmentations as benchmark


@pytest.mark.parametrize("name", [*BATCH_OPERATIONS, *(name for name in PRESETS if name != "none")])
def test_batches_and_presets_are_measured_with_what_they_end_with(name: str) -> None:
    work, library, whose, images = benchmark.both_of(name, 32, "cpu", 8)
    done: Any = work(0)
    with_library = ("mixup", "cutmix", "augmix", "trivial", "geometric")
    mixes = name in BATCH_OPERATIONS or name in ("geometric_ricap", "augmix_medical")
    assert images == (8 if mixes else 1)
    if mixes:
        assert len(done["image"]) == 8
        assert ("views" in done) == name.startswith("augmix")
        if name in ("mixup", "cutmix", "ricap", "perlin_mix", "geometric_ricap"):
            assert torch.allclose(done["target"].sum(dim=1), torch.ones(8))
    assert (library is not None) == (name in with_library)
    assert whose == ("-" if library is None else "torchvision")
    if library is not None:
        library(0)


def test_every_operation_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "REPEATS", 1)
    monkeypatch.setattr(benchmark, "of_library", lambda *_: (None, "-"))
    rows = benchmark.measured(16, 1e-6, "cpu", 4)
    names = [row["name"] for row in rows]
    expected = {*benchmark.OPERATIONS, *BATCH_OPERATIONS, *PRESETS} - {"none", *benchmark._CHOICES}
    assert len(names) == len(set(names))
    assert set(names) == expected

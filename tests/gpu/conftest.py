"""Every test here needs a CUDA device."""

import pytest
import torch


@pytest.fixture(autouse=True)
def needs_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

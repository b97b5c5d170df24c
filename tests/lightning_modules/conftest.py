"""What tests that start processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same order of additions in this process as in the ones it starts, and their folder."""
    monkeypatch.chdir(Path(__file__).parents[2])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

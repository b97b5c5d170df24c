"""Memory that a training keeps for its next step, and the generators that a step draws from."""

import sys
import traceback

import pytest
import torch

from device import seed_generators
from tests.training_runs import run_python

FAULTS = """
import resource, torch
from device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's way")
def test_memory_of_freed_tensors_is_kept_for_the_next_ones() -> None:
    """Ten tensors of 64 MiB, one after the other: 16,384 pages each are cleared but once."""
    given_back, kept = map(int, run_python("-c", FAULTS).stdout.split())
    assert given_back > 1000  # huge pages, where the system has them, are fewer
    assert kept < 100


def test_a_step_draws_what_it_would_after_torchs_own_seeding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The numbers are the same, and no stack is written down for devices that are not used."""

    def written_down(*_: object) -> list[str]:
        raise AssertionError("torch noted where in the program it was seeded")

    torch.manual_seed(2**62 + 5)
    expected = torch.rand(100)
    torch.manual_seed(1)
    monkeypatch.setattr(traceback, "format_stack", written_down)
    seed_generators(2**62 + 5, torch.device("cpu"))
    assert torch.equal(torch.rand(100), expected)

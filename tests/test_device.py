"""Memory that a training keeps for its next step."""

import sys

import pytest

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

"""The fuzzer's modules must be importable in the child processes that read damaged files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "fuzzing"))

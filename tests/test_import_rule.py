"""DESIGN's table of rooms: what may import what. The imports are read, not run."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "networks": set(),
    "losses": set(),
    "augmentations": set(),
    "metrics": set(),
    "display": set(),
    "phantom": set(),
    "datamodules": {"augmentations"},
    "preparation": {"datamodules", "phantom"},
    "lightning_modules": {"networks", "losses", "metrics", "augmentations"},
    "callbacks": {"lightning_modules", "metrics", "display"},
    "training": {"callbacks", "lightning_modules"},
    "generation": {"callbacks", "display", "lightning_modules", "datamodules", "metrics"},
    "evaluation": {"display", "lightning_modules", "datamodules", "metrics"},
    "studies": {
        "generation",
        "evaluation",
        "callbacks",
        "lightning_modules",
        "datamodules",
        "metrics",
        "display",
    },
}
VERBS = {"prepare", "train", "generate", "evaluate", "study"}
FREE_FOR_ALL = {"provenance"}
OURS = set(MAY_IMPORT) | VERBS | {"command_line", "benchmarks", "scripts", "tests"}


def imported_packages(file: Path) -> set[str]:
    """First parts of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write the room's name"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_only_what_the_design_allows(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room}/ holds no module"
    for file in files:
        ours = imported_packages(file) & OURS
        forbidden = ours - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{file.relative_to(ROOT)} imports {sorted(forbidden)}"


def test_provenance_imports_nothing_of_ours() -> None:
    assert not imported_packages(ROOT / "provenance.py") & (OURS | FREE_FOR_ALL)


def test_no_module_loads_pickles() -> None:
    # Times paper 003's pickle per film, which it writes itself, beside the cache without them.
    of_the_paper = ROOT / "benchmarks/chest_xray_cache.py"
    for file in ROOT.rglob("*.py"):
        if ".venv" in file.parts or "tests" in file.parts or file == of_the_paper:
            continue
        assert not imported_packages(file) & {"pickle", "dill", "joblib", "shelve"}, file
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("weights_only", "allow_pickle"):
                safe = node.arg == "weights_only"
                assert isinstance(node.value, ast.Constant), file
                assert node.value.value is safe, f"{file}:{node.value.lineno}"


def test_no_room_is_called_utils() -> None:
    names = {path.stem for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    assert not names & {"utils", "common", "helpers", "misc"}

"""The table of rooms in CONTRIBUTING.md: what may import what. The imports are read, not run."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room of studies/ stands for itself; `studies` is the folder with nothing in it.
MAY_IMPORT = {
    "networks": set(),
    "losses": set(),
    "augmentations": set(),
    "metrics": set(),
    "display": set(),
    "phantom": set(),
    "datamodules": {"augmentations"},
    "cards": {"datamodules", "display"},
    "preparation": {"datamodules", "phantom", "display", "cards"},
    "lightning_modules": {"networks", "losses", "metrics", "augmentations"},
    "wandb_runs": set(),
    "callbacks": {"lightning_modules", "metrics", "display", "wandb_runs"},
    "command_line": set(),
    "training": {"callbacks", "lightning_modules", "networks", "command_line", "wandb_runs"},
    "gates": {"display"},
    "generation": {"lightning_modules", "networks", "datamodules", "display", "cards"},
    "evaluation": {
        "lightning_modules",
        "datamodules",
        "augmentations",
        "metrics",
        "display",
        "gates",
    },
    "exporting": {
        "lightning_modules",
        "networks",
        "datamodules",
        "display",
        "cards",
        "generation",
        "evaluation",
    },
    "audit": {"datamodules", "metrics", "display", "gates"},
    "prediction": {"preparation", "lightning_modules", "datamodules", "metrics", "display"},
    "studies/specification": set(),
    "studies/statistics": {"metrics", "studies/specification"},
    "studies/run": {
        "datamodules",
        "display",
        "gates",
        "wandb_runs",
        "studies/specification",
        "studies/statistics",
    },
    "studies/report": {
        "augmentations",
        "datamodules",
        "display",
        "wandb_runs",
        "studies/specification",
        "studies/statistics",
        "studies/run",
    },
}
VERBS = {"prepare", "train", "generate", "evaluate", "predict", "study", "export"}
FREE_FOR_ALL = {
    "device",
    "provenance",
    "private_paths",
    "output_folder",
    "worker_pool",
    "patient_names",
    "knowledge",
    "pixel_bits",
    "spelling",
    "foreign_text",
    "synthetic_marks",
    "licences",
}
OURS = set(MAY_IMPORT) | VERBS | {"benchmarks", "scripts", "tests"}


def imported_modules(file: Path) -> set[str]:
    """All modules that a file imports, also inside functions; names taken from packages too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write the room's name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def imported_rooms(file: Path) -> set[str]:
    """Rooms of MAY_IMPORT, verbs and other first parts of what a file imports."""
    parts = [module.split(".") for module in imported_modules(file)]
    return {"/".join(part[:2]) if part[0] == "studies" else part[0] for part in parts}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_room_imports_only_what_the_design_allows(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room}/ holds no module"
    for file in files:
        ours = imported_rooms(file) & OURS
        forbidden = ours - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{file.relative_to(ROOT)} imports {sorted(forbidden)}"


@pytest.mark.parametrize("module", sorted(FREE_FOR_ALL))
def test_what_every_room_may_import_imports_no_room(module: str) -> None:
    simple = {"provenance", "patient_names", "pixel_bits", "synthetic_marks"}
    allowed = set() if module == "provenance" else simple - {module}
    assert not (imported_rooms(ROOT / f"{module}.py") & (OURS | FREE_FOR_ALL)) - allowed


def test_no_module_loads_pickles() -> None:
    for file in ROOT.rglob("*.py"):
        if ".venv" in file.parts or "tests" in file.parts:
            continue
        assert not imported_rooms(file) & {"pickle", "dill", "joblib", "shelve"}, file
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("weights_only", "allow_pickle"):
                safe = node.arg == "weights_only"
                assert isinstance(node.value, ast.Constant), file
                assert node.value.value is safe, f"{file}:{node.value.lineno}"


def test_no_room_is_called_utils() -> None:
    names = {path.stem for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    assert not names & {"utils", "common", "helpers", "misc"}


def test_every_package_is_a_room() -> None:
    packages = {file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("*/__init__.py")}
    assert packages == {room.split("/")[0] for room in MAY_IMPORT}


def test_contributing_shows_this_table() -> None:
    """Its third column names rooms, `nothing`, or how many of the rooms of studies/ above it."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown: dict[str, set[str]] = {}
    for room, words in re.findall(r"^\| `([\w/]+)/` \|.*\| (.*) \|$", page, re.MULTILINE):
        studies = [name for name in shown if name.startswith("studies/")]
        shown[room] = set()
        for word in words.split(", "):
            above = re.fullmatch(r"the (two|three) rooms above", word)
            if above:
                shown[room] |= set(studies[-{"two": 2, "three": 3}[above[1]] :])
            elif word != "nothing":
                shown[room].add(word)
    assert shown == MAY_IMPORT


def test_imports_make_no_circle() -> None:
    files = {dotted(file): file for room in MAY_IMPORT for file in (ROOT / room).rglob("*.py")}
    graph = {name: imported_when_loaded(file, set(files)) for name, file in files.items()}
    assert "studies.report.downstream" in graph["studies.report.write"]  # packages count too
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def dotted(file: Path) -> str:
    """A module's name in an import; a package's is its folder's."""
    path = file.parent if file.name == "__init__.py" else file.with_suffix("")
    return ".".join(path.relative_to(ROOT).parts)


def imported_when_loaded(file: Path, names: set[str]) -> set[str]:
    """Our modules among the imports at the top of a file.

    `from package import name` imports the module of that name where there is one, else the package.
    """
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else str(node.module) for name in inner}
    return found & names


def test_no_room_is_crowded() -> None:
    for room in MAY_IMPORT:
        for folder in {file.parent for file in (ROOT / room).rglob("*.py")}:
            assert len(list(folder.glob("*.py"))) <= 26, folder

"""Classes of this software as their source shows them, so that nothing heavy is imported.

Only what is certain is said: a class whose settings are not plain to see is left to jsonargparse.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("lightning_modules", "datamodules", "networks", "callbacks")


class NotThereError(Exception):
    """A class path of this software that leads nowhere."""


@dataclass(frozen=True)
class SourceClass:
    """A class in a source file.

    Attributes:
        module: Its file's.
        node: Its definition.
    """

    module: str
    node: ast.ClassDef

    def settings(self) -> dict[str, str] | None:
        """Name and annotation of what its constructor takes; None where it is not certain."""
        if self.node.decorator_list:
            return None
        parts = {part.name: part for part in self.node.body if isinstance(part, ast.FunctionDef)}
        if "__new__" in parts:
            return None
        if "__init__" not in parts:
            return self._inherited()
        arguments = parts["__init__"].args
        if arguments.vararg is not None:
            return None
        own = [*arguments.posonlyargs, *arguments.args][1:] + arguments.kwonlyargs
        settings = {arg.arg: ast.unparse(arg.annotation) if arg.annotation else "" for arg in own}
        if arguments.kwarg is None:
            return settings
        inherited = self._inherited()
        if inherited is None:
            return None
        decided = _decided_by(parts["__init__"], list(inherited))
        kept = {name: kind for name, kind in inherited.items() if name not in decided}
        return {**settings, **kept}

    def _inherited(self) -> dict[str, str] | None:
        if len(self.node.bases) != 1 or not isinstance(self.node.bases[0], ast.Name):
            return None
        base = _in_module(self.module, self.node.bases[0].id)
        return base.settings() if base is not None else None


def class_in_source(class_path: str) -> SourceClass | None:
    """The class of a path such as networks.UNet; None where that is not certain.

    Raises:
        NotThereError: A path into one of our rooms, which leads nowhere.
    """
    module, _, name = class_path.rpartition(".")
    if not all(part.isidentifier() for part in class_path.split(".")):
        return None
    if module.split(".")[0] not in ROOMS:
        return None
    return _in_module(module, name)


def _in_module(module: str, name: str) -> SourceClass | None:
    if module.split(".")[0] not in ROOMS:
        return None
    tree = _tree(module)
    if tree is None:
        raise NotThereError
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return SourceClass(module, node)
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _in_module(node.module, alias.name)
    # Whatever else names it, such as a lazy __getattr__, may make it there.
    mentioned: set[object] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.alias):
            mentioned.add(node.name)
        elif isinstance(node, ast.Name):
            mentioned.add(node.id)
        elif isinstance(node, ast.Constant):
            mentioned.add(node.value)
    if name in mentioned or name.startswith("__") or _tree(f"{module}.{name}") is not None:
        return None
    raise NotThereError


@cache
def _tree(module: str) -> ast.Module | None:
    """The source of a module or package; None where there is none."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


def _decided_by(constructor: ast.FunctionDef, inherited: list[str]) -> set[str]:
    """Settings of the base that a constructor gives itself when it calls the base's."""
    decided: set[str] = set()
    for node in ast.walk(constructor):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            decided |= set(inherited[: len(node.args)])
            decided |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return decided

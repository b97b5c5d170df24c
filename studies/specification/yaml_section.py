"""Typed reading of a YAML mapping, with sentences that name the file and the key."""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from provenance import UserError

Built = TypeVar("Built")
_REQUIRED: Any = object()


class Section:
    """One mapping of a YAML file: every key is asked for once, and what is left over is refused."""

    def __init__(self, content: Any, source: str, path: str = "") -> None:
        self._source = source
        self._path = path
        if not isinstance(content, dict):
            raise UserError(f"{self.where()}: expected a mapping of keys, found {_kind(content)}.")
        self._content = {str(key): value for key, value in content.items()}
        self._asked: set[str] = set()

    def where(self, key: str = "") -> str:
        """Place in the file, such as `study.yaml: models[1].config`."""
        place = ".".join(part for part in (self._path, key) if part)
        return f"{self._source}: {place}" if place else self._source

    def peek(self, key: str) -> Any:
        """A key's raw value, None when it is absent."""
        return self._content.get(key)

    def text(self, key: str, default: str = _REQUIRED) -> str:
        """A string; a bare number is taken as written (`id: 1`)."""
        value = self._take(key, default)
        if value is None and default is not _REQUIRED:
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self._wrong(key, "text", value)
        return str(value).strip()

    def integer(self, key: str, default: int = _REQUIRED) -> int:
        """A whole number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number", value)
        return value

    def number(self, key: str, default: float = _REQUIRED) -> float:
        """A number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, "a number", value)
        return float(value)

    def flag(self, key: str, default: bool = _REQUIRED) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def integers(self, key: str, default: Any = _REQUIRED) -> list[int]:
        """A list of whole numbers."""
        values = self._list(key, default)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int):
                raise self._wrong(key, "whole numbers", value)
        return values

    def texts(self, key: str) -> list[str]:
        """A list of command-line words; numbers and booleans are written as the shell has them."""
        words = []
        for value in self._list(key, []):
            if isinstance(value, bool):
                words.append(str(value).lower())
            elif isinstance(value, (str, int, float)):
                words.append(str(value))
            else:
                raise self._wrong(key, "a list of words", value)
        return words

    def optional_texts(self, key: str) -> list[str] | None:
        """The same, or None where the key is absent or null."""
        self._asked.add(key)
        return None if self._content.get(key) is None else self.texts(key)

    def pairs(self, key: str) -> list[tuple[str, str]]:
        """A list of two-element lists."""
        pairs = []
        for value in self._list(key, []):
            if not isinstance(value, (list, tuple)) or len(value) != 2:
                raise self._wrong(key, "pairs such as [4, 2]", value)
            pairs.append((str(value[0]), str(value[1])))
        return pairs

    def table(self, key: str) -> dict[str, dict[str, float]]:
        """Rows of named numbers."""
        rows: dict[str, dict[str, float]] = {}
        section = self.section(key)
        for name in section._content:
            row = section.section(name)
            rows[name] = {column: row.number(column) for column in row._content}
        return rows

    def section(self, key: str) -> "Section":
        """A mapping inside this one."""
        path = ".".join(part for part in (self._path, key) if part)
        return Section(self._take(key, _REQUIRED), self._source, path)

    def sections(self, key: str, build: Callable[["Section"], Built]) -> list[Built]:
        """A list of mappings, each built and then checked for keys that nobody asked for."""
        built = []
        for position, content in enumerate(self._list(key, _REQUIRED)):
            section = Section(content, self._source, f"{key}[{position}]")
            built.append(build(section))
            section.finish()
        return built

    def optional_section(self, key: str, build: Callable[["Section"], Built]) -> Built | None:
        """A mapping that may be absent or null."""
        self._asked.add(key)
        if self._content.get(key) is None:
            return None
        section = self.section(key)
        built = build(section)
        section.finish()
        return built

    def finish(self) -> None:
        """Refuse keys that were never asked for: a misspelt setting must not be ignored."""
        for key in self._content:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, 1)
                meant = f" Did you mean {near[0]!r}?" if near else ""
                known = ", ".join(sorted(self._asked))
                raise UserError(f"{self.where(key)}: unknown key.{meant} Known here: {known}.")

    def _take(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        if key in self._content:
            return self._content[key]
        if default is _REQUIRED:
            raise UserError(f"{self.where(key)}: is missing. Add it.")
        return default

    def _list(self, key: str, default: Any) -> list[Any]:
        values = self._take(key, default)
        if values is None and default is not _REQUIRED:
            return []
        if not isinstance(values, (list, tuple)):
            raise self._wrong(key, "a list", values)
        return list(values)

    def _wrong(self, key: str, expected: str, value: Any) -> UserError:
        return UserError(f"{self.where(key)}: expected {expected}, found {_kind(value)}.")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value!r} ({type(value).__name__})"
